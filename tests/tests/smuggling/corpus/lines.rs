//! Lines that end oddly, names and values with bytes that are none of theirs.

use super::Line;

/// What ends the head for one reader may not for the other.
pub(super) const LINES: &[Line] = &[
    (
        "all-lf",
        "GET /v1/health?front={name} HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n{canary with LF}",
        &[400],
    ),
    ("end-by-lf-lf", "{front}Content-Length: 0\n\n{canary}", &[400]),
    ("end-by-crlf-lf", "{front}Content-Length: 0\r\n\n{canary}", &[400]),
    ("end-by-lf-crlf", "{front}Content-Length: 0\n\r\n{canary}", &[400]),
    ("end-by-cr-cr-lf", "{front}Content-Length: 0\r\r\n\r\n{canary}", &[400]),
    ("end-by-cr-cr", "{front}Content-Length: 0\r\r{canary}", &[400]),
    ("lf-within", "{front}A: b\nContent-Length: {length}\r\n\r\n{canary}", &[400]),
    ("cr-within", "{front}A: b\rContent-Length: {length}\r\n\r\n{canary}", &[400]),
    ("lf-lf-within", "{front}A: b\n\nGET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n{canary}", &[400]),
    ("nul-within", "{front}A: b\0Content-Length: {length}\r\n\r\n{canary}", &[400]),
    ("form-feed", "{front}A: b\u{c}c\r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    ("next-line", "{front}A: b\u{85}Content-Length: {length}\r\n\r\n{canary}", &[200, 201]),
    ("line-separator", "{front}A: b\u{2028}Content-Length: {length}\r\n\r\n{canary}", &[200, 201]),
    (
        "byte-that-ends-in-lf",
        "{front}A: \u{560a}\u{560d}Content-Length: {length}\r\n\r\n{canary}",
        &[200, 201],
    ),
    ("folded", "{front}A: b\r\n c\r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    ("folded-by-tab", "{front}A: b\r\n\tc\r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    ("folded-empty", "{front}A: b\r\n \r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    (
        "space-before-first",
        "GET /v1/health?front={name} HTTP/1.1\r\n Host: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "space-before-first-and-again",
        "GET /v1/health?front={name} HTTP/1.1\r\n A: b\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    ("no-colon", "{front}Content-Length\r\n\r\n{canary}", &[400]),
    ("empty-name", "{front}: {length}\r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    ("name-of-colon", "{front}:Content-Length: {length}\r\n\r\n{canary}", &[400]),
    ("name-with-space", "{front}Content Length: {length}\r\n\r\n{canary}", &[400]),
    ("name-with-bracket", "{front}Content-Length[]: {length}\r\n\r\n{canary}", &[400]),
    ("name-with-ff", "{front}Content-Length\u{1a}: {length}\r\n\r\n{canary}", &[400]),
    ("name-with-quote", "{front}\"Content-Length\": {length}\r\n\r\n{canary}", &[400]),
    (
        "name-of-many-letters",
        "{front}X-{length}-0123456789-abcdefghijklmnopqrstuvwxyz: b\r\nContent-Length: 0\r\n\r\n{canary}",
        &[200, 201],
    ),
    ("empty-lines-before", "\r\n{front}Content-Length: 0\r\n\r\n\r\n{canary}", &[200, 201]),
    ("two-empty-lines-before", "{front}Content-Length: 0\r\n\r\n\r\n\r\n{canary}", &[200, 400]),
    ("lf-before", "\n{front}Content-Length: 0\r\n\r\n{canary}", &[400]),
    ("lf-between", "{front}Content-Length: 0\r\n\r\n\n{canary}", &[200, 400]),
    ("space-between", "{front}Content-Length: 0\r\n\r\n {canary}", &[200, 400]),
    ("nul-between", "{front}Content-Length: 0\r\n\r\n\0{canary}", &[200, 400]),
    ("junk-between", "{front}Content-Length: 0\r\n\r\nX{canary}", &[200, 501]),
    ("second-host", "{front}Host: other\r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    (
        "host-list",
        "GET /v1/health?front={name} HTTP/1.1\r\nHost: localhost, other\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "host-with-path",
        "GET /v1/health?front={name} HTTP/1.1\r\nHost: localhost/x?\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "host-with-user",
        "GET /v1/health?front={name} HTTP/1.1\r\nHost: u@localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    ("no-host", "GET /v1/health?front={name} HTTP/1.1\r\nContent-Length: 0\r\n\r\n{canary}", &[400]),
    (
        "empty-host",
        "GET /v1/health?front={name} HTTP/1.1\r\nHost:\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "folded-host",
        "GET /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\n other\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "agent-twice",
        "{front}X-Agent-Id: a\r\nX-Agent-Id: b\r\nContent-Length: 0\r\n\r\n{canary}",
        &[200, 201],
    ),
    (
        "other-names-of-targets",
        "{front}X-Original-URL: /v1/retract\r\nX-Rewrite-URL: /v1/retract\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n{canary}",
        &[200, 201],
    ),
];
