//! Whether the reason for which a body was refused is true of it.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use stemedb_net::api::{ApiError, ErrorCode};
use stemedb_net::json::DEPTH_MAX;

use crate::plain;

/// The names of a claim's fields, those of one field in one row.
const FIELDS: &[&[&str]] = &[
    &["concept_path", "subject"],
    &["predicate"],
    &["value", "object"],
    &["confidence"],
    &["timestamp"],
    &["source"],
    &["source_class"],
    &["lifecycle"],
    &["parent_hash"],
    &["derived_from"],
    &["epoch"],
    &["agent_id"],
    &["signatures"],
    &["source_hash"],
    &["metadata"],
];

/// The names of source classes, by number.
pub(crate) const CLASSES: [&str; 6] =
    ["regulatory", "clinical", "observational", "expert", "community", "anecdotal"];

/// The longest text or JSON of a value.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// An object as it is written: keys may repeat, and values are text.
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl Members {
    /// The members of a body, if it is an object.
    pub(crate) fn of(body: &[u8]) -> Option<Members> {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let members = deserializer.deserialize_map(MembersVisitor).ok()?;
        deserializer.end().ok()?;
        Some(members)
    }

    /// Whether a field is there twice, under one name or two.
    pub(crate) fn repeats(&self) -> bool {
        let given = |names: &&[&str]| self.0.iter().filter(|(key, _)| names.contains(&&key[..])).count();
        FIELDS.iter().any(|names| given(names) > 1)
    }

    fn is_known(key: &str) -> bool {
        FIELDS.iter().any(|names| names.contains(&key))
    }

    /// The last value of one of these names.
    pub(crate) fn raw(&self, names: &[&str]) -> Option<&str> {
        self.0.iter().rfind(|(key, _)| names.contains(&&key[..])).map(|(_, raw)| raw.get())
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = map.next_entry()? {
            members.push(entry);
        }
        Ok(Members(members))
    }
}

/// Checks that `error` is true of the body of an assert, of a server that takes timestamps up to `latest_s`.
pub(crate) fn check(error: &ApiError, body: &[u8], latest_s: f64) {
    let text = String::from_utf8_lossy(body);
    if error.code == ErrorCode::JsonTooDeep {
        assert!(nesting(body) > DEPTH_MAX, "{error:?}: {text:?}");
        return;
    }
    let is_json = plain::read(body);
    let Some(members) = Members::of(body) else {
        let is_no_object = is_json.is_ok() && error.code == ErrorCode::NotAnObject;
        // Without a value, since some number is none to serde_json.
        let may_be_none =
            is_json.is_err() && matches!(error.code, ErrorCode::InvalidJson | ErrorCode::NotAnObject);
        assert!(is_no_object || may_be_none, "{error:?}: {text:?}");
        return;
    };
    let raw = |names: &[&str]| members.raw(names);
    let number = |name: &str| raw(&[name]).and_then(|raw| raw.parse::<f64>().ok());
    let signature = error.message.strip_prefix("signatures[").and_then(|rest| rest.split_once(']'));
    if let Some((index, _)) = signature {
        let index = index.parse().expect("a signature has a number");
        assert!(is_true_of_signature(error.code, raw(&["signatures"]), index), "{error:?}: {text:?}");
        return;
    }
    let is_true = match error.code {
        // What remains of a pair of surrogates is passed over where a value is not looked into.
        ErrorCode::InvalidJson => is_json.is_err(),
        ErrorCode::NotAnObject => false,
        ErrorCode::DuplicateField => members.repeats(),
        ErrorCode::UnknownField => members.0.iter().any(|(key, _)| !Members::is_known(key)),
        ErrorCode::MissingField => FIELDS[..3].iter().any(|names| raw(names).is_none()),
        ErrorCode::InvalidConfidence => {
            number("confidence").is_none_or(|number| !(0.0..=1.0).contains(&number))
        }
        ErrorCode::InvalidTimestamp => number("timestamp").is_none_or(|seconds| seconds < 0.0),
        ErrorCode::TimestampInFuture => number("timestamp").is_some_and(|seconds| seconds > latest_s),
        ErrorCode::MissingTimestamp => {
            matches!(raw(&["timestamp"]), None | Some("null"))
                && elements(raw(&["signatures"])).is_some_and(|signatures| !signatures.is_empty())
        }
        ErrorCode::InvalidConceptPath => !is_text(raw(FIELDS[0]), 512),
        ErrorCode::InvalidPredicate => !is_text(raw(FIELDS[1]), 256),
        ErrorCode::InvalidSource => !is_text(raw(&["source"]), 512),
        ErrorCode::InvalidLifecycle => {
            let known = ["proposed", "under_review", "approved", "deprecated", "rejected"];
            !known.iter().any(|name| string(raw(&["lifecycle"])).as_deref() == Some(name))
        }
        ErrorCode::InvalidParentHash => !is_hex_of(raw(&["parent_hash"]), 32),
        ErrorCode::InvalidSourceHash => !is_hex_of(raw(&["source_hash"]), 32),
        ErrorCode::InvalidAgentId => !is_hex_of(raw(&["agent_id"]), 32),
        ErrorCode::InvalidMetadata => {
            raw(&["metadata"]).is_none_or(|raw| !raw.starts_with('{') || raw.len() > 8 << 10)
        }
        ErrorCode::InvalidValue => raw(FIELDS[2]).is_some_and(is_no_value),
        ErrorCode::InvalidSourceClass => !CLASSES.iter().enumerate().any(|(number, name)| {
            let given = raw(&["source_class"]);
            given == Some(&number.to_string()) || string(given).as_deref() == Some(*name)
        }),
        ErrorCode::InvalidDerivedFrom => elements(raw(&["derived_from"])).is_none_or(|hashes| {
            hashes.len() > 64 || hashes.iter().any(|hash| !is_hex_of(Some(hash.get()), 32))
        }),
        ErrorCode::InvalidEpoch => !is_text(raw(&["epoch"]), 128),
        // Whatever is wrong with one signature is told with its number.
        ErrorCode::InvalidSignature => {
            elements(raw(&["signatures"])).is_none_or(|signatures| signatures.len() > 16)
        }
        _ => false,
    };
    assert!(is_true, "{error:?}: {text:?}");
}

/// Whether `code` is true of the signature at `index` of a claim's.
fn is_true_of_signature(code: ErrorCode, signatures: Option<&str>, index: usize) -> bool {
    const NAMES: [&str; 3] = ["agent_id", "signature", "timestamp"];
    let signatures = elements(signatures).unwrap_or_default();
    let Some(signature) = signatures.get(index) else { return false };
    let Some(members) = Members::of(signature.get().as_bytes()) else {
        return code == ErrorCode::InvalidSignature;
    };
    let raw = |name| members.raw(&[name]);
    match code {
        ErrorCode::UnknownField => members.0.iter().any(|(key, _)| !NAMES.contains(&&key[..])),
        ErrorCode::DuplicateField => {
            NAMES.iter().any(|name| members.0.iter().filter(|(key, _)| key == name).count() > 1)
        }
        ErrorCode::MissingField => raw("agent_id").is_none() || raw("signature").is_none(),
        ErrorCode::MissingTimestamp => raw("timestamp").is_none(),
        ErrorCode::InvalidSignature => {
            let seconds = raw("timestamp").and_then(|raw| raw.parse::<f64>().ok());
            !is_hex_of(raw("agent_id"), 32)
                || !is_hex_of(raw("signature"), 64)
                || seconds.is_none_or(|seconds| seconds < 0.0)
        }
        _ => false,
    }
}

/// Whether no value of a claim is written like this: it is too long, or not of the type that it names.
fn is_no_value(raw: &str) -> bool {
    let Some((name, inner)) = typed(raw) else {
        return raw.len() > VALUE_BYTES_MAX;
    };
    let inner = inner.get();
    let fits = match &name[..] {
        "Text" => inner.starts_with('"'),
        "Number" => inner.starts_with(|first: char| first == '-' || first.is_ascii_digit()),
        "Boolean" => matches!(inner, "true" | "false"),
        "Reference" => is_text(Some(inner), 512),
        _ => true,
    };
    !fits || inner.len() > VALUE_BYTES_MAX
}

/// The type that a value names, and what it holds; `None` if it stands for itself.
pub(crate) fn typed(raw: &str) -> Option<(String, Box<RawValue>)> {
    const TYPES: [&str; 5] = ["Text", "Number", "Boolean", "Reference", "Json"];
    let members = Members::of(raw.as_bytes())?;
    let (name, inner) = match &members.0[..] {
        [(name, inner)] => (name.clone(), inner),
        [(first, name), (second, inner)] | [(second, inner), (first, name)]
            if first == "type" && second == "value" =>
        {
            (string(Some(name.get()))?, inner)
        }
        _ => return None,
    };
    TYPES.contains(&&name[..]).then(|| (name, inner.clone()))
}

/// The elements of an array as they are written; `None` of anything else.
pub(crate) fn elements(raw: Option<&str>) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(raw?).ok()
}

fn string(raw: Option<&str>) -> Option<String> {
    serde_json::from_str(raw?).ok()
}

/// Whether it is a string of 1 to so many bytes without control characters.
fn is_text(raw: Option<&str>, bytes_max: usize) -> bool {
    string(raw)
        .is_some_and(|text| (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control))
}

/// Whether it is a string of so many bytes in hexadecimal digits.
fn is_hex_of(raw: Option<&str>, bytes: usize) -> bool {
    string(raw)
        .is_some_and(|text| text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// How deeply objects and arrays are nested at most, as far as the body is JSON.
pub(crate) fn nesting(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Whether serde_json finds JSON there, whatever its numbers are.
pub(crate) fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim with every field, all of them sound.
    fn sound() -> String {
        let hash = "ab".repeat(32);
        let signature = "cd".repeat(64);
        format!(
            r#"{{"concept_path":"a","predicate":"is","value":{{"Reference":"a/b"}},"confidence":0.5,"timestamp":1700000000,
            "source":"s","source_class":"clinical","lifecycle":"proposed","parent_hash":"{hash}","derived_from":["{hash}"],
            "epoch":"2024","agent_id":"{hash}","source_hash":"{hash}","metadata":{{"k":1}},
            "signatures":[{{"agent_id":"{hash}","signature":"{signature}","timestamp":1700000000}}]}}"#
        )
    }

    #[test]
    fn of_a_sound_claim_no_refusal_is_true() {
        let body = sound();
        for code in ErrorCode::ALL {
            for message in ["wrong", "signatures[0] is wrong", "signatures[1] is wrong"] {
                let error = ApiError::new(*code, message);
                let checked = std::panic::catch_unwind(|| check(&error, body.as_bytes(), 1.7e9));
                assert!(checked.is_err(), "{error:?} passed");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_claim_is_true_of_it() {
        for (code, from, to) in [
            (ErrorCode::InvalidValue, "{\"Reference\":\"a/b\"}", "{\"Reference\":\"\"}"),
            (ErrorCode::InvalidValue, "{\"Reference\":\"a/b\"}", "{\"value\":1,\"type\":\"Text\"}"),
            (ErrorCode::InvalidSourceClass, "\"clinical\"", "6"),
            (ErrorCode::InvalidSourceClass, "\"clinical\"", "\"Clinical\""),
            (ErrorCode::InvalidDerivedFrom, "\"derived_from\":[", "\"derived_from\":[1,"),
            (ErrorCode::InvalidEpoch, "\"2024\"", "\"\\u0007\""),
            (ErrorCode::InvalidSignature, "\"signatures\":[", "\"signatures\":{},\"others\":["),
        ] {
            let body = sound().replacen(from, to, 1);
            check(&ApiError::new(code, "wrong"), body.as_bytes(), 1.7e9);
        }
    }
}
