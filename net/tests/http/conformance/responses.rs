//! RFC 9110, sections 5.6.7, 6.2, 6.6.1, 8 and 15, and RFC 9112, sections 4 and 6: what every response says.

use stemedb_net::http::{Date, ResponseHead, Status};

use super::{answers_in, assert_refused, chunked, echo, post};
use crate::script::{Manners, Script};

const SUNDAY_UNIX_S: u64 = 784_111_777;
const SUNDAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// One of each kind of message that is answered: with what is asked, early, and with a refusal of every kind.
fn messages() -> Vec<String> {
    let refused = [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: x\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    let posted = [
        post("", ""),
        post("Content-Length: 5\r\n", "hello"),
        post("Content-Length: 5\r\nConnection: close\r\n", "hello"),
        post("Content-Length: 5\r\nContent-Encoding: gzip\r\n", "hello"),
        post("Content-Length: 2000000\r\n", ""),
        post("Expect: x\r\n", ""),
        post(&"A: b\r\n".repeat(100), ""),
        chunked("g\r\n"),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(10_000)),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
    ];
    refused.iter().map(|&text| text.to_owned()).chain(posted).collect()
}

fn told_the_date(message: &str, manners: Manners) -> Script {
    let mut script = Script::new(manners);
    script.connection.set_date(Date::of_unix_s(SUNDAY_UNIX_S));
    script.receive(message);
    script
}

//= RFC 9110 section 6.6.1
//# An origin server with a clock (as defined in Section 5.6.7) MUST generate a Date header field in all 2xx (Successful), 3xx
//# (Redirection), and 4xx (Client Error) responses
//
//= RFC 9110 section 5.6.7
//# When a sender generates a field that contains one or more timestamps defined as HTTP-date, the sender MUST generate those
//# timestamps in the IMF-fixdate format.
#[test]
fn every_response_tells_the_date() {
    for message in messages() {
        for manners in [Manners::Echo, Manners::Hasty] {
            let answers = answers_in(told_the_date(&message, manners).sent_text());
            assert!(!answers.is_empty(), "{message}");
            for answer in answers {
                assert_eq!(answer.field("date"), Some(SUNDAY), "{answer:?}");
            }
        }
    }
    let mut timed_out = told_the_date("GET", Manners::Echo);
    timed_out.connection.tick(10_000);
    timed_out.run();
    assert_eq!(answers_in(timed_out.sent_text())[0].field("date"), Some(SUNDAY));
}

//= RFC 9110 section 6.6.1
//# A sender that generates a Date header field SHOULD generate its field value as the best available approximation of
//# the date and time of message generation.
#[test]
fn the_date_of_a_response_is_that_of_its_answer() {
    let mut script = told_the_date(&"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2), Manners::Silent);
    script.connection.set_date(Date::of_unix_s(SUNDAY_UNIX_S + 1));
    script.respond(1, "");
    script.connection.set_date(Date::of_unix_s(SUNDAY_UNIX_S + 2));
    script.respond(0, "");
    let dates: Vec<_> =
        answers_in(script.sent_text()).iter().map(|answer| answer.field("date").map(str::to_owned)).collect();
    let second = |second: &str| Some(format!("Sun, 06 Nov 1994 08:49:{second} GMT"));
    assert_eq!(dates, [second("39"), second("38")]);
}

//= RFC 9110 section 6.6.1
//# An origin server without a clock MUST NOT generate a Date header field.
#[test]
fn without_a_clock_there_is_no_date() {
    for message in messages() {
        let (_, answers) = echo(message);
        assert!(answers.iter().all(|answer| answer.field("date").is_none()), "{answers:?}");
    }
}

//= RFC 9112 section 4
//# A server MUST send the space that separates the status-code from the reason-phrase even when the reason-phrase is absent
#[test]
fn a_status_line_has_both_spaces() {
    for message in messages() {
        let (script, _) = echo(message);
        let line = script.sent_text().split("\r\n").next().expect("a split has a first part");
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        assert!(matches!(parts[..], ["HTTP/1.1", status, _] if status.len() == 3), "{line}");
    }
}

//= RFC 9110 section 6.2
//# A server SHOULD send a response version equal to the highest version to which the server is conformant that has a major
//# version less than or equal to the one received in the request. A server MUST NOT send a version to which it is not
//# conformant.
#[test]
fn every_response_is_of_http_1_1() {
    for version in ["1.0", "1.1", "2.0", "1.9", "0.9", "3.0"] {
        let (script, answers) = echo(format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n"));
        assert!(script.sent_text().starts_with("HTTP/1.1 "), "{version}");
        assert_eq!(answers[0].status, if version.starts_with("1.") && version != "1.9" { 200 } else { 505 });
    }
}

//= RFC 9110 section 6.2
//# A server can send a 505 (HTTP Version Not Supported) response if it wishes, for any reason, to refuse service of the
//# client's major protocol version.
#[test]
fn another_version_is_answered_with_505() {
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"] {
        assert_refused(format!("GET / {version}\r\nHost: x\r\n\r\n"), 505);
    }
    assert_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

//= RFC 9112 section 6.1
//# A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request indicates HTTP/1.1 (or
//# later minor revisions).
//
//= RFC 9112 section 6.2
//# A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding header field.
//
//= RFC 9110 section 8.6
//# an origin server SHOULD send a Content-Length header field when the content size is known prior to sending the complete
//# header section.
#[test]
fn every_response_has_a_length_and_no_transfer_coding() {
    for message in messages() {
        let (_, answers) = echo(message);
        for answer in answers {
            assert!(answer.field("content-length").is_some(), "{answer:?}");
            assert_eq!(answer.field("transfer-encoding"), None, "{answer:?}");
        }
    }
}

//= RFC 9110 section 8.3
//# A sender that generates a message containing content SHOULD generate a Content-Type header field in that message
//
//= RFC 9110 section 10.2.4
//# An origin server SHOULD NOT generate a Server header field containing needlessly fine-grained detail
#[test]
fn every_response_says_what_its_content_is_and_little_of_the_server() {
    for message in messages() {
        let (_, answers) = echo(message);
        for answer in answers {
            assert!(
                matches!(answer.field("content-type"), Some("application/json" | "text/plain")),
                "{answer:?}"
            );
            assert_eq!(answer.field("server"), Some("stemedb"), "{answer:?}");
        }
    }
}

//= RFC 9110 section 15.5
//# Except when responding to a HEAD request, the server SHOULD send a representation containing an explanation of the error
//# situation, and whether it is a temporary or permanent condition.
#[test]
fn every_refusal_explains_itself() {
    for message in messages() {
        let (script, answers) = echo(&message);
        let Some(reason) = script.rejected() else { continue };
        let body: serde_json::Value = serde_json::from_str(&answers[0].body).expect("the body is JSON");
        assert_eq!(body["error"]["code"], reason.code(), "{message}");
        assert!(body["error"]["message"].as_str().is_some_and(|text| text.len() > 20), "{message}");
    }
}

//= RFC 9110 section 12.5.3
//# servers that fail a request with a 415 status for reasons unrelated to content codings MUST NOT include the
//# Accept-Encoding header field.
#[test]
fn only_a_content_coding_is_told_which_codings_are_taken() {
    let mut script = Script::new(Manners::Silent);
    script.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = ResponseHead::json(Status::UnsupportedMediaType);
    assert!(script.connection.respond(script.requests[0], &head, b""));
    script.run();
    assert_eq!(answers_in(script.sent_text())[0].field("accept-encoding"), None);
    for message in messages() {
        let (_, answers) = echo(message);
        for answer in answers {
            assert_eq!(answer.field("accept-encoding").is_some(), answer.status == 415, "{answer:?}");
        }
    }
}
