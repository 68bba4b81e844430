//! RFC 9112, sections 6 and 7, and RFC 9110, sections 6.5 and 8.6: where a message ends.

use super::{assert_read, assert_refused, chunked, echo, post};
use crate::script::{Happened, Manners, Script};

//= RFC 9112 section 6.1
//# A recipient MUST be able to parse the chunked transfer coding (Section 7.1)
#[test]
fn the_chunked_coding_is_parsed_in_any_case() {
    for coding in ["chunked", "Chunked", "CHUNKED"] {
        let request = post(&format!("Transfer-Encoding: {coding}\r\n"), "3\r\nabc\r\n0\r\n\r\n");
        assert_read(request.repeat(2), &[("POST /a", "abc"), ("POST /a", "abc")]);
    }
}

//= RFC 9112 section 6.1
//# A server MAY reject a request that contains both Content-Length and Transfer-Encoding or process such a request in
//# accordance with the Transfer-Encoding alone. Regardless, the server MUST close the connection after responding to such a
//# request to avoid the potential attacks.
#[test]
fn a_length_and_a_coding_together_are_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "Transfer-Encoding:\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: x\r\nA: b\r\ncontent-length: 5\r\n",
    ] {
        assert_refused(post(fields, "0\r\n\r\n"), 400);
    }
}

//= RFC 9112 section 6.1
//# A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the message
//# as if the framing is faulty, even if a Content-Length is present, and close the connection after processing the message.
#[test]
fn a_transfer_coding_in_http_1_0_is_faulty_framing() {
    for fields in ["", "Connection: keep-alive\r\n", "Content-Length: 5\r\n"] {
        let request = format!("POST /a HTTP/1.0\r\n{fields}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_refused(request, 400);
    }
}

//= RFC 9112 section 6.1
//# A server that receives a request message with a transfer coding it does not understand SHOULD respond with 501 (Not
//# Implemented).
#[test]
fn an_unknown_transfer_coding_is_answered_with_501() {
    for coding in
        ["gzip, chunked", "deflate ,chunked", "x;a=b, chunked", "gzip\r\nTransfer-Encoding: chunked"]
    {
        assert_refused(post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"), 501);
    }
}

//= RFC 9112 section 6.3
//# If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the final encoding,
//# the message body length cannot be determined reliably; the server MUST respond with the 400 (Bad Request) status code
//# and then close the connection.
#[test]
fn chunked_must_come_last() {
    for coding in [
        "gzip",
        "identity",
        "chunked, gzip",
        "chunked, identity",
        "xchunked",
        "chunkedx",
        "\u{b}chunked",
        "\"chunked\"",
    ] {
        assert_refused(post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"), 400);
    }
    assert_refused(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"), 400);
}

//= RFC 9112 section 6.3
//# If a message is received without Transfer-Encoding and with an invalid Content-Length header field, then the message
//# framing is invalid and the recipient MUST treat it as an unrecoverable error, unless the field value can be
//# successfully parsed as a comma-separated list
//
//= RFC 9112 section 6.3
//# If the unrecoverable error is in a request message, the server MUST respond with a 400 (Bad Request) status code and
//# then close the connection.
#[test]
fn a_length_is_one_number() {
    for length in
        ["", "a", "-1", "+1", "1 1", "1.0", "0x1", "1e1", "1_0", "1;a", "\"1\"", "1,2", "1\u{a0}", "\u{661}"]
    {
        assert_refused(post(&format!("Content-Length: {length}\r\n"), "a"), 400);
    }
    for (first, second) in [("1", "2"), ("1", "1"), ("1", ""), ("0", "-0")] {
        assert_refused(post(&format!("Content-Length: {first}\r\nContent-Length: {second}\r\n"), "a"), 400);
    }
}

//= RFC 9110 section 8.6
//# a recipient of a Content-Length header field value consisting of the same decimal value repeated as a comma-separated
//# list (e.g, "Content-Length: 42, 42") MAY either reject the message as invalid or replace that invalid field value
#[test]
fn a_list_of_lengths_is_refused() {
    for length in ["1, 1", "1,1", "1,", ",1"] {
        assert_refused(post(&format!("Content-Length: {length}\r\n"), "a"), 400);
    }
}

//= RFC 9110 section 8.6
//# a recipient MUST anticipate potentially large decimal numerals and prevent parsing errors due to integer conversion
//# overflows or precision loss due to integer conversion
#[test]
fn a_large_length_does_not_overflow() {
    for length in ["18446744073709551616", "18446744073709551621", "99999999999999999999999999999999999999"] {
        assert_refused(post(&format!("Content-Length: {length}\r\n"), "hello"), 400);
    }
    assert_refused(post("Content-Length: 18446744073709551615\r\n", "hello"), 413);
    assert_refused(post("Content-Length: 4294967301\r\n", "hello"), 413);
    let mut script = Script::new(Manners::Stream);
    script.receive(post("Content-Length: 18446744073709551615\r\n", "hello"));
    assert_eq!(script.happened[1], Happened::Stream { bytes: b"hello".to_vec(), ended: false });
}

//= RFC 9112 section 6.3
//# If the sender closes the connection or the recipient times out before the indicated number of octets are received, the
//# recipient MUST consider the message to be incomplete and close the connection.
#[test]
fn a_body_that_breaks_off_is_no_request() {
    for request in [post("Content-Length: 5\r\n", "hell"), chunked("5\r\nhello\r\n"), chunked("5\r\nhel")] {
        let mut ended = Script::new(Manners::Echo);
        ended.receive(&request).receive_eof();
        let mut timed_out = Script::new(Manners::Echo);
        timed_out.receive(&request);
        timed_out.connection.tick(1_000_000);
        timed_out.run();
        for mut script in [ended, timed_out] {
            assert_eq!(script.bodies(), [""; 0], "{request:?}");
            assert!(script.sent_text().starts_with("HTTP/1.1 40"), "{request:?}: {}", script.sent_text());
            assert!(script.sent_text().contains("\r\nconnection: close\r\n"), "{request:?}");
            assert!(script.connection.take_shutdown() || script.connection.should_close(), "{request:?}");
        }
    }
}

//= RFC 9112 section 6.3
//# If this is a request message and none of the above are true, then the message body length is zero (no message body is
//# present).
#[test]
fn a_request_without_framing_fields_has_no_body() {
    assert_read(post("", "").repeat(2), &[("POST /a", ""), ("POST /a", "")]);
    assert_read("PUT /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[("PUT /a", "")]);
}

//= RFC 9112 section 7.1
//# A recipient MUST be able to parse and decode the chunked transfer coding.
#[test]
fn chunks_are_put_together() {
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "1\r\nh\r\n4\r\nello\r\n000\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3;a=b\r\nllo\r\n0;c\r\nA: b\r\n\r\n",
    ] {
        assert_read(chunked(body).repeat(2), &[("POST /a", "hello"), ("POST /a", "hello")]);
    }
    assert_read(
        chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        &[("POST /a", "01234567890123456789")],
    );
    for body in [
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "4\r\nhello\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "x\r\n",
        "\r\n",
    ] {
        assert_refused(chunked(body), 400);
    }
}

//= RFC 9112 section 7.1
//# recipients MUST anticipate potentially large hexadecimal numerals and prevent parsing errors due to integer conversion
//# overflows or precision loss due to integer representation.
#[test]
fn a_large_chunk_size_does_not_overflow() {
    for size in
        ["10000000000000005", "fffffffffffffffff", "00000000000000005", "100000000000000000000000000000005"]
    {
        assert_refused(chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")), 400);
    }
    for size in ["ffffffffffffffff", "100000005", "8000000000000005"] {
        assert_refused(chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")), 413);
    }
}

//= RFC 9112 section 7.1
//# The chunked coding does not define any parameters. Their presence SHOULD be treated as an error.
#[test]
fn parameters_of_chunked_are_an_error() {
    for coding in ["chunked;a=b", "chunked ;", "chunked; q=1", "gzip, chunked;a"] {
        assert_refused(post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"), 400);
    }
}

//= RFC 9112 section 7.1.1
//# A recipient MUST ignore unrecognized chunk extensions. A server ought to limit the total length of chunk extensions
//# received in a request to an amount reasonable for the services provided, in the same way that it applies length
//# limitations and timeouts for other parts of a message, and generate an appropriate 4xx (Client Error) response if that
//# amount is exceeded.
#[test]
fn chunk_extensions_are_ignored_up_to_a_bound() {
    assert_read(chunked("5;a;b=c;d=\"e;\\\"f\"\r\nhello\r\n0;g\r\n\r\n"), &[("POST /a", "hello")]);
    assert_refused(chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000))), 400);
    assert_refused(chunked(&"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(2_000)), 400);
}

//= RFC 9112 section 7.1.2
//# A recipient MUST NOT merge a received trailer field into the header section unless its corresponding header field
//# definition explicitly permits and instructs how the trailer field value can be safely merged.
//
//= RFC 9110 section 6.5.1
//# A recipient MUST NOT merge a trailer field into a header section unless the recipient understands the corresponding
//# header field definition and that definition explicitly permits and defines how trailer field values can be safely merged.
#[test]
fn trailers_are_never_headers() {
    let trailers = "Host: y\r\nContent-Length: 9\r\nConnection: close\r\nX-Request-Id: t\r\nX-Agent-Id: t\r\nExpect: x\r\n";
    let request = chunked(&format!("1\r\na\r\n0\r\n{trailers}\r\n"));
    assert_read(request.repeat(2), &[("POST /a", "a"), ("POST /a", "a")]);
    let (script, answers) = echo(&request);
    let Some(Happened::Head { fields, .. }) = script.happened.first() else { panic!("no head") };
    assert_eq!(fields.len(), 2, "{fields:?}");
    assert_eq!(answers[0].field("x-request-id"), Some("000000000000abcd-0"));
}
