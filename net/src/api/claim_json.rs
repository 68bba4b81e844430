//! Claims as JSON.

use stemedb_engine::claim::{Agent, Claim, ClaimHash, Value};
use stemedb_engine::index::ClaimView;

use super::text::{push_hex_string, push_json_string, push_number, push_seconds};

/// Appends what the list of a query says of a claim: the members of an object, without its braces.
pub(super) fn push_listed(out: &mut Vec<u8>, view: &ClaimView<'_>, effective_confidence: Option<f64>) {
    push_members(out, &view.hash(), &view.claim(), effective_confidence);
    push_status(out, view.retracted());
}

/// Appends all there is to say of a claim: the answer to `/v1/assertion/{hash}`.
pub fn write_assertion(out: &mut Vec<u8>, view: &ClaimView<'_>) {
    let claim = view.claim();
    out.push(b'{');
    push_members(out, &view.hash(), &claim, None);
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
pub(super) fn push_value(out: &mut Vec<u8>, value: &Value<'_>) {
    out.extend_from_slice(b"\"value\":");
    match value {
        Value::Text(text) => push_json_string(out, text.as_str()),
        Value::Number(number) => push_number(out, number.value()),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Reference(path) => push_json_string(out, path.as_str()),
        Value::Json(json) => out.extend_from_slice(json.as_str().as_bytes()),
    }
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(value.value_type().name().as_bytes());
    out.push(b'"');
}

/// Appends the members that every answer gives, from `hash` to `epoch`.
fn push_members(out: &mut Vec<u8>, hash: &ClaimHash, claim: &Claim<'_>, effective_confidence: Option<f64>) {
    out.extend_from_slice(b"\"hash\":");
    push_hex_string(out, &hash.0);
    out.extend_from_slice(b",\"concept_path\":");
    push_json_string(out, claim.subject.as_str());
    out.extend_from_slice(b",\"predicate\":");
    push_json_string(out, claim.predicate.as_str());
    out.push(b',');
    push_value(out, &claim.value);
    out.extend_from_slice(b",\"confidence\":");
    push_number(out, claim.confidence.value());
    if let Some(effective_confidence) = effective_confidence {
        out.extend_from_slice(b",\"effective_confidence\":");
        push_number(out, effective_confidence);
    }
    out.extend_from_slice(b",\"timestamp\":");
    push_seconds(out, claim.timestamp.unix_micros());
    if let Some(source) = &claim.source {
        out.extend_from_slice(b",\"source\":");
        push_json_string(out, source.as_str());
    }
    out.extend_from_slice(b",\"source_class\":\"");
    out.extend_from_slice(claim.source_class.name().as_bytes());
    out.extend_from_slice(b"\",\"lifecycle\":\"");
    out.extend_from_slice(claim.lifecycle.name().as_bytes());
    out.push(b'"');
    match &claim.agent {
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
    if let Some(epoch) = &claim.epoch {
        out.extend_from_slice(b",\"epoch\":");
        push_json_string(out, epoch.as_str());
    }
}

fn push_status(out: &mut Vec<u8>, retracted: bool) {
    let status: &[u8] = if retracted { b",\"status\":\"retracted\"" } else { b",\"status\":\"active\"" };
    out.extend_from_slice(status);
}
