//! Every limit: what is at it is fine, what is above it is told so.

use stemedb_tests::http;

use crate::Watched;
use crate::watched::claim_with;

const HEX_64: &str = "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";
const BODY_BYTES_MAX: usize = 1 << 20;

fn text(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes))
}

/// A text of so many bytes, most of them two to a character.
fn wide_text(bytes: usize) -> String {
    format!("\"{}{}\"", "x".repeat(bytes % 2), "é".repeat(bytes / 2))
}

#[test]
fn each_field_has_its_length() {
    let mut watched = Watched::start();
    for (field, bytes_max, code) in [
        ("concept_path", 512, "invalid_concept_path"),
        ("predicate", 256, "invalid_predicate"),
        ("value", 64 << 10, "invalid_value"),
        ("source", 512, "invalid_source"),
        ("epoch", 128, "invalid_epoch"),
    ] {
        for text in [text, wide_text] {
            watched.takes("/v1/assert", claim_with(field, &text(bytes_max)), 1);
            watched.refuses("/v1/assert", claim_with(field, &text(bytes_max + 1)), 400, code);
        }
        watched.refuses("/v1/assert", claim_with(field, &text(900_000)), 400, code);
    }
    // Of JSON it is the text that is kept which counts, without white space.
    for (field, bytes_max, code) in
        [("value", 64 << 10, "invalid_value"), ("metadata", 8 << 10, "invalid_metadata")]
    {
        let object = |bytes: usize| format!("{{ \"a\" :\n{} }}", text(bytes - r#"{"a":""}"#.len()));
        watched.takes("/v1/assert", claim_with(field, &object(bytes_max)), 1);
        watched.refuses("/v1/assert", claim_with(field, &object(bytes_max + 1)), 400, code);
    }
    let digits = |count: usize| "9".repeat(count);
    watched.takes("/v1/assert", claim_with("value", &digits(64 << 10)), 1);
    watched.refuses("/v1/assert", claim_with("value", &digits((64 << 10) + 1)), 400, "invalid_value");

    let reason = |bytes: usize| format!("{{\"concept_path\":\"nothing\",\"reason\":{}}}", text(bytes));
    watched.takes("/v1/retract", reason(1024), 0);
    watched.refuses("/v1/retract", reason(1025), 400, "invalid_reason");
    watched.stop();
}

#[test]
fn lists_have_their_lengths() {
    let mut watched = Watched::start();
    let list = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
    watched.takes("/v1/assert", claim_with("derived_from", &list(HEX_64, 64)), 1);
    watched.refuses("/v1/assert", claim_with("derived_from", &list(HEX_64, 65)), 400, "invalid_derived_from");
    watched.refuses("/v1/assert", claim_with("signatures", &list("{}", 17)), 400, "invalid_signature");
    watched.takes("/v1/query", r#"{"concept_path":"/*","limit":10000}"#, 0);
    watched.refuses("/v1/query", r#"{"concept_path":"/*","limit":10001}"#, 400, "invalid_limit");
    watched.stop();
}

#[test]
fn numbers_have_their_ranges() {
    let mut watched = Watched::start_with(|start| start.with("STEMEDB_TIMESTAMP_FUTURE_S_MAX", "300"));
    for (field, value) in [
        ("confidence", "0"),
        ("confidence", "-0.0"),
        ("confidence", "1"),
        ("confidence", "1e-400"),
        ("source_class", "0"),
        ("source_class", "5"),
        ("timestamp", "0"),
        ("timestamp", "0.000001"),
        ("value", "1e999"),
        ("value", "-123456789012345678901234567890"),
        ("value", "5e-324"),
    ] {
        watched.takes("/v1/assert", claim_with(field, value), 1);
    }
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970").as_secs();
    watched.takes("/v1/assert", claim_with("timestamp", &(now + 290).to_string()), 1);
    watched.refuses(
        "/v1/assert",
        claim_with("timestamp", &(now + 400).to_string()),
        400,
        "timestamp_in_future",
    );
    watched.stop();
}

#[test]
fn the_largest_claim_fits_the_smallest_frame() {
    let mut watched = Watched::start_with(|start| start.with("STEMEDB_FRAME_BYTES_MAX", "128KiB"));
    let hashes = format!("[{}]", vec![HEX_64; 64].join(","));
    let body = |timestamp: u64| {
        format!(
            "{{\"timestamp\":{timestamp},\"concept_path\":{},\"predicate\":{},\"value\":{},\"source\":{},\"epoch\":{},\"metadata\":{{\"a\":{}}},\
         \"derived_from\":{hashes},\"parent_hash\":{HEX_64},\"source_hash\":{HEX_64},\"agent_id\":{HEX_64}}}",
            text(512),
            text(256),
            text(64 << 10),
            text(512),
            text(128),
            text((8 << 10) - 8)
        )
    };
    watched.takes("/v1/assert", body(0), 1);
    let lines: String = (1..=40).map(|timestamp| body(timestamp) + "\n").collect();
    let answer = watched.takes("/v1/assert/batch", lines, 40);
    assert_eq!(answer["accepted"], 40);
    watched.stop();
}

#[test]
fn a_body_has_its_length_and_so_has_a_line() {
    let mut watched = Watched::start();
    let padded = |bytes: usize| {
        let claim = claim_with("value", "1");
        format!("{claim}{}", " ".repeat(bytes - claim.len()))
    };
    watched.takes("/v1/assert", padded(BODY_BYTES_MAX), 1);
    for bytes in [BODY_BYTES_MAX + 1, 3 * BODY_BYTES_MAX] {
        let request = http::request("POST", "/v1/assert", padded(bytes).as_bytes());
        watched.refuses_and_closes(&request, 413, "body_too_large");
    }
    for (bytes, is_taken) in [(BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
        let head = b"POST /v1/assert HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request = [&head[..], &http::chunked(padded(bytes).as_bytes(), 60_000)].concat();
        if is_taken {
            let mut client = watched.server.client();
            client.send(&request).expect("it is received");
            client.response().expect("an answer").ok();
            watched.claims += 1;
        } else {
            watched.refuses_and_closes(&request, 413, "body_too_large");
        }
    }

    let answer = watched.takes("/v1/assert/batch", padded(BODY_BYTES_MAX), 1);
    assert_eq!(answer["accepted"], 1);
    let lines = format!("{}\n{}\n{}", padded(1000), padded(BODY_BYTES_MAX + 1), padded(1000));
    let answer = watched.takes("/v1/assert/batch", lines, 2);
    assert_eq!(
        (answer["rejected"].as_u64(), &answer["errors"][0]["code"]),
        (Some(1), &"body_too_large".into())
    );
    assert_eq!(answer["errors"][0]["line"], 2);

    let array = |bytes: usize| format!("[{}]", padded(bytes - 2));
    let answer = watched.takes("/v1/assert/batch", array(BODY_BYTES_MAX), 1);
    assert_eq!(answer["accepted"], 1);
    watched.refuses("/v1/assert/batch", array(BODY_BYTES_MAX + 1), 413, "body_too_large");
    watched.refuses("/v1/assert/batch", array(4 * BODY_BYTES_MAX), 413, "body_too_large");
    watched.stop();
}

#[test]
fn a_head_has_its_length() {
    let mut watched = Watched::start();
    let head = |padding: usize| {
        format!("GET /v1/health HTTP/1.1\r\nHost: test\r\nA: {}\r\n\r\n", "a".repeat(padding))
    };
    let padding_max = (16 << 10) - head(0).len();
    let mut client = watched.server.client();
    client.send(head(padding_max).as_bytes()).expect("it is received");
    client.response().expect("an answer").ok();
    for padding in [padding_max + 1, 1 << 20] {
        watched.refuses_and_closes(head(padding).as_bytes(), 431, "head_too_large");
    }

    let fields = |count: usize| {
        format!("GET /v1/health HTTP/1.1\r\nHost: test\r\n{}\r\n", "A: b\r\n".repeat(count - 1))
    };
    client.send(fields(64).as_bytes()).expect("it is received");
    client.response().expect("an answer").ok();
    watched.refuses_and_closes(fields(65).as_bytes(), 431, "too_many_headers");

    let target = |bytes: usize| format!("/v1/query?concept_path=a&{}", "&".repeat(bytes - 25));
    client.get(&target(8 << 10)).expect("an answer").ok();
    watched.refuses_and_closes(&http::request("GET", &target((8 << 10) + 1), b""), 414, "target_too_long");

    for (id, is_kept) in [("a".repeat(64), true), ("a".repeat(5000), false), ("a b".to_owned(), false)] {
        client
            .send(&http::request_with("GET", "/v1/health", &format!("X-Request-Id: {id}\r\n"), b""))
            .expect("it is received");
        let response = client.response().expect("an answer");
        assert_eq!(response.field("x-request-id") == Some(&id), is_kept, "{} bytes", id.len());
    }
    watched.stop();
}
