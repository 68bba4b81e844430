//! Everything that a server can be asked.

use stemedb_tests::Server;
use stemedb_tests::claims::TestClaim;

/// Asks each endpoint, in a way that is answered and in ways that are refused. Each `round` writes new claims.
pub(crate) fn ask_everything(server: &Server, round: u64) {
    let mut client = server.client();
    let claims = |from: u64| {
        (from..from + 20).map(|number| TestClaim::new(path(number), "round", round * 40 + number))
    };
    for claim in claims(0) {
        client.post("/v1/assert", claim.json()).expect("an answer").ok();
    }
    let lines: String = claims(20).map(|claim| claim.json() + "\n").collect();
    client.post("/v1/assert/batch", lines).expect("an answer").ok();
    let found =
        client.post("/v1/query", r#"{"concept_path":"watched/*","limit":1}"#).expect("an answer").ok();
    let hash = found["assertions"][0]["hash"].as_str().expect("a claim has a hash");
    for target in [
        &format!("/v1/assertion/{hash}"),
        "/v1/query?concept_path=watched/1&lens=recency",
        "/v1/health",
        "/health",
        "/api-doc/openapi.json",
    ] {
        client.get(target).expect("an answer").ok();
    }
    for target in ["/ready", "/metrics"] {
        assert_eq!(client.get(target).expect("an answer").status, 200);
    }
    client.post("/v1/retract", r#"{"concept_path":"watched/1","reason":"a test"}"#).expect("an answer").ok();

    for (method, target, body, status) in [
        ("GET", "/nowhere", "", 404),
        ("DELETE", "/v1/query", "", 405),
        ("POST", "/v1/assert", r#"{"concept_path":"a","predicate":"b","value":1,"confidence":2}"#, 400),
        ("POST", "/v1/assert", "no JSON", 400),
        ("POST", "/v1/query", r#"{"concept_path":"watched/*","lens":"authority"}"#, 501),
    ] {
        let answer = client.request(method, target, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{method} {target}");
    }
}

fn path(number: u64) -> String {
    format!("watched/{number}")
}
