//! Signatures, right and wrong.

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use crate::Watched;

/// The claim that is signed, without its signatures.
fn claim(number: u64) -> Value {
    json!({"concept_path": "signed", "predicate": "is", "value": number, "timestamp": 1_700_000_000.25})
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// A signature as a client sends it, made over the hash of the claim and its own time.
fn signature(key: &SigningKey, hash: &str, timestamp_us: i64) -> Value {
    let hash = hex::decode(hash).expect("the server writes hashes in hexadecimal digits");
    let message = [b"stemedb-claim-v1", &hash[..], &timestamp_us.to_le_bytes()].concat();
    json!({
        "agent_id": hex::encode(key.verifying_key().to_bytes()),
        "signature": hex::encode(key.sign(&message).to_bytes()),
        "timestamp": timestamp_us as f64 / 1e6,
    })
}

fn with_signatures(mut claim: Value, signatures: Value) -> String {
    claim["signatures"] = signatures;
    claim.to_string()
}

#[test]
fn a_right_signature_is_taken_and_a_wrong_one_refused_before_anything_is_written() {
    // The hash of a claim is the same without its signatures, on any server.
    let mut twin = Watched::start();
    let mut watched = Watched::start();
    let mut hash_of = |number| {
        let answer = twin.takes("/v1/assert", claim(number).to_string(), 1);
        answer["hash"].as_str().expect("an answer has the hash").to_owned()
    };
    let time = 1_700_000_123_456_789;
    for number in 0..8 {
        let hash = hash_of(number);
        let right = signature(&key(1), &hash, time);
        let mut wrong: Vec<(Value, &str)> = Vec::new();
        // Made for another claim, by another key, at another time.
        wrong.push((signature(&key(1), &hash_of(1000 + number), time), "invalid_signature"));
        let mut other_key = signature(&key(2), &hash, time);
        other_key["agent_id"] = right["agent_id"].clone();
        wrong.push((other_key, "invalid_signature"));
        let mut other_time = right.clone();
        other_time["timestamp"] = json!(1_700_000_123.456_788);
        wrong.push((other_time, "invalid_signature"));
        // One bit of it.
        let mut bytes = hex::decode(right["signature"].as_str().expect("a text")).expect("digits");
        bytes[number as usize * 8] ^= 1;
        let mut changed = right.clone();
        changed["signature"] = json!(hex::encode(bytes));
        wrong.push((changed, "invalid_signature"));
        // The identity as key, which signs everything for a lenient verifier.
        let mut identity = [0; 64];
        identity[0] = 1;
        let small_order = json!({"agent_id": hex::encode(&identity[..32]), "signature": hex::encode(identity), "timestamp": 1});
        wrong.push((small_order, "invalid_signature"));
        for (signature, code) in wrong {
            watched.refuses("/v1/assert", with_signatures(claim(number), json!([signature])), 400, code);
            // A right one beside it changes nothing.
            let both = json!([right, signature]);
            watched.refuses("/v1/assert", with_signatures(claim(number), both.clone()), 400, code);
            let answer = watched.takes("/v1/assert/batch", with_signatures(claim(number), both) + "\n", 0);
            assert_eq!(answer["errors"][0]["code"], code);
        }
        let answer = watched.takes(
            "/v1/assert",
            with_signatures(claim(number), json!([right, signature(&key(3), &hash, 0)])),
            1,
        );
        assert_eq!((&answer["hash"], &answer["status"]), (&json!(hash), &json!("created")));
        let answer = watched.takes("/v1/assert", with_signatures(claim(number), json!([right])), 0);
        assert_eq!(answer["status"], "exists");
    }
    watched.stop();
    twin.stop();
}

#[test]
fn a_malformed_signature_is_refused() {
    let mut watched = Watched::start();
    let (agent, signed) = ("00".repeat(32), "00".repeat(64));
    for (signatures, code) in [
        (json!(1), "invalid_signature"),
        (json!({}), "invalid_signature"),
        (json!([1]), "invalid_signature"),
        (json!([{}]), "missing_field"),
        (json!([{"agent_id": agent, "timestamp": 1}]), "missing_field"),
        (json!([{"agent_id": agent, "signature": signed}]), "missing_timestamp"),
        (json!([{"agent_id": agent, "signature": signed, "timestamp": "1"}]), "invalid_signature"),
        (json!([{"agent_id": agent, "signature": signed, "timestamp": -1}]), "invalid_signature"),
        (json!([{"agent_id": agent, "signature": &signed[2..], "timestamp": 1}]), "invalid_signature"),
        (
            json!([{"agent_id": agent, "signature": format!("zz{}", &signed[2..]), "timestamp": 1}]),
            "invalid_signature",
        ),
        (json!([{"agent_id": &agent[1..], "signature": signed, "timestamp": 1}]), "invalid_signature"),
        (json!([{"agent_id": agent, "signature": signed, "timestamp": 1, "kind": "x"}]), "unknown_field"),
        (json!([{"agent_id": agent, "signature": signed, "timestamp": 1}]), "invalid_signature"),
    ] {
        watched.refuses("/v1/assert", with_signatures(claim(1), signatures), 400, code);
    }
    let mut without_time = claim(1);
    without_time.as_object_mut().expect("an object").remove("timestamp");
    let signature = json!([{"agent_id": agent, "signature": signed, "timestamp": 1}]);
    watched.refuses("/v1/assert", with_signatures(without_time, signature), 400, "missing_timestamp");
    watched.takes("/v1/assert", with_signatures(claim(1), json!([])), 1);
    watched.stop();
}
