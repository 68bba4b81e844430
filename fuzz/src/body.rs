//! JSON bodies, against another reader of JSON.

use serde_json::Value as Model;
use stemedb_engine::claim::{Agent, Assertion, Value as ClaimValue};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{AssertContext, ClaimReader, ClaimRequest};
use stemedb_net::json::{DEPTH_MAX, JsonError, Kind, Reader, Value};

use crate::plain;
use crate::refusal::{self, CLASSES, Members};
use crate::world::NOW;

const BODY_BYTES_MAX: usize = 1 << 20;

/// How far in the future a timestamp may lie.
const FUTURE_US_MAX: i64 = 300_000_000;

/// A bound that inputs reach.
const SMALL_BYTES_MAX: usize = 64;

/// Any body: it is JSON to the server if and only if it is to `serde_json`, and means the same; only one that is nested too
/// deeply, or too large, is refused all the same.
pub fn json_body(input: &[u8]) {
    let mut reader = Reader::new(BODY_BYTES_MAX);
    let model = plain::read(input);
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
    let context = AssertContext { now: NOW, future_us_max: FUTURE_US_MAX, agent: None };
    let latest = UnixMicros(NOW.0 + FUTURE_US_MAX);
    let mut reader = ClaimReader::new(BODY_BYTES_MAX);
    let request = match reader.read(input, &context) {
        Ok(request) => request,
        Err(error) => {
            assert!((400..500).contains(&error.code.status().code()), "{error:?} is the client's mistake");
            refusal::check(&error, input, latest.as_seconds());
            return;
        }
    };
    let members = Members::of(input).expect("claims are objects");
    assert!(!members.repeats(), "a field that is given twice may mean either");
    let value = members.raw(&["value", "object"]).expect("a value is required");
    assert_typed(&request.claim.value, value);
    assert!(request.claim.timestamp.unix_micros() <= latest);

    let mut payload = Vec::new();
    stemedb_engine::claim::assertion::encode(&request.claim, &request.signatures, &mut payload);
    let assertion = Assertion::decode(&payload).expect("it was just encoded");
    assert_eq!(assertion.claim, request.claim);
    assert_eq!(assertion.signatures.iter().collect::<Vec<_>>(), request.signatures);

    match plain::read(input) {
        Ok(model) => assert_says(&request, &model, value),
        Err(error) => assert!(error.to_string().contains("out of range"), "accepted {input:?}: {error}"),
    }
}

/// Compares the claim with the body it was read from, in which `raw` is the value.
fn assert_says(request: &ClaimRequest<'_>, body: &Model, raw: &str) {
    let claim = &request.claim;
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
    let class = given(&["source_class"]).map_or_else(
        || class_of(claim.subject.as_str()),
        |class| match class.as_u64() {
            Some(number) => CLASSES[number as usize],
            None => class.as_str().expect("a class has a number and a name"),
        },
    );
    assert_eq!(claim.source_class.name(), class);
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
    assert_eq!(request.timestamp_given, given(&["timestamp"]).is_some());
    let seconds = given(&["timestamp"]).map_or(NOW.as_seconds(), |value| value.as_f64().expect("a number"));
    assert_time(claim.timestamp.unix_micros(), seconds);
    let signatures = given(&["signatures"]).map_or(&[][..], |value| value.as_array().expect("an array"));
    assert_eq!(request.signatures.len(), signatures.len());
    for (signature, model) in request.signatures.iter().zip(signatures) {
        let text = |name: &str| model[name].as_str().map(str::to_ascii_lowercase);
        assert_eq!(text("agent_id"), Some(hex(&signature.agent_key)));
        assert_eq!(text("signature"), Some(hex(&signature.signature)));
        assert_time(signature.timestamp, model["timestamp"].as_f64().expect("a number"));
    }

    let mut values = ["value", "object"].iter().filter_map(|name| members.get(*name));
    let value = values.next().expect("a value is required, null being one");
    assert!(values.next().is_none(), "two names of one field");
    assert_value_says(&claim.value, inner_value(value, raw));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An f64 has the microseconds of any year near ours, but for the last bit.
fn assert_time(micros: UnixMicros, seconds: f64) {
    let bits_lost = seconds.abs() * f64::EPSILON;
    assert!((micros.as_seconds() - seconds).abs() <= 2e-6 + bits_lost, "{seconds} s became {micros:?}");
}

/// The class of a claim that names none: its subject's scheme implies one.
fn class_of(subject: &str) -> &'static str {
    const SCHEMES: [(&str, &str); 8] = [
        ("rfc://", "regulatory"),
        ("fda://", "regulatory"),
        ("ietf://", "regulatory"),
        ("peer://", "clinical"),
        ("pubmed://", "clinical"),
        ("community://", "community"),
        ("blog://", "anecdotal"),
        ("anon://", "anecdotal"),
    ];
    let implied = SCHEMES.iter().find(|(scheme, _)| subject.starts_with(scheme));
    implied.map_or("expert", |(_, class)| class)
}

/// What a value in its typed form holds; any other value itself.
fn inner_value<'m>(value: &'m Model, raw: &str) -> &'m Model {
    let Some((name, _)) = refusal::typed(raw) else { return value };
    value.get(&name).or_else(|| value.get("value")).expect("a typed form has a value")
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

/// A value has the type that it names, or else that of the JSON it is.
fn assert_typed(value: &ClaimValue<'_>, raw: &str) {
    let typed = refusal::typed(raw);
    let (name, raw) = match &typed {
        Some((name, inner)) => (&name[..], inner.get()),
        None => match raw.as_bytes()[0] {
            b'"' => ("Text", raw),
            b't' | b'f' => ("Boolean", raw),
            b'-' | b'0'..=b'9' => ("Number", raw),
            _ => ("Json", raw),
        },
    };
    match name {
        "Number" => assert_digits_kept(value, raw),
        name => assert_eq!(value.value_type().name(), name, "of {raw}"),
    }
}

/// Integers that an f64 might not hold are not numbers: their digits are kept. Other numbers are what their digits say.
fn assert_digits_kept(value: &ClaimValue<'_>, raw: &str) {
    let integer = raw.strip_prefix('-').unwrap_or(raw);
    let is_integer = integer.bytes().all(|byte| byte.is_ascii_digit());
    let number: f64 = raw.parse().expect("a number");
    let is_exact = !is_integer || integer.parse::<u64>().is_ok_and(|integer| integer <= 1 << 53);
    match value {
        ClaimValue::Number(value) => assert!(is_exact && value.value() == number, "{value:?} of {raw}"),
        ClaimValue::Json(json) => {
            assert_eq!(json.as_str(), raw);
            assert!(!is_exact || number.is_infinite(), "{raw} is a number");
        }
        other => panic!("{raw} was read as {other:?}"),
    }
}

fn parsed(json: &str) -> Model {
    plain::read(json.as_bytes()).expect("a claim holds valid JSON")
}
