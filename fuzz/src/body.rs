//! JSON bodies, against another reader of JSON.

use serde_json::Value as Model;
use stemedb_engine::claim::{Agent, Assertion, Claim, Value as ClaimValue};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{AssertContext, ClaimReader};
use stemedb_net::json::{DEPTH_MAX, JsonError, Kind, Reader, Value};

use crate::refusal::{self, Members};

const BODY_BYTES_MAX: usize = 1 << 20;

/// A bound that inputs reach.
const SMALL_BYTES_MAX: usize = 64;

/// Any body: it is JSON to the server if and only if it is to `serde_json`, and means the same; only one that is nested too
/// deeply, or too large, is refused all the same.
pub fn json_body(input: &[u8]) {
    let mut reader = Reader::new(BODY_BYTES_MAX);
    let model = serde_json::from_slice::<Model>(input);
    let outcome = reader.parse(input);
    let is_read = outcome.is_ok();
    match (outcome, model) {
        (Ok(document), Ok(model)) => {
            assert!(refusal::nesting(input) <= DEPTH_MAX);
            assert_same(document.root(), &model);
        }
        // serde_json has no number beyond the range of an f64, but passes over one that it need not keep.
        (Ok(_), Err(error)) => {
            assert!(
                refusal::is_json(input) && error.to_string().contains("out of range"),
                "accepted {input:?}: {error}"
            );
        }
        (Err(JsonError::TooDeep { .. }), Ok(_)) => assert!(refusal::nesting(input) > DEPTH_MAX),
        (Err(error), Ok(_)) => panic!("refused {:?}: {error}", String::from_utf8_lossy(input)),
        (Err(_), Err(_)) => {}
    }
    let mut small = Reader::new(SMALL_BYTES_MAX);
    match small.parse(input) {
        Err(JsonError::TooLarge { bytes, bytes_max }) => {
            assert_eq!((bytes, bytes_max), (input.len(), SMALL_BYTES_MAX));
            assert!(bytes > bytes_max);
        }
        small => assert!(input.len() <= SMALL_BYTES_MAX && small.is_ok() == is_read),
    }
}

fn assert_same(value: Value<'_, '_>, model: &Model) {
    match (value.kind(), model) {
        (Kind::Null, Model::Null) => {}
        (Kind::Boolean, Model::Bool(model)) => assert_eq!(value.as_bool(), Some(*model)),
        (Kind::Number, Model::Number(model)) => {
            assert_eq!(value.as_f64(), model.as_f64());
            // An integer keeps its digits, whether an f64 has it or not.
            if model.is_i64() || model.is_u64() {
                assert_eq!(value.text(), model.to_string());
            }
        }
        (Kind::String, Model::String(model)) => assert_eq!(value.as_str(), Some(&model[..])),
        (Kind::Array, Model::Array(model)) => {
            let elements = value.elements().expect("an array");
            assert_eq!(elements.len(), model.len());
            elements.zip(model).for_each(|(value, model)| assert_same(value, model));
        }
        (Kind::Object, Model::Object(model)) => {
            // Of a key that repeats, the model has the last value.
            let members: Vec<_> = value.members().expect("an object").collect();
            assert!(members.iter().all(|(key, _)| model.contains_key(*key)));
            for (key, model) in model {
                let (_, value) = members.iter().rfind(|(given, _)| given == key).expect("the key is there");
                assert_same(*value, model);
            }
        }
        (kind, model) => panic!("{kind:?} is not {model:?}"),
    }
}

/// The body of an assert: the claim that is read says what the body says, and survives its encoding.
pub fn assert_body(input: &[u8]) {
    let context =
        AssertContext { now: UnixMicros(1_700_000_000_000_000), future_us_max: 300_000_000, agent: None };
    let mut reader = ClaimReader::new(BODY_BYTES_MAX);
    let request = match reader.read(input, &context) {
        Ok(request) => request,
        Err(error) => {
            assert!((400..500).contains(&error.code.status().code()), "{error:?} is the client's mistake");
            refusal::check(&error, input, 1.7e9);
            return;
        }
    };
    let members = Members::of(input).expect("claims are objects");
    assert!(!members.repeats(), "a field that is given twice may mean either");
    let value = members.raw(&["value", "object"]).expect("a value is required");
    assert_digits_kept(&request.claim, value);

    let mut payload = Vec::new();
    stemedb_engine::claim::assertion::encode(&request.claim, &request.signatures, &mut payload);
    let assertion = Assertion::decode(&payload).expect("it was just encoded");
    assert_eq!(assertion.claim, request.claim);

    match serde_json::from_slice::<Model>(input) {
        Ok(model) => assert_says(&request.claim, &model, value),
        Err(error) => assert!(error.to_string().contains("out of range"), "accepted {input:?}: {error}"),
    }
}

/// Compares the claim with the body it was read from, in which `raw` is the value.
fn assert_says(claim: &Claim<'_>, body: &Model, raw: &str) {
    let members = body.as_object().expect("claims are objects");
    let given = |names: &[&str]| {
        let mut present = names.iter().filter_map(|name| members.get(*name));
        let first = present.next().filter(|value| !value.is_null());
        assert!(present.next().is_none(), "two names of one field");
        first
    };
    let text = |names: &[&str]| given(names).map(|value| value.as_str().expect("text is a string"));
    assert_eq!(text(&["concept_path", "subject"]), Some(claim.subject.as_str()));
    assert_eq!(text(&["predicate"]), Some(claim.predicate.as_str()));
    assert_eq!(text(&["source"]), claim.source.map(|source| source.as_str()));
    assert_eq!(text(&["epoch"]), claim.epoch.map(|epoch| epoch.as_str()));
    assert_eq!(text(&["lifecycle"]).unwrap_or("approved"), claim.lifecycle.name());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash = |name| text(&[name]).map(str::to_ascii_lowercase);
    assert_eq!(hash("parent_hash"), claim.parent.map(|parent| parent.to_string()));
    assert_eq!(hash("source_hash"), claim.source_hash.map(|source_hash| hex(&source_hash)));
    match claim.agent {
        Some(Agent::Key(key)) => assert_eq!(hash("agent_id"), Some(hex(&key))),
        Some(Agent::Name(name)) => panic!("the body cannot give an agent the name {name:?}"),
        None => assert_eq!(hash("agent_id"), None),
    }
    let confidence = given(&["confidence"]).map_or(1.0, |value| value.as_f64().expect("a number"));
    assert_eq!(claim.confidence.value(), confidence);
    let derived_from = given(&["derived_from"]).map_or(&[][..], |value| value.as_array().expect("an array"));
    let derived_from = derived_from.iter().map(|hash| hash.as_str().expect("a string").to_ascii_lowercase());
    assert!(derived_from.eq(claim.derived_from.iter().map(|hash| hash.to_string())));
    let metadata = claim.metadata.map(|metadata| parsed(metadata.as_str()));
    assert_eq!(given(&["metadata"]).cloned(), metadata);
    let seconds = given(&["timestamp"]).map_or(1.7e9, |value| value.as_f64().expect("a number"));
    let micros = claim.timestamp.unix_micros();
    assert!((micros.as_seconds() - seconds).abs() <= 2e-6, "{seconds} s became {micros:?}");

    let mut values = ["value", "object"].iter().filter_map(|name| members.get(*name));
    let value = values.next().expect("a value is required, null being one");
    assert!(values.next().is_none(), "two names of one field");
    assert_value_says(&claim.value, inner_value(value, raw));
}

/// What a value in its typed form holds; any other value itself.
fn inner_value<'m>(value: &'m Model, raw: &str) -> &'m Model {
    const TYPES: [&str; 5] = ["Text", "Number", "Boolean", "Reference", "Json"];
    let Some(members) = value.as_object() else {
        return value;
    };
    if Members::of(raw.as_bytes()).is_none_or(|written| written.0.len() != members.len()) {
        // A key repeats.
        return value;
    }
    let entries: Vec<_> = members.iter().collect();
    match entries[..] {
        [(name, inner)] if TYPES.contains(&&name[..]) => inner,
        [_, _] => match (members.get("type").and_then(Model::as_str), members.get("value")) {
            (Some(name), Some(inner)) if TYPES.contains(&name) => inner,
            _ => value,
        },
        _ => value,
    }
}

fn assert_value_says(value: &ClaimValue<'_>, model: &Model) {
    match value {
        ClaimValue::Text(text) => assert_eq!(model.as_str(), Some(text.as_str())),
        ClaimValue::Number(number) => assert_eq!(model.as_f64(), Some(number.value())),
        ClaimValue::Boolean(boolean) => assert_eq!(model.as_bool(), Some(*boolean)),
        ClaimValue::Reference(path) => assert_eq!(model.as_str(), Some(path.as_str())),
        ClaimValue::Json(json) => assert_eq!(&parsed(json.as_str()), model),
    }
}

/// Integers that an f64 might not hold are not numbers: their digits are kept. Other numbers are what their digits say.
fn assert_digits_kept(claim: &Claim<'_>, raw: &str) {
    let integer = raw.strip_prefix('-').unwrap_or(raw);
    if !integer.starts_with(|first: char| first.is_ascii_digit()) {
        return;
    }
    let is_integer = integer.bytes().all(|byte| byte.is_ascii_digit());
    let number: f64 = raw.parse().expect("a number");
    let is_exact = !is_integer || integer.parse::<u64>().is_ok_and(|integer| integer <= 1 << 53);
    match claim.value {
        ClaimValue::Number(value) => assert!(is_exact && value.value() == number, "{value:?} of {raw}"),
        ClaimValue::Json(json) => {
            assert_eq!(json.as_str(), raw);
            assert!(!is_exact || number.is_infinite(), "{raw} is a number");
        }
        other => panic!("{raw} was read as {other:?}"),
    }
}

fn parsed(json: &str) -> Model {
    serde_json::from_str(json).expect("a claim holds valid JSON")
}
