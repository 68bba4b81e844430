//! Claims that tests write and look for again.

use serde::Deserialize;
use serde_json::{Value, json};

/// A claim whose every field is known, so that it is the same claim however often it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct TestClaim {
    /// `concept_path`.
    pub path: String,
    /// `predicate`.
    pub predicate: String,
    /// `value`, bare.
    pub value: Value,
    /// `confidence`.
    pub confidence: f64,
    /// `timestamp`, in microseconds.
    pub timestamp_us: u64,
    /// `source`.
    pub source: Option<String>,
}

/// A claim as the answer to a query tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Row {
    /// The claim's hash.
    pub hash: String,
    /// The subject.
    pub concept_path: String,
    /// The predicate.
    pub predicate: String,
    /// The value, bare.
    pub value: Value,
    /// The confidence.
    pub confidence: f64,
    /// Unix seconds.
    pub timestamp: f64,
    /// The evidence.
    pub source: Option<String>,
    /// `active` or `retracted`.
    pub status: String,
}

impl TestClaim {
    /// A claim of some time ago without a source.
    pub fn new(path: impl Into<String>, predicate: &str, value: impl Into<Value>) -> TestClaim {
        TestClaim {
            path: path.into(),
            predicate: predicate.to_owned(),
            value: value.into(),
            confidence: 0.75,
            timestamp_us: 1_700_000_000_000_000,
            source: None,
        }
    }

    /// What to send: an object, without a line feed.
    pub fn json(&self) -> String {
        let mut object = json!({
            "concept_path": self.path,
            "predicate": self.predicate,
            "value": self.value,
            "confidence": self.confidence,
            "timestamp": self.seconds(),
        });
        if let Some(source) = &self.source {
            object["source"] = json!(source);
        }
        object.to_string()
    }

    /// Whether `row` tells exactly this claim.
    pub fn is_told_by(&self, row: &Row) -> bool {
        row.concept_path == self.path
            && row.predicate == self.predicate
            && row.value == self.value
            && row.confidence == self.confidence
            && row.timestamp == self.seconds()
            && row.source == self.source
    }

    fn seconds(&self) -> f64 {
        self.timestamp_us as f64 / 1e6
    }
}
