//! Claims as JSON.

use stemedb_engine::claim::{Agent, Value, ValueType};
use stemedb_engine::index::ClaimView;

use super::text::{push_hex_string, push_json_string, push_json_utf8, push_number, push_seconds};

/// Appends what the list of a query says of a claim: the members of an object, without its braces.
pub(super) fn push_listed(
    out: &mut Vec<u8>,
    view: &ClaimView<'_>,
    effective_confidence: Option<f64>,
    retracted: bool,
) {
    push_members(out, view, effective_confidence);
    push_status(out, retracted);
}

/// Appends all there is to say of a claim: the answer to `/v1/assertion/{hash}`.
pub fn write_assertion(out: &mut Vec<u8>, view: &ClaimView<'_>) {
    let claim = view.claim();
    out.push(b'{');
    push_members(out, view, None);
    if let Some(parent) = &claim.parent {
        out.extend_from_slice(b",\"parent_hash\":");
        push_hex_string(out, &parent.0);
    }
    if !claim.derived_from.is_empty() {
        out.extend_from_slice(b",\"derived_from\":[");
        for (index, hash) in claim.derived_from.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_hex_string(out, &hash.0);
        }
        out.push(b']');
    }
    if let Some(source_hash) = &claim.source_hash {
        out.extend_from_slice(b",\"source_hash\":");
        push_hex_string(out, source_hash);
    }
    if let Some(metadata) = &claim.metadata {
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(metadata.as_str().as_bytes());
    }
    push_status(out, view.retracted());
    out.push(b'}');
}

/// Appends `"value":…,"type":…`.
pub(super) fn push_value(out: &mut Vec<u8>, view: &ClaimView<'_>) {
    out.extend_from_slice(b"\"value\":");
    let (value_type, text) = view.value_utf8();
    match (value_type, text) {
        (ValueType::Json, Some(text)) => out.extend_from_slice(text),
        (_, Some(text)) => push_json_utf8(out, text),
        (_, None) => match view.value() {
            Value::Number(number) => push_number(out, number.value()),
            Value::Boolean(true) => out.extend_from_slice(b"true"),
            Value::Boolean(false) => out.extend_from_slice(b"false"),
            other => panic!("{other:?} has a text"),
        },
    }
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(value_type.name().as_bytes());
    out.push(b'"');
}

/// Appends the members that every answer gives, from `hash` to `epoch`.
fn push_members(out: &mut Vec<u8>, view: &ClaimView<'_>, effective_confidence: Option<f64>) {
    out.extend_from_slice(b"\"hash\":");
    push_hex_string(out, &view.hash().0);
    out.extend_from_slice(b",\"concept_path\":");
    push_json_utf8(out, view.subject_utf8());
    out.extend_from_slice(b",\"predicate\":");
    push_json_utf8(out, view.predicate_utf8());
    out.push(b',');
    push_value(out, view);
    out.extend_from_slice(b",\"confidence\":");
    push_number(out, view.confidence().value());
    if let Some(effective_confidence) = effective_confidence {
        out.extend_from_slice(b",\"effective_confidence\":");
        push_number(out, effective_confidence);
    }
    out.extend_from_slice(b",\"timestamp\":");
    push_seconds(out, view.key().timestamp);
    if let Some(source) = view.source_utf8() {
        out.extend_from_slice(b",\"source\":");
        push_json_utf8(out, source);
    }
    out.extend_from_slice(b",\"source_class\":\"");
    out.extend_from_slice(view.source_class().name().as_bytes());
    out.extend_from_slice(b"\",\"lifecycle\":\"");
    out.extend_from_slice(view.lifecycle().name().as_bytes());
    out.push(b'"');
    match &view.agent() {
        Some(Agent::Key(key)) => {
            out.extend_from_slice(b",\"agent_id\":");
            push_hex_string(out, key);
        }
        Some(Agent::Name(name)) => {
            out.extend_from_slice(b",\"agent_id\":");
            push_json_string(out, name.as_str());
        }
        None => {}
    }
    if let Some(epoch) = view.epoch_utf8() {
        out.extend_from_slice(b",\"epoch\":");
        push_json_utf8(out, epoch);
    }
}

fn push_status(out: &mut Vec<u8>, retracted: bool) {
    let status: &[u8] = if retracted { b",\"status\":\"retracted\"" } else { b",\"status\":\"active\"" };
    out.extend_from_slice(status);
}
