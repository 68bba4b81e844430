//! Checking JSON, against another reader of JSON.

use serde::de::IgnoredAny;
use stemedb_engine::claim::Json;

use crate::plain;

/// JSON text: what [`Json`] accepts is JSON to `serde_json` too, and what `serde_json` writes is accepted.
pub fn json(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if Json::new(text).is_ok() {
        // Reading into nothing has no opinion on numbers that no `f64` holds.
        let read = serde_json::from_str::<IgnoredAny>(text);
        assert!(read.is_ok(), "accepted {text:?}, which is not JSON: {read:?}");
    }
    if let Ok(value) = plain::read(text.as_bytes()) {
        let minified = value.to_string();
        if minified.len() <= stemedb_engine::claim::Value::BYTES_MAX {
            let checked = Json::new(&minified);
            assert!(checked.is_ok(), "refused {minified:?}: {checked:?}");
        }
    }
}
