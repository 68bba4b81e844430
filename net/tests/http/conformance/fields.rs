//! RFC 9112, section 5, and RFC 9110, section 5: header fields.

use super::{assert_read, assert_refused, chunked, echo, post};
use crate::script::Happened;

//= RFC 9112 section 5.1
//# A server MUST reject, with a response status code of 400 (Bad Request), any received request message that contains
//# whitespace between a header field name and colon.
#[test]
fn white_space_before_a_colon_is_refused() {
    for field in [
        "A : b",
        "A\t: b",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding \t: chunked",
        "Host : y",
    ] {
        assert_refused(post(&format!("{field}\r\n"), ""), 400);
    }
}

//= RFC 9112 section 5.2
//# A server that receives an obs-fold in a request message that is not within a "message/http" container MUST either
//# reject the message by sending a 400 (Bad Request), preferably with a representation explaining that obsolete line
//# folding is unacceptable, or replace each received obs-fold with one or more SP octets
#[test]
fn a_folded_field_is_refused_and_the_answer_says_why() {
    for fields in [
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A:\r\n b\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "A: b\r\n \r\n",
    ] {
        assert_refused(post(fields, ""), 400);
        let (_, answers) = echo(post(fields, ""));
        assert!(answers[0].body.contains("must not be folded"), "{}", answers[0].body);
    }
}

//= RFC 9110 section 5.1
//# Other recipients SHOULD ignore unrecognized header and trailer fields.
#[test]
fn unknown_fields_are_ignored() {
    assert_read(
        post("X-Unknown: 1\r\n!#$%&'*+-.^_`|~09aZ: \"\\\r\nPriority: u=1\r\n", ""),
        &[("POST /a", "")],
    );
    assert_read(
        chunked("1\r\na\r\n0\r\nX-Unknown: 1\r\nTransfer-Encoding: gzip\r\n\r\n"),
        &[("POST /a", "a")],
    );
}

//= RFC 9110 section 5.4
//# A server that receives a request header field line, field value, or set of fields larger than it wishes to process MUST
//# respond with an appropriate 4xx (Client Error) status code.
#[test]
fn fields_that_are_too_large_are_answered_with_431() {
    assert_refused(post(&format!("A: {}\r\n", "a".repeat(16_384)), ""), 431);
    assert_refused(post(&format!("{}: a\r\n", "a".repeat(16_384)), ""), 431);
    assert_refused(post(&"A: b\r\n".repeat(64), ""), 431);
    assert_refused(post(&format!("A: {}\r\n", "a".repeat(8_000)).repeat(3), ""), 431);
}

//= RFC 9110 section 5.5
//# a field parsing implementation MUST exclude such whitespace prior to evaluating the field value.
#[test]
fn white_space_around_a_value_is_none_of_it() {
    assert_read(post("Content-Length: \t 5 \t \r\n", "hello"), &[("POST /a", "hello")]);
    assert_read(post("Transfer-Encoding:\tchunked \r\n", "0\r\n\r\n"), &[("POST /a", "")]);
    let (script, _) = echo("GET / HTTP/1.1\r\nHost:x\r\nA: \t b\tc \t\r\nB:\t\r\n\r\n");
    let Some(Happened::Head { fields, .. }) = script.happened.first() else { panic!("no head") };
    let values: Vec<&[u8]> = fields.iter().map(|(_, value)| &value[..]).collect();
    assert_eq!(values, [&b"x"[..], b"b\tc", b""]);
}

//= RFC 9110 section 5.5
//# a recipient of CR, LF, or NUL within a field value MUST either reject the message or replace each of those characters
//# with SP before further processing or forwarding of that message.
#[test]
fn cr_lf_and_nul_in_a_value_are_refused() {
    for value in ["\0", "a\0b", "a\rb", "a\nb", "a\r\r\nb", "a\n\r\n", "\0chunked"] {
        assert_refused(post(&format!("A: {value}\r\n"), ""), 400);
        assert_refused(post(&format!("Transfer-Encoding: {value}\r\n"), ""), 400);
    }
    for byte in (1..0x20).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        assert_refused([b"GET / HTTP/1.1\r\nHost: x\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat(), 400);
    }
}

//= RFC 9110 section 5.6.1.2
//# A recipient MUST parse and ignore a reasonable number of empty list elements
#[test]
fn empty_elements_of_lists_are_ignored() {
    assert_read(post("Connection: , ,keep-alive,,\r\n", ""), &[("POST /a", "")]);
    let (mut script, _) = echo(post("Connection: ,, close,\r\n", ""));
    assert!(script.connection.take_shutdown());
    assert_read(post("Content-Encoding: , identity,\r\nContent-Length: 1\r\n", "a"), &[("POST /a", "a")]);
}

//= RFC 9110 section 5.6.3
//# A recipient MUST parse for such bad whitespace and remove it before interpreting the protocol element.
#[test]
fn white_space_in_chunk_extensions_is_passed_over() {
    assert_read(chunked("1 ; a = b \t;c\r\nx\r\n0;d\t=\t\"e\"\r\n\r\n"), &[("POST /a", "x")]);
}

//= RFC 9110 section 5.6.4
//# Recipients that process the value of a quoted-string MUST handle a quoted-pair as if it were replaced by the octet
//# following the backslash.
#[test]
fn a_quoted_pair_does_not_end_a_quoted_string() {
    assert_read(chunked("1;a=\"b\\\";c\\\\\"\r\nx\r\n0\r\n\r\n"), &[("POST /a", "x")]);
    assert_refused(chunked("1;a=\"b\\\"\r\nx\r\n0\r\n\r\n"), 400);
}
