//! Goal: an `If-Match` that cannot be met hides no other answer, and a write under it stores nothing. Method: each request
//! under the condition, and then without it.

use super::*;

/// What a request is, and the statuses of the answers to it: without a condition, and under one.
type Asked = (&'static str, &'static str, &'static str, &'static str, u16, u16);

const NO_HASH: &str = "/v1/assertion/0000000000000000000000000000000000000000000000000000000000000000";
const CLAIM: &str = r#"{"subject":"a","predicate":"is","object":1,"timestamp":1600000000}"#;
const TWO_AGENTS: &str = "x-agent-id: a\r\nx-agent-id: a\r\n";

const WRONG_AGENT: &str = "x-agent-id: a b\r\n";

const ASKED: [Asked; 29] = [
    ("GET", NO_HASH, "", "", 404, 404),
    ("HEAD", NO_HASH, "", "", 404, 404),
    ("GET", "/v1/assertion/zz", "", "", 400, 400),
    ("GET", "/v1/query?limit=0", "", "", 400, 400),
    ("POST", "/v1/query", "", "{", 400, 400),
    ("POST", "/v1/assert", TWO_AGENTS, CLAIM, 400, 400),
    ("POST", "/v1/assert/batch", TWO_AGENTS, CLAIM, 400, 400),
    ("POST", "/v1/assert", WRONG_AGENT, CLAIM, 400, 400),
    ("POST", "/v1/assert/batch", WRONG_AGENT, CLAIM, 400, 400),
    ("POST", "/v1/assert", "content-encoding: gzip\r\n", CLAIM, 415, 415),
    ("POST", "/v1/assert/batch", "content-encoding: gzip\r\n", CLAIM, 415, 415),
    ("POST", "/nowhere", "", CLAIM, 404, 404),
    ("PUT", "/v1/assert", "", CLAIM, 405, 405),
    ("POST", "/v1/assert", "host: y\r\n", CLAIM, 400, 400),
    ("POST", "/v1/assert", "expect: x\r\n", CLAIM, 417, 417),
    ("OPTIONS", "*", "", "", 200, 200),
    ("GET", "/v1/query?concept_path=a", "", "", 200, 412),
    ("HEAD", "/v1/query?concept_path=a", "", "", 200, 412),
    ("POST", "/v1/query", "", r#"{"concept_path":"a"}"#, 200, 412),
    ("GET", "/v1/health", "", "", 200, 412),
    ("GET", "/ready", "", "", 200, 412),
    ("GET", "/metrics", "", "", 200, 412),
    ("GET", "/api-doc/openapi.json", "", "", 200, 412),
    ("POST", "/v1/assert", "", CLAIM, 201, 412),
    ("POST", "/v1/assert/batch", "", CLAIM, 200, 412),
    ("POST", "/v1/retract", TWO_AGENTS, r#"{"concept_path":"a","reason":"r"}"#, 200, 412),
    // The body of a write is not looked at.
    ("POST", "/v1/assert", "", "{", 400, 412),
    ("POST", "/v1/assert/batch", "", "[", 400, 412),
    ("POST", "/v1/retract", "", "{", 400, 412),
];

#[test]
fn a_condition_hides_no_other_answer_and_under_it_nothing_is_stored() {
    for (method, target, fields, body, without, under) in ASKED {
        let mut world = World::serving(2);
        let asked = format!("{method} {target} {fields:?} {body}");
        for (condition, status) in [("if-match: \"a\"\r\n", under), ("if-match: *\r\n", without)] {
            let client = world.connect(0);
            let request = format!(
                "{method} {target} HTTP/1.1\r\nhost: x\r\n{condition}{fields}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            world.send(client, request.as_bytes());
            let answer = world.take(client);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{condition}{asked}: {answer}");
            if status == 412 {
                assert!(method == "HEAD" || answer.contains(r#""code":"precondition_failed""#), "{answer}");
                world.send(client, b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n");
                assert!(world.take(client).starts_with(OK), "{asked}: the connection stays open");
                assert_eq!(world.assertions(), 0, "{asked}");
            }
        }
        let stores = without == 201 || target.ends_with("/batch") && without == 200;
        assert_eq!(world.assertions(), u64::from(stores), "{asked}");
    }
}

#[test]
fn a_body_that_is_too_large_is_so_under_any_condition() {
    let mut world = World::serving(1);
    let head = "POST /v1/assert HTTP/1.1\r\nhost: x\r\nif-match: \"a\"\r\ncontent-length: 2000000\r\n\r\n";
    assert_eq!(world.ask(0, head).0, "HTTP/1.1 413 Content Too Large");
}

#[test]
fn every_entity_tag_is_one_too_many() {
    let mut world = World::serving(1);
    for tags in ["\"a\"", "W/\"a\", \"b\"", "", "a", "*, *", "*\r\nif-match: \"a\""] {
        let (status, _) =
            world.ask(0, &format!("GET /ready HTTP/1.1\r\nhost: x\r\nif-match: {tags}\r\n\r\n"));
        assert_eq!(status, "HTTP/1.1 412 Precondition Failed", "{tags}");
    }
}

#[test]
fn a_condition_is_of_one_request() {
    let mut world = World::serving(1);
    let client = world.connect(0);
    let get = |condition: &str| format!("GET /ready HTTP/1.1\r\nhost: x\r\n{condition}\r\n");
    world.send(client, (get("if-match: \"a\"\r\n") + &get("")).as_bytes());
    let answers = world.take(client);
    assert!(answers.starts_with("HTTP/1.1 412 ") && answers.contains(OK), "{answers}");
}
