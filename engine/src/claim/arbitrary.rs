//! Arbitrary claims for property tests.

use super::*;
use crate::time::UnixMicros;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A claim that owns its texts, so that a strategy can make it.
#[derive(Debug, Clone)]
pub(crate) struct OwnedClaim {
    subject: String,
    predicate: String,
    value: OwnedValue,
    confidence: f64,
    timestamp: i64,
    source: Option<String>,
    source_class: u8,
    lifecycle: u8,
    parent: Option<[u8; 32]>,
    derived_from: Vec<[u8; 32]>,
    epoch: Option<String>,
    agent: Option<OwnedAgent>,
    source_hash: Option<[u8; 32]>,
    metadata: Option<String>,
}

#[derive(Debug, Clone)]
enum OwnedValue {
    Text(String),
    Number(f64),
    Boolean(bool),
    Reference(String),
    Json(String),
}

#[derive(Debug, Clone)]
enum OwnedAgent {
    Key([u8; 32]),
    Name(String),
}

impl OwnedClaim {
    /// The claim, borrowed.
    pub(crate) fn claim(&self) -> Claim<'_> {
        let path = |text| ConceptPath::new(text).expect("the strategy makes valid paths");
        let value = match &self.value {
            OwnedValue::Text(text) => Value::text(text),
            OwnedValue::Number(number) => Value::number(*number),
            OwnedValue::Boolean(boolean) => Ok(Value::Boolean(*boolean)),
            OwnedValue::Reference(path) => Value::reference(path),
            OwnedValue::Json(json) => Value::json(json),
        };
        let agent = self.agent.as_ref().map(|agent| match agent {
            OwnedAgent::Key(key) => Agent::Key(*key),
            OwnedAgent::Name(name) => Agent::Name(AgentName::new(name).expect("valid names")),
        });
        let derived_from = self.derived_from.iter().copied().map(ClaimHash).collect();
        Claim {
            subject: path(&self.subject),
            predicate: Predicate::new(&self.predicate).expect("the strategy makes valid predicates"),
            value: value.expect("the strategy makes valid values"),
            confidence: Confidence::new(self.confidence).expect("the strategy makes fractions"),
            timestamp: Timestamp::new(UnixMicros(self.timestamp))
                .expect("the strategy makes times from 1970 on"),
            source: self.source.as_deref().map(path),
            source_class: SourceClass::from_number(self.source_class).expect("0 to 5"),
            lifecycle: Lifecycle::from_number(self.lifecycle).expect("0 to 4"),
            parent: self.parent.map(ClaimHash),
            derived_from: DerivedFrom::new(derived_from).expect("at most 64"),
            epoch: self.epoch.as_deref().map(|text| EpochId::new(text).expect("valid epochs")),
            agent,
            source_hash: self.source_hash,
            metadata: self.metadata.as_deref().map(|text| Metadata::new(text).expect("valid objects")),
        }
    }
}

/// Any claim, short texts far more often than long ones.
pub(crate) fn claims() -> impl Strategy<Value = OwnedClaim> {
    let required = (name(512), name(256), values(), 0.0..=1.0_f64, 0..=i64::MAX, 0..=5_u8, 0..=4_u8);
    let optional = (
        option::of(name(512)),
        option::of(any::<[u8; 32]>()),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<[u8; 32]>(), 0..=64)],
        option::of(name(128)),
        option::of(agents()),
        option::of(any::<[u8; 32]>()),
        option::of(objects()),
    );
    (required, optional).prop_map(|(required, optional)| {
        let (subject, predicate, value, confidence, timestamp, source_class, lifecycle) = required;
        let (source, parent, derived_from, epoch, agent, source_hash, metadata) = optional;
        OwnedClaim {
            subject,
            predicate,
            value,
            confidence,
            timestamp,
            source,
            source_class,
            lifecycle,
            parent,
            derived_from,
            epoch,
            agent,
            source_hash,
            metadata,
        }
    })
}

/// A name of 1 to `bytes_max` bytes without control characters, often as short as can be or as long.
fn name(bytes_max: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,8}(/[a-z0-9_.-]{1,8}){0,3}",
        2 => "\\PC{1,12}".prop_filter("control characters", |text| !text.chars().any(char::is_control)),
        1 => Just("x".repeat(bytes_max)),
    ]
}

fn values() -> impl Strategy<Value = OwnedValue> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        4 => any::<String>().prop_map(OwnedValue::Text),
        1 => (0..=Value::BYTES_MAX).prop_map(|bytes| OwnedValue::Text("y".repeat(bytes))),
        4 => (POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO).prop_map(OwnedValue::Number),
        2 => any::<bool>().prop_map(OwnedValue::Boolean),
        2 => name(512).prop_map(OwnedValue::Reference),
        4 => json().prop_map(OwnedValue::Json),
    ]
}

fn agents() -> impl Strategy<Value = OwnedAgent> {
    prop_oneof![any::<[u8; 32]>().prop_map(OwnedAgent::Key), "[!-~]{1,128}".prop_map(OwnedAgent::Name),]
}

fn objects() -> impl Strategy<Value = String> {
    json().prop_map(|value| format!("{{\"k\":{value}}}"))
}

/// Minified JSON.
pub(super) fn json() -> impl Strategy<Value = String> {
    let string =
        "\"([ !#-\\[\\]-~é€😀]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude0[0-9a-f]){0,6}\"";
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
    let scalar = prop_oneof![
        prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned),
        number,
        string,
    ];
    scalar.prop_recursive(4, 32, 4, move |inner| {
        let member = (string, inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}
