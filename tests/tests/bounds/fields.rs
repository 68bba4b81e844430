//! Bounds of what a request says that are not those of a claim's fields, which `bad_input` tests.

use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::http;

use crate::{Served, is_refusal, text};

#[test]
fn names_in_header_fields_have_their_lengths() {
    let mut served = Served::with(&[]);
    for (bytes, is_kept) in [(1, true), (64, true), (65, false), (8000, false)] {
        let id = "i".repeat(bytes);
        let request = http::request_with("GET", "/ready", &format!("X-Request-Id: {id}\r\n"), b"");
        served.client.send(&request).expect("it is received");
        let response = served.client.response().expect("an answer");
        assert_eq!(response.field("x-request-id") == Some(&id), is_kept, "{bytes} bytes");
        assert!(response.field("x-request-id").is_some_and(|id| (1..=64).contains(&id.len())));
    }
    let claim = TestClaim::new("by/name", "is", 1).json();
    for target in ["/v1/assert", "/v1/assert/batch"] {
        for (bytes, status) in [(1, 200), (128, 200), (129, 400), (8000, 400)] {
            let fields = format!("X-Agent-Id: {}\r\n", "n".repeat(bytes));
            served
                .client
                .send(&http::request_with("POST", target, &fields, claim.as_bytes()))
                .expect("it is received");
            let response = served.client.response().expect("an answer");
            match status {
                400 => is_refusal(&response, 400, "invalid_agent_id"),
                _ => assert!(response.status < 300, "{bytes} bytes: {response:?}"),
            }
        }
    }
    served.server.stop();
}

#[test]
fn a_claim_has_sixteen_signatures_and_no_more() {
    const SIGNATURES_MAX: u8 = 16;
    let mut served = Served::with(&[]);
    let claim = TestClaim::new("signed", "is", 1);
    let mut twin = Served::with(&[]);
    let hash = twin.takes("/v1/assert", claim.json())["hash"].as_str().map(hex::decode);
    let hash = hash.expect("an answer has the hash").expect("digits");
    let signature = |number: u8| {
        let key = SigningKey::from_bytes(&[number; 32]);
        let message = [b"stemedb-claim-v1", &hash[..], &claim.timestamp_us.to_le_bytes()].concat();
        json!({
            "agent_id": hex::encode(key.verifying_key().to_bytes()),
            "signature": hex::encode(key.sign(&message).to_bytes()),
            "timestamp": claim.timestamp_us / 1_000_000,
        })
    };
    let signed_by = |keys: u8| {
        let signatures: Vec<_> = (1..=keys).map(signature).collect();
        let mut signed: serde_json::Value = serde_json::from_str(&claim.json()).expect("JSON");
        signed["signatures"] = json!(signatures);
        signed.to_string()
    };
    served.refuses("/v1/assert", signed_by(SIGNATURES_MAX + 1), 400, "invalid_signature");
    assert_eq!(served.server.assertion_count(), 0);
    let answer = served.takes("/v1/assert", signed_by(SIGNATURES_MAX));
    assert_eq!(answer["status"], "created");
    served.server.stop();
    twin.server.stop();
}

#[test]
fn errors_are_short_however_long_what_was_wrong_is() {
    let mut served = Served::with(&[]);
    let long = "x".repeat(900_000);
    let claim = |field: &str, value: &str| {
        format!("{{\"concept_path\":\"a\",\"predicate\":\"p\",\"value\":1,{field:?}:{value}}}")
    };
    for (field, code) in [
        ("concept_path", "duplicate_field"),
        ("lifecycle", "invalid_lifecycle"),
        ("source_class", "invalid_source_class"),
        ("parent_hash", "invalid_parent_hash"),
        ("source_hash", "invalid_source_hash"),
        ("agent_id", "invalid_agent_id"),
        ("epoch", "invalid_epoch"),
        ("source", "invalid_source"),
        ("confidence", "invalid_confidence"),
        ("timestamp", "invalid_timestamp"),
        ("metadata", "invalid_metadata"),
    ] {
        served.refuses("/v1/assert", claim(field, &text(900_000)), 400, code);
    }
    served.refuses("/v1/assert", claim(&long, "1"), 400, "unknown_field");
    served.refuses("/v1/assert", claim("confidence", &"9".repeat(900_000)), 400, "invalid_confidence");
    served.refuses("/v1/assert", long.as_bytes(), 400, "invalid_json");
    for (field, code) in [
        ("lens", "unknown_lens"),
        ("cursor", "invalid_cursor"),
        ("lifecycle", "invalid_lifecycle"),
        ("decay", "invalid_decay"),
        ("limit", "invalid_limit"),
    ] {
        let query = format!("{{\"concept_path\":\"a\",\"{field}\":{}}}", text(900_000));
        served.refuses("/v1/query", query, 400, code);
        let target = format!("/v1/query?concept_path=a&{field}={}", "x".repeat(8000));
        is_refusal(&served.client.get(&target).expect("an answer"), 400, code);
    }
    let retraction = format!("{{\"concept_path\":\"a\",\"reason\":{}}}", text(900_000));
    served.refuses("/v1/retract", retraction, 400, "invalid_reason");

    // Paths and methods are the client's words too; a control character takes six bytes in JSON.
    for path in ["/".to_owned() + &"x".repeat(8000), "/".to_owned() + &"%01".repeat(2500)] {
        is_refusal(&served.client.get(&path).expect("an answer"), 404, "not_found");
    }
    let hash = "/v1/assertion/".to_owned() + &"e".repeat(8000);
    is_refusal(&served.client.get(&hash).expect("an answer"), 400, "invalid_hash");
    let post = served.client.post(&hash, b"").expect("an answer");
    is_refusal(&post, 405, "method_not_allowed");

    // Of a batch there are the first hundred of them.
    let line = claim(&"é".repeat(4000), "1") + "\n";
    let answer = served.client.post("/v1/assert/batch", line.repeat(500)).expect("an answer");
    assert_eq!(answer.ok()["rejected"], 500);
    assert_eq!(answer.ok()["errors"].as_array().map(Vec::len), Some(100));
    assert!(answer.body.len() <= 100 * 1024, "{} bytes", answer.body.len());

    // Behind a method that nobody knows nothing more is read from the connection.
    let method = served.client.request(&"M".repeat(12_000), "/v1/query", b"").expect("an answer");
    is_refusal(&method, 501, "unknown_method");
    served.server.stop();
}
