//! `stemedb-admin query` and `health` against a stand-in with canned answers.

use crate::stand_in::{StandIn, Turn};
use serde_json::{Value, json};

fn hit(value: &Value) -> Value {
    json!({"hash": "00", "concept_path": "debian/package/zsh", "predicate": "version", "value": value, "type": "Text",
        "confidence": 1.0, "timestamp": 1_783_764_997.25, "source": "source/debian/bookworm", "source_class": "clinical",
        "lifecycle": "approved", "status": "active"})
}

fn page(values: &[&str], cursor: Option<&str>) -> Turn {
    let hits: Vec<Value> = values.iter().map(|&value| hit(&value.into())).collect();
    let mut answer = json!({"assertions": hits, "count": hits.len(), "lens": null});
    if let Some(cursor) = cursor {
        answer["cursor"] = cursor.into();
    }
    Turn::Say(200, answer.to_string())
}

fn bodies(server: &StandIn) -> Vec<Value> {
    server.requests().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
}

#[test]
fn claims_are_shown_as_a_table() {
    let server = StandIn::start([page(&["5.9-4", "5.9\u{1b}-5"], None)]);
    let output = server.admin(&["query", "debian/package/zsh"], "");
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "\
PATH                PREDICATE  VALUE          CONFIDENCE  CLASS     SOURCE                  TIME
debian/package/zsh  version    \"5.9-4\"        1           clinical  source/debian/bookworm  2026-07-11T10:16:37.25Z
debian/package/zsh  version    \"5.9\\u001b-5\"  1           clinical  source/debian/bookworm  2026-07-11T10:16:37.25Z
"
    );
}

#[test]
fn a_winner_is_shown_with_its_support_and_the_runner_up() {
    let mut winner = hit(&"5.9-4".into());
    winner["resolution"] = json!({"candidates": 3, "distinct_values": 2, "supporting": 2,
        "runner_up": {"hash": "00", "value": "5.9-5", "type": "Text", "confidence": 1.0, "timestamp": 1, "supporting": 1}});
    let answer = json!({"assertions": [winner], "count": 1, "lens": "consensus",
        "resolution": {"candidates": 3, "distinct_values": 2}});
    let server = StandIn::start([Turn::Say(200, answer.to_string())]);
    let output = server.admin(&["query", "debian/package/zsh", "--lens", "consensus"], "");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("HELD BY  RUNNER-UP\n"), "{stdout}");
    assert!(stdout.ends_with("2 of 3   \"5.9-5\"\n"), "{stdout}");
}

#[test]
fn every_option_reaches_the_server() {
    let server = StandIn::start([page(&[], None)]);
    let output = server.admin(
        &[
            "query",
            "a/*",
            "--predicate",
            "p",
            "--lens",
            "consensus",
            "--limit",
            "7",
            "--as-of",
            "2026-01-28T14:30:00Z",
            "--lifecycle",
            "any",
            "--epoch",
            "e",
            "--source-class",
            "expert",
            "--min-confidence",
            "0.5",
            "--include-retracted",
            "--decay",
        ],
        "",
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "no claims\n");
    assert_eq!(server.requests()[0].0, "POST /v1/query HTTP/1.1");
    assert_eq!(
        bodies(&server),
        [
            json!({"concept_path": "a/*", "predicate": "p", "lens": "consensus", "limit": 7, "as_of": 1_769_610_600.0,
            "lifecycle": "any", "epoch": "e", "source_class": "expert", "min_confidence": 0.5, "include_retracted": true,
            "decay": true})
        ]
    );
}

#[test]
fn all_follows_the_cursors_to_the_end() {
    let server = StandIn::start([page(&["1", "2"], Some("x")), page(&["3"], Some("y")), page(&["4"], None)]);
    let output = server.admin(&["query", "a", "--all", "--json"], "");
    let values: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .flat_map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["assertions"].as_array().unwrap().clone()
        })
        .map(|hit| hit["value"].clone())
        .collect();
    assert_eq!(values, ["1", "2", "3", "4"]);
    let asked: Vec<_> =
        bodies(&server).iter().map(|body| (body["limit"].clone(), body["cursor"].clone())).collect();
    assert_eq!(
        asked,
        [(10_000.into(), Value::Null), (10_000.into(), "x".into()), (10_000.into(), "y".into())]
    );
}

#[test]
fn a_limit_ends_the_listing_and_says_that_there_is_more() {
    let server = StandIn::start([page(&["1", "2"], Some("x")), page(&["3"], Some("y"))]);
    let output = server.admin(&["query", "a", "--limit", "3"], "");
    assert_eq!(bodies(&server)[1]["limit"], 1);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "There are more: --limit 30 or --all shows them.\n");
}

#[test]
fn a_refusal_is_passed_on_in_the_servers_words() {
    let refusal = r#"{"error":{"code":"invalid_lens","message":"no lens `best`","field":"lens"}}"#;
    let server = StandIn::start([Turn::Say(400, refusal.to_owned())]);
    let output = server.admin(&["query", "a", "--lens", "best"], "");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "stemedb-admin: the server refused: no lens `best` (status 400, code invalid_lens)\n");
}

#[test]
fn health_succeeds_only_when_healthy_and_ready() {
    let say = |status, text: &str| Turn::Say(status, text.to_owned());
    let server = StandIn::start([
        say(200, r#"{"status":"healthy","assertion_count":3}"#),
        say(200, "{}"),
        say(200, r#"{"status":"degraded","assertion_count":3}"#),
        say(200, "{}"),
        say(200, r#"{"status":"healthy","assertion_count":0}"#),
        say(503, "{}"),
        say(200, "<html>"),
    ]);
    let healthy = server.admin(&["health"], "");
    assert!(healthy.status.success());
    assert!(String::from_utf8_lossy(&healthy.stdout).contains("assertion_count      3\n"));
    assert_eq!(server.admin(&["health"], "").status.code(), Some(1), "degraded");
    let recovering = server.admin(&["health", "--json"], "");
    assert_eq!(recovering.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&recovering.stdout).unwrap();
    assert_eq!(report, json!({"status": "healthy", "assertion_count": 0, "ready": false}));
    let other = server.admin(&["health"], "");
    assert_eq!(other.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&other.stderr).contains("Is it another server?"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = StandIn::start([]);
    let output = server.admin(&["health", "--url", "http://127.0.0.1:1"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer from http://127.0.0.1:1: "));
}
