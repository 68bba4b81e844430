//! Gives claims without a timestamp one, so that sending them twice stores them once.
//!
//! The server would give such a claim the time of its arrival; a second sending would then be a second claim.
//! A timestamp that comes from the file instead is the same in every attempt.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use stemedb_engine::time::UnixMicros;

use crate::admin::moment;

/// The timestamp for claims that have none.
pub(super) struct Stamp {
    /// As the API writes it: decimal Unix seconds.
    seconds: String,
}

impl Stamp {
    pub(super) fn new(time: UnixMicros) -> Stamp {
        Stamp { seconds: moment::unix_seconds(time) }
    }

    /// Appends `line` to `out`, with a timestamp if it is a JSON object that has none (or `null`).
    ///
    /// The rest of the line stays as it is, byte for byte. What is not a JSON object is passed on
    /// unchanged: the server says what is wrong with it.
    pub(super) fn append(&self, line: &[u8], out: &mut Vec<u8>) {
        match find_timestamp(line) {
            Some(Found { timestamp: Timestamp::Absent, other_fields }) => {
                let brace =
                    line.iter().position(|&byte| byte == b'{').expect("an object was parsed from the line");
                out.extend_from_slice(&line[..=brace]);
                out.extend_from_slice(b"\"timestamp\":");
                out.extend_from_slice(self.seconds.as_bytes());
                if other_fields {
                    out.push(b',');
                }
                out.extend_from_slice(&line[brace + 1..]);
            }
            Some(Found { timestamp: Timestamp::Null(null), .. }) => {
                out.extend_from_slice(&line[..null.start]);
                out.extend_from_slice(self.seconds.as_bytes());
                out.extend_from_slice(&line[null.end..]);
            }
            Some(Found { timestamp: Timestamp::Present, .. }) | None => out.extend_from_slice(line),
        }
    }
}

/// What a line that is one JSON object says about its timestamp.
struct Found {
    timestamp: Timestamp,
    other_fields: bool,
}

enum Timestamp {
    Absent,
    /// The field is there, its value is `null`, at these bytes of the line.
    Null(Range<usize>),
    Present,
}

/// Looks at the keys of the object on `line`; `None` if the line is not exactly one JSON object.
fn find_timestamp(line: &[u8]) -> Option<Found> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let found = deserializer.deserialize_map(FieldVisitor { line }).ok()?;
    deserializer.end().ok()?;
    Some(found)
}

struct FieldVisitor<'a> {
    line: &'a [u8],
}

/// A key, borrowed unless it is written with escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Visitor<'a> for FieldVisitor<'a> {
    type Value = Found;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a claim, which is a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut fields: A) -> Result<Found, A::Error> {
        let mut found = Found { timestamp: Timestamp::Absent, other_fields: false };
        while let Some(Key(key)) = fields.next_key()? {
            if key != "timestamp" {
                fields.next_value::<IgnoredAny>()?;
                found.other_fields = true;
                continue;
            }
            let value = fields.next_value::<&'a RawValue>()?.get();
            found.timestamp = if value == "null" {
                let start = value.as_ptr().addr() - self.line.as_ptr().addr();
                Timestamp::Null(start..start + value.len())
            } else {
                Timestamp::Present
            };
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn stamped(line: &str) -> String {
        let mut out = Vec::new();
        Stamp::new(UnixMicros(1_700_000_000_250_000)).append(line.as_bytes(), &mut out);
        String::from_utf8(out).expect("the line and the stamp are UTF-8")
    }

    #[test]
    fn a_missing_timestamp_is_put_in_and_nothing_else_is_touched() {
        assert_eq!(stamped(r#"{"value": 1.0e2}"#), r#"{"timestamp":1700000000.250000,"value": 1.0e2}"#);
        assert_eq!(stamped(" { } "), r#" {"timestamp":1700000000.250000 } "#);
        // A timestamp further down is not the claim's.
        assert_eq!(
            stamped(r#"{"value":{"timestamp":5}}"#),
            r#"{"timestamp":1700000000.250000,"value":{"timestamp":5}}"#
        );
    }

    #[test]
    fn a_null_timestamp_is_a_missing_one() {
        assert_eq!(
            stamped(r#"{"timestamp" : null, "a":null}"#),
            r#"{"timestamp" : 1700000000.250000, "a":null}"#
        );
    }

    #[test]
    fn a_line_with_a_timestamp_or_that_is_no_object_stays_as_it_is() {
        for line in [
            r#"{"timestamp":1700000000,"value":1}"#,
            r#"{"value":1,"\u0074imestamp":3}"#,
            r#"{"timestamp":"soon"}"#,
            r#"{"value":1"#,
            r#"{"value":1} {"value":2}"#,
            r#"{"value":}"#,
            r#"[{"value":1}]"#,
            "null",
            "not JSON",
            "",
        ] {
            assert_eq!(stamped(line), line);
        }
    }

    proptest! {
        /// Whatever the object, the stamped line holds the same fields, and exactly one timestamp.
        #[test]
        fn only_the_timestamp_differs(fields in prop::collection::btree_map("[a-z\"\\\\\u{1}ü{}]{0,4}|timestamp", "\\PC*", 0..6)) {
            let object: serde_json::Map<String, Value> = fields.into_iter().map(|(k, v)| (k, v.into())).collect();
            let line = Value::Object(object.clone()).to_string();
            let mut after: serde_json::Map<String, Value> = serde_json::from_str(&stamped(&line)).unwrap();
            if !object.contains_key("timestamp") {
                prop_assert_eq!(after.remove("timestamp"), Some(Value::from(1_700_000_000.25)));
            }
            prop_assert_eq!(after, object);
        }
    }
}
