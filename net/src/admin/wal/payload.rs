//! What the payload of a record says.

use hex::ToHex as _;
use serde_json::{Map, Value, json};
use stemedb_engine::claim::{self, Assertion, Retraction};
use stemedb_engine::log::generation::GenerationRecord;
use stemedb_engine::log::inspect::InspectedRecord;
use stemedb_engine::log::record::RecordKind;

use crate::admin::moment;
use crate::json::{self, Kind, Reader};

/// The fields of a record's payload, by their names in the API. What cannot be read has a single field, `undecodable`.
pub(super) fn fields(record: &InspectedRecord) -> Map<String, Value> {
    let payload = record.payload.as_slice();
    let fields = match record.kind {
        RecordKind::Assertion => {
            Assertion::decode(payload).map(|found| assertion(&found)).map_err(|e| e.to_string())
        }
        RecordKind::Retraction => {
            Retraction::decode(payload).map(|found| retraction(&found)).map_err(|e| e.to_string())
        }
        RecordKind::Generation => {
            GenerationRecord::decode(payload).map(|found| generation(&found)).map_err(|e| e.to_string())
        }
        RecordKind::Vote | RecordKind::Epoch => {
            Err("this version does not know records of this kind".to_owned())
        }
    };
    match fields.unwrap_or_else(|reason| json!({ "undecodable": reason })) {
        Value::Object(fields) => fields,
        _ => unreachable!("each of the above is an object"),
    }
}

fn assertion(found: &Assertion<'_>) -> Value {
    let claim = &found.claim;
    json!({
        "hash": found.hash.0.encode_hex::<String>(),
        "concept_path": claim.subject.as_str(),
        "predicate": claim.predicate.as_str(),
        "value": value(&claim.value),
        "confidence": claim.confidence.value(),
        "timestamp": moment::format(claim.timestamp.unix_micros()),
        "source": claim.source.map(|source| source.as_str()),
        "source_class": claim.source_class.name(),
        "lifecycle": claim.lifecycle.name(),
        "signatures": found.signatures.len(),
    })
}

fn value(value: &claim::Value<'_>) -> Value {
    match value {
        claim::Value::Text(text) => text.as_str().into(),
        claim::Value::Number(number) => number.value().into(),
        claim::Value::Boolean(boolean) => (*boolean).into(),
        claim::Value::Reference(path) => path.as_str().into(),
        claim::Value::Json(json) => {
            let text = json.as_str();
            Reader::new(text.len())
                .parse(text.as_bytes())
                .map_or_else(|_| text.into(), |document| json_value(document.root()))
        }
    }
}

/// The same JSON. `serde_json` itself would take an object with a key that it uses inside for what stands behind that key.
fn json_value(value: json::Value<'_, '_>) -> Value {
    match value.kind() {
        Kind::Null => Value::Null,
        Kind::Boolean => value.as_bool().into(),
        // What no number here holds is shown as its text.
        Kind::Number => serde_json::from_str(value.text()).unwrap_or_else(|_| value.text().into()),
        Kind::String => value.as_str().into(),
        Kind::Array => value.elements().into_iter().flatten().map(json_value).collect(),
        Kind::Object => {
            value.members().into_iter().flatten().map(|(name, value)| (name, json_value(value))).collect()
        }
    }
}

fn retraction(found: &Retraction<'_>) -> Value {
    json!({
        "concept_path": found.path.as_str(),
        "reason": found.reason.as_str(),
        "timestamp": moment::format(found.at),
        "written_first": {
            "generation": found.id.generation, "lane": found.id.lane.0, "lsn": found.id.lsn,
        },
    })
}

fn generation(found: &GenerationRecord) -> Value {
    let ends: Vec<Value> = found
        .ends
        .iter()
        .map(|end| {
            json!({
                "lane": end.lane.0, "generation": end.generation.0, "segment": end.segment.0, "end": end.end_offset,
                "next_lsn": end.next_lsn.0,
            })
        })
        .collect();
    json!({
        "generation": found.generation.0,
        "lanes": found.lanes,
        "opened": moment::format(found.opened),
        "ends": ends,
    })
}

#[cfg(test)]
mod tests {
    use stemedb_engine::claim::Json;

    use super::*;

    #[test]
    fn json_is_shown_as_it_is() {
        for text in [
            r#"{"a":[null,true,-1.5,"b",{}],"c":18446744073709551615}"#,
            r#"{"$serde_json::private::RawValue":"42"}"#,
            "[]",
        ] {
            let shown = value(&claim::Value::Json(Json::new(text).expect("it is JSON")));
            assert_eq!(shown.to_string(), text);
        }
        let shown = value(&claim::Value::Json(Json::new("[1e400]").expect("it is JSON")));
        assert_eq!(shown, serde_json::json!(["1e400"]));
    }
}
