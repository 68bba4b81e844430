//! Goal: an answer that the API does not describe for the situation is found, and one that it describes is not. Method: made-up answers to
//! claims that were never sent, each of which must leave so many broken promises.

use std::net::SocketAddr;

use super::*;
use crate::Random;
use crate::history::{History, Violation};
use crate::load::{Load, Mix};

const CREATED: (u16, &str) = (201, r#"{"status":"created","hash":"1"}"#);
const EXISTS: (u16, &str) = (200, r#"{"status":"exists","hash":"1"}"#);

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, format!(r#"{{"error":{{"code":"{code}","message":"what is wrong with it"}}}}"#))
}

fn response((status, body): (u16, impl Into<String>)) -> Response {
    Response { status, fields: Vec::new(), body: body.into().into_bytes() }
}

/// What a history says of the answers in `told`, where `disk_full` may be answered.
fn unexpected(told: impl FnOnce(&Worker<'_>, Name)) -> bool {
    let history = History::new(Random::new(7));
    let mix = Mix::small().expecting(&["disk_full"]);
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let load = Load::new(&history, nowhere, 1, mix, Random::new(8));
    let mut worker = Worker::new(&load, 1);
    let name = worker.next_name(0);
    history.sent(&[name]);
    told(&worker, name);
    // Whether the claim is listed is not the question here.
    history.check_and_settle(&[]).iter().any(|broken| matches!(broken, Violation::Unexpected { .. }))
}

#[test]
fn answers_to_a_claim_are_held_against_what_is_known_of_it() {
    use Expected::{Created, Either, Exists, Refused};
    let full = refused(503, "disk_full");
    let mut cases = vec![
        (CREATED.0, CREATED.1.to_owned(), vec![Created, Either]),
        (EXISTS.0, EXISTS.1.to_owned(), vec![Exists, Either]),
        (full.0, full.1, vec![Created, Exists, Either, Refused]),
    ];
    for (status, code, right) in [
        (400, "invalid_json", vec![Refused]),
        (503, "shutting_down", vec![]),
        (503, "log_full", vec![]),
        (500, "internal", vec![]),
    ] {
        cases.push((status, refused(status, code).1, right));
    }
    // What says one thing by its status and another by its body.
    cases.push((200, CREATED.1.to_owned(), vec![]));
    cases.push((201, EXISTS.1.to_owned(), vec![]));
    for (status, body, right) in cases {
        for expected in [Created, Exists, Either, Refused] {
            let found = unexpected(|worker, name| {
                worker.answered(name, &response((status, body.as_str())), expected);
            });
            assert_eq!(found, !right.contains(&expected), "{status} {body}, {expected:?}");
        }
    }
}

#[test]
fn answers_to_a_batch_are_held_against_its_lines() {
    let error = |line: u64, code: &str| format!(r#"{{"line":{line},"code":"{code}"}}"#);
    let counts = |accepted: u64, rejected: u64, errors: &str| {
        (200, format!(r#"{{"accepted":{accepted},"exists":0,"rejected":{rejected},"errors":[{errors}]}}"#))
    };
    let bad = error(2, "invalid_json");
    for (answer, is_wrong) in [
        (counts(1, 1, &bad), false),
        (counts(0, 2, &[error(1, "disk_full"), bad.clone()].join(",")), false),
        (refused(503, "disk_full"), false),
        // A line too many or too few, a bad one that was taken, a good one that was not, one that is not there.
        (counts(2, 1, &bad), true),
        (counts(1, 2, &bad), true),
        (counts(2, 0, ""), true),
        (counts(0, 2, &[error(1, "invalid_json"), bad.clone()].join(",")), true),
        (counts(0, 2, &[error(3, "invalid_json"), bad.clone()].join(",")), true),
        (refused(500, "internal"), true),
    ] {
        let found = unexpected(|worker, name| {
            worker.batch_answered(&[(name, true), (name, false)], &response(answer.clone()));
        });
        assert_eq!(found, is_wrong, "{answer:?}");
    }
}
