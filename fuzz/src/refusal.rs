//! Whether the reason for which a body was refused is true of it.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value as Model;
use serde_json::value::RawValue;
use stemedb_net::api::{ApiError, ErrorCode};
use stemedb_net::json::DEPTH_MAX;

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

/// Checks that `error` is true of the body of an assert that was made at `now_s`, as far as that can be said in few words.
pub(crate) fn check(error: &ApiError, body: &[u8], now_s: f64) {
    let text = String::from_utf8_lossy(body);
    if error.field.as_deref() == Some("signatures") {
        return;
    }
    if error.code == ErrorCode::JsonTooDeep {
        assert!(nesting(body) > DEPTH_MAX, "{error:?}: {text:?}");
        return;
    }
    let is_json = serde_json::from_slice::<Model>(body);
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
        ErrorCode::TimestampInFuture => number("timestamp").is_some_and(|seconds| seconds > now_s),
        ErrorCode::MissingTimestamp => matches!(raw(&["timestamp"]), None | Some("null")),
        ErrorCode::InvalidConceptPath => !is_text(raw(FIELDS[0]), 512),
        ErrorCode::InvalidPredicate => !is_text(raw(FIELDS[1]), 256),
        ErrorCode::InvalidSource => !is_text(raw(&["source"]), 512),
        ErrorCode::InvalidLifecycle => {
            let known = ["proposed", "under_review", "approved", "deprecated", "rejected"];
            !known.iter().any(|name| string(raw(&["lifecycle"])).as_deref() == Some(name))
        }
        ErrorCode::InvalidParentHash => !is_hash(raw(&["parent_hash"])),
        ErrorCode::InvalidSourceHash => !is_hash(raw(&["source_hash"])),
        ErrorCode::InvalidAgentId => !is_hash(raw(&["agent_id"])),
        ErrorCode::InvalidMetadata => {
            raw(&["metadata"]).is_none_or(|raw| !raw.starts_with('{') || raw.len() > 8 << 10)
        }
        _ => error.code.status().code() < 500,
    };
    assert!(is_true, "{error:?}: {text:?}");
}

fn string(raw: Option<&str>) -> Option<String> {
    serde_json::from_str(raw?).ok()
}

/// Whether it is a string of 1 to so many bytes without control characters.
fn is_text(raw: Option<&str>, bytes_max: usize) -> bool {
    string(raw)
        .is_some_and(|text| (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control))
}

fn is_hash(raw: Option<&str>) -> bool {
    string(raw).is_some_and(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
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
