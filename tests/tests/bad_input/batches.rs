//! Batches in which something is wrong.

use serde_json::json;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{http, listing};

use crate::Watched;

#[test]
fn a_bad_line_spoils_no_other() {
    let mut watched = Watched::start();
    let good = |number: u64| TestClaim::new(format!("batch/{number}"), "is", number).json();
    let lines = [
        good(1),
        "{".to_owned(),
        String::new(),
        good(4),
        "[]".to_owned(),
        "   \t".to_owned(),
        r#"{"concept_path":"batch/7","predicate":"is","value":1,"confidence":7}"#.to_owned(),
        good(1),
        "\"\u{fffd}\"".to_owned(),
        good(10) + "\r",
        good(11) + "}",
        good(12),
    ];
    let answer = watched.takes("/v1/assert/batch", lines.join("\n"), 4);
    assert_eq!(
        (&answer["accepted"], &answer["exists"], &answer["rejected"]),
        (&json!(4), &json!(1), &json!(5))
    );
    let errors: Vec<_> = answer["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| (&error["line"], &error["code"]))
        .collect();
    let expected = [
        (2, "invalid_json"),
        (5, "not_an_object"),
        (7, "invalid_confidence"),
        (9, "not_an_object"),
        (11, "invalid_json"),
    ];
    let expected = expected.map(|(line, code)| (json!(line), json!(code)));
    assert_eq!(errors, expected.iter().map(|(line, code)| (line, code)).collect::<Vec<_>>());
    for error in answer["errors"].as_array().expect("a list") {
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    }
    watched.stop();
}

#[test]
fn every_wrong_line_is_counted_and_the_first_hundred_are_told() {
    let mut watched = Watched::start();
    let answer = watched.takes("/v1/assert/batch", "{}\n".repeat(1000), 0);
    assert_eq!(answer["rejected"], 1000);
    let lines: Vec<_> =
        answer["errors"].as_array().expect("a list").iter().map(|error| error["line"].as_u64()).collect();
    assert_eq!(lines, (1..=100).map(Some).collect::<Vec<_>>());
    watched.stop();
}

#[test]
fn an_array_that_is_wrong_is_refused_whole_and_its_elements_one_by_one() {
    let mut watched = Watched::start();
    let good = TestClaim::new("batch/array", "is", 1).json();
    for wrong in [
        "[".to_owned(),
        format!("[{good}"),
        format!("[{good},]"),
        format!("[{good}] x"),
        format!("[{good}{good}]"),
        format!("[{good}]\n{good}"),
    ] {
        watched.refuses("/v1/assert/batch", wrong, 400, "invalid_json");
    }
    let answer = watched.takes("/v1/assert/batch", format!(" \n[1,{good},null,{{}},{good},[]]"), 1);
    assert_eq!(
        (&answer["accepted"], &answer["exists"], &answer["rejected"]),
        (&json!(1), &json!(1), &json!(4))
    );
    for nothing in ["", "\n", " \r\n\t\n ", "[]", "\n\n[ ]"] {
        let answer = watched.takes("/v1/assert/batch", nothing, 0);
        assert_eq!(answer, json!({"accepted": 0, "exists": 0, "rejected": 0, "errors": []}), "{nothing:?}");
    }
    watched.stop();
}

#[test]
fn however_a_batch_is_cut_into_chunks_its_lines_are_the_same() {
    let mut watched = Watched::start();
    let mut claims = 0;
    for chunk_bytes in [1, 2, 7, 100, 4095, 70_000] {
        let lines: String = (0..50)
            .map(|number| {
                TestClaim::new(format!("chunks/{chunk_bytes}"), "é", format!("{number} {}", "ü".repeat(400)))
                    .json()
                    + "\n"
            })
            .collect();
        let body = http::chunked(lines.as_bytes(), chunk_bytes);
        let request = "POST /v1/assert/batch HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = watched.server.client();
        client.send(&[request.as_bytes(), &body].concat()).expect("it is received");
        let answer = client.response().expect("an answer").ok();
        assert_eq!(answer["accepted"], 50, "{answer}");
        assert_eq!(listing::all(&mut client, &format!("chunks/{chunk_bytes}")).len(), 50);
        claims += 50;
    }
    watched.claims += claims;
    watched.is_well(b"chunks");
    watched.stop();
}
