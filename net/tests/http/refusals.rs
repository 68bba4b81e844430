//! What is refused: each rule with requests that break it and the reason that must be given.
//!
//! Every refusal must be the last thing that happens on its connection, must be answered with its status and
//! a body of the common form, and must close the connection.

use stemedb_net::http::{Limits, Reject};

use crate::script::{Manners, Script};

/// Sends `request` and something after it; checks that it was refused for `reason`, and how.
fn assert_refused(request: impl AsRef<[u8]>, reason: Reject) {
    assert_refused_within(Limits::default(), request, reason);
}

fn assert_refused_within(limits: Limits, request: impl AsRef<[u8]>, reason: Reject) {
    let request = request.as_ref();
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    let mut script = Script::with_limits(Manners::Echo, limits);
    script.receive(request).receive("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(script.rejected(), Some(reason), "{shown:?}");
    assert!(!script.paths().iter().any(|path| path.contains("smuggled")), "{shown:?}");

    let (head, body) = script.sent_text().split_once("\r\n\r\n").expect("a response");
    let status = format!("HTTP/1.1 {} ", reason.status().code());
    assert!(head.starts_with(&status), "{shown:?}: {head}");
    assert!(head.contains("\r\nconnection: close"), "{shown:?}: {head}");
    assert!(head.contains("\r\nx-request-id: 000000000000abcd-0"), "{shown:?}: {head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{shown:?}: {head}");
    let body: serde_json::Value = serde_json::from_str(body).expect("the body is JSON");
    let error = serde_json::json!({ "error": { "code": reason.code(), "message": reason.to_string() } });
    assert_eq!(body, error, "{shown:?}");

    assert!(script.connection.take_shutdown(), "{shown:?}");
    script.receive_eof();
    assert!(script.connection.should_close(), "{shown:?}");
}

/// A request with these lines after its request line.
fn with_fields(fields: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// A chunked request with this body.
fn with_chunks(body: &str) -> String {
    with_fields("Transfer-Encoding: chunked\r\n") + body
}

#[test]
fn request_lines_that_are_none() {
    for line in [
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTPS/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "\u{0}GET / HTTP/1.1",
        "/ HTTP/1.1",
        "HTTP/1.1 200 OK",
        "GET / HTTP/2.0 ",
        "GET / HTTP/2.0 x",
        "GET /a b HTTP/2.0",
    ] {
        assert_refused(format!("{line}\r\nHost: x\r\n\r\n"), Reject::InvalidRequestLine);
    }
    assert_refused("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Reject::InvalidRequestLine);
}

#[test]
fn a_tls_handshake() {
    assert_refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Reject::TlsHandshake);
}

#[test]
fn other_versions() {
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0", "HTTP/9.9"] {
        assert_refused(format!("GET / {version}\r\nHost: x\r\n\r\n"), Reject::UnsupportedVersion);
    }
    assert_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reject::UnsupportedVersion);
}

#[test]
fn a_cr_or_a_lf_alone() {
    for request in [
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\r",
        "GET /\r HTTP/1.1\r\nHost: x\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_refused(request, Reject::InvalidLineEnd);
    }
}

#[test]
fn folded_fields_and_white_space_before_the_first_one() {
    for fields in [
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A:\r\n b\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "A: b\r\n \r\n",
    ] {
        assert_refused(with_fields(fields), Reject::FoldedField);
    }
    assert_refused("GET / HTTP/1.1\r\n Host: x\r\n\r\n", Reject::FoldedField);
    assert_refused("GET / HTTP/1.1\r\n\tx\r\nHost: x\r\n\r\n", Reject::FoldedField);
}

#[test]
fn field_names_that_are_no_tokens() {
    for fields in [
        "Content-Length : 5\r\n",
        "Content-Length\t: 5\r\n",
        ": b\r\n",
        "A\r\n",
        "A(): b\r\n",
        "A b: c\r\n",
        "\"A\": b\r\n",
        "A\u{0}: b\r\n",
        "A\u{e4}: b\r\n",
        "A[]: b\r\n",
        "A/: b\r\n",
        "A\u{7f}: b\r\n",
        "@: b\r\n",
    ] {
        assert_refused(with_fields(fields), Reject::InvalidFieldName);
    }
}

#[test]
fn control_characters_in_values() {
    for byte in (0_u8..0x20).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        for value in [&[byte][..], &[b'a', byte, b'b'], &[b' ', byte], &[b'a', byte]] {
            let request = [b"GET / HTTP/1.1\r\nHost: x\r\nA: ", value, b"\r\n\r\n"].concat();
            assert_refused(request, Reject::InvalidFieldValue);
        }
    }
}

#[test]
fn control_characters_at_any_place_of_a_long_value() {
    for place in 0..70 {
        let mut value = [b'a'; 70];
        value[place] = 0;
        let request = [b"GET / HTTP/1.1\r\nHost: x\r\nA: ", &value[..], b"\r\n\r\n"].concat();
        assert_refused(request, Reject::InvalidFieldValue);
    }
}

#[test]
fn no_host_or_several_or_a_bad_one() {
    assert_refused("GET / HTTP/1.1\r\n\r\n", Reject::MissingHost);
    assert_refused("GET http://x/ HTTP/1.1\r\nA: b\r\n\r\n", Reject::MissingHost);
    assert_refused("GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", Reject::RepeatedHost);
    assert_refused("GET / HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n", Reject::RepeatedHost);
    for host in ["", "x y", "x/y", "u@x", "x:y", "x, y", "[::1", "x\u{e4}"] {
        assert_refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Reject::InvalidHost);
        assert_refused(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"), Reject::InvalidHost);
    }
}

#[test]
fn targets_that_are_none() {
    for target in [
        "a",
        "*",
        "/#a",
        "/a#",
        "/{}",
        "/%",
        "/%4x",
        "/%ff",
        "/a%2Fb",
        "/\u{e4}",
        "/a?b=%zz",
        "/a?b=\"c\"",
        "x:443",
        "ftp://x/",
        "http:///a",
        "http://u@x/",
        "file:///etc/passwd",
        "http://x/%",
        "?a",
        "\\a",
    ] {
        assert_refused(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), Reject::InvalidTarget);
    }
}

#[test]
fn unknown_methods() {
    for method in ["get", "GETS", "PROPFIND", "brew-2!", "PRI", "connect"] {
        assert_refused(format!("{method} /a HTTP/1.1\r\nHost: x\r\n\r\n"), Reject::UnknownMethod);
    }
    assert_refused("M".repeat(20_000), Reject::UnknownMethod);
}

#[test]
fn resources_of_https() {
    assert_refused("GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n", Reject::Misdirected);
}

#[test]
fn bodies_in_a_content_coding() {
    for coding in ["gzip", "identity, br", "deflate, identity", "x", "identity;q=1", "\"identity\""] {
        let fields = format!("Content-Encoding: {coding}\r\n");
        assert_refused(
            with_fields(&format!("{fields}Content-Length: 1\r\n")) + "a",
            Reject::UnsupportedContentEncoding,
        );
        assert_refused(
            with_fields(&format!("{fields}Transfer-Encoding: chunked\r\n")) + "0\r\n\r\n",
            Reject::UnsupportedContentEncoding,
        );
        let mut script = Script::new(Manners::Echo);
        script.receive(with_fields(&fields)).receive(with_fields(&format!("{fields}Content-Length: 0\r\n")));
        assert_eq!((script.rejected(), script.bodies()), (None, vec!["", ""]), "{coding}: there is no body");
    }
    let repeated = "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n";
    assert_refused(with_fields(repeated) + "a", Reject::UnsupportedContentEncoding);
}

#[test]
fn a_request_that_is_answered_by_its_head_may_have_any_body() {
    let mut script = Script::new(Manners::Hasty);
    script.receive(with_fields("Content-Encoding: gzip\r\nContent-Length: 1\r\n") + "a");
    assert_eq!((script.rejected(), script.sent_text().matches("hasty").count()), (None, 1));
}

#[test]
fn connect() {
    assert_refused("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", Reject::Connect);
    assert_refused("CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", Reject::Connect);
}

#[test]
fn lengths_that_are_no_number_or_too_large_a_one() {
    for length in ["", "a", "5a", "+5", "-5", "5 5", "5,5", "0x5", "5.0", "18446744073709551616", "٥"] {
        assert_refused(with_fields(&format!("Content-Length: {length}\r\n")), Reject::InvalidContentLength);
    }
}

#[test]
fn several_lengths() {
    for (first, second) in [("5", "5"), ("5", "6"), ("0", "5"), ("5", "")] {
        let fields = format!("Content-Length: {first}\r\nA: b\r\ncontent-length: {second}\r\n");
        assert_refused(with_fields(&fields), Reject::RepeatedContentLength);
    }
}

#[test]
fn both_a_length_and_a_transfer_coding() {
    assert_refused(
        with_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        Reject::AmbiguousLength,
    );
    assert_refused(
        with_fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + "0\r\n\r\n",
        Reject::AmbiguousLength,
    );
    assert_refused(
        with_fields("Transfer-Encoding: identity\r\nContent-Length: 5\r\n") + "hello",
        Reject::AmbiguousLength,
    );
}

#[test]
fn transfer_codings_that_do_not_end_in_one_chunked() {
    for coding in [
        "",
        "identity",
        "gzip",
        "xchunked",
        "chunked, identity",
        "chunked, chunked",
        "chunked;a=b",
        ",chunked",
        "\"chunked\"",
    ] {
        assert_refused(
            with_fields(&format!("Transfer-Encoding: {coding}\r\n")) + "0\r\n\r\n",
            Reject::InvalidTransferEncoding,
        );
    }
    assert_refused(
        with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n") + "0\r\n\r\n",
        Reject::InvalidTransferEncoding,
    );
}

#[test]
fn transfer_codings_that_are_not_known() {
    assert_refused(
        with_fields("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n",
        Reject::UnsupportedTransferEncoding,
    );
    assert_refused(
        with_fields("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        Reject::UnsupportedTransferEncoding,
    );
}

#[test]
fn a_transfer_coding_in_http_1_0() {
    assert_refused(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
        Reject::TransferEncodingInHttp10,
    );
}

#[test]
fn other_expectations() {
    assert_refused(with_fields("Expect: 200-ok\r\n"), Reject::ExpectationFailed);
    assert_refused(with_fields("Expect: 100-continue, other\r\n"), Reject::ExpectationFailed);
}

#[test]
fn malformed_chunks() {
    for body in [
        "\r\n",
        "g\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n",
        "0x1\r\na\r\n",
        "+1\r\na\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1;\na\r\n",
        "1;a\nb\r\na\r\n",
        "1;a=\"\n\"\r\na\r\n",
        "11111111111111111\r\na",
        "1\r\na\r\n-0\r\n\r\n",
        "1,a\r\n",
    ] {
        assert_refused(with_chunks(body), Reject::InvalidChunk);
    }
}

#[test]
fn chunk_extensions_without_end() {
    assert_refused(with_chunks(&format!("1;a={}", "x".repeat(20_000))), Reject::ChunkOverhead);
    assert_refused(
        with_chunks(&"1;abcdefghijklmnopqrstuvwxyz\r\na\r\n".repeat(2_000)),
        Reject::ChunkOverhead,
    );
}

#[test]
fn malformed_or_large_trailers() {
    for trailer in ["A b\r\n", "A : b\r\n", ": b\r\n", "A: b\r\n c\r\n", "A: b\nC: d\r\n", "A: \u{1}\r\n"] {
        assert_refused(with_chunks(&format!("1\r\na\r\n0\r\n{trailer}\r\n")), Reject::InvalidTrailer);
    }
    let large = format!("0\r\nA: {}\r\n\r\n", "x".repeat(5_000));
    assert_refused(with_chunks(&large), Reject::TrailerTooLarge { bytes_max: 4096 });
}

#[test]
fn long_targets() {
    let request = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - 1));
    let mut script = Script::new(Manners::Echo);
    script.receive(request(8192));
    assert_eq!(script.rejected(), None);
    for bytes in [8193, 12_000, 20_000, 1_000_000] {
        assert_refused(request(bytes), Reject::TargetTooLong { bytes_max: 8192 });
    }
}

#[test]
fn long_heads() {
    let request = |bytes: usize| {
        let rest = "GET / HTTP/1.1\r\nHost: x\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(bytes - rest))
    };
    let mut script = Script::new(Manners::Echo);
    script.receive(request(16 * 1024));
    assert_eq!(script.rejected(), None);
    for bytes in [16 * 1024 + 1, 20_000, 1_000_000] {
        assert_refused(request(bytes), Reject::HeadTooLarge { bytes_max: 16 * 1024 });
    }
}

#[test]
fn many_fields() {
    let request =
        |fields: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(fields - 1));
    let mut script = Script::new(Manners::Echo);
    script.receive(request(64));
    assert_eq!(script.rejected(), None);
    assert_refused(request(65), Reject::TooManyFields { fields_max: 64 });
}

#[test]
fn large_bodies() {
    let limits = || Limits { body_bytes_max: 10, ..Limits::default() };
    let too_large = Reject::BodyTooLarge { bytes_max: 10 };
    let mut script = Script::with_limits(Manners::Echo, limits());
    script.receive(with_fields("Content-Length: 10\r\n") + "0123456789");
    script.receive(with_chunks("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"));
    assert_eq!(script.bodies(), ["0123456789", "0123456789"]);

    assert_refused_within(limits(), with_fields("Content-Length: 11\r\n"), too_large);
    assert_refused_within(limits(), with_fields("Content-Length: 18446744073709551615\r\n"), too_large);
    assert_refused_within(limits(), with_chunks("b\r\n"), too_large);
    assert_refused_within(limits(), with_chunks("ffffffffffffffff\r\n"), too_large);
    assert_refused_within(limits(), with_chunks("5\r\n01234\r\n6\r\n"), too_large);
}

#[test]
fn bodies_that_break_off() {
    for request in [
        with_fields("Content-Length: 5\r\n") + "hell",
        with_chunks("5\r\nhell"),
        with_chunks("0\r\n"),
        "GET / HT".to_owned(),
    ] {
        let mut script = Script::new(Manners::Echo);
        script.receive(&request).receive_eof();
        assert_eq!(script.rejected(), Some(Reject::Truncated), "{request:?}");
        assert!(script.sent_text().starts_with("HTTP/1.1 400 "), "{request:?}");
        assert!(script.connection.should_close(), "{request:?}");
    }
}

#[test]
fn a_refused_head_request_is_answered_without_a_body() {
    let mut script = Script::new(Manners::Echo);
    script.receive("HEAD / HTTP/1.1\r\n\r\n");
    assert_eq!(script.rejected(), Some(Reject::MissingHost));
    assert!(script.sent_text().ends_with("\r\n\r\n"), "{}", script.sent_text());
}

#[test]
fn the_answer_to_a_refused_body_bears_the_name_of_the_request() {
    let mut script = Script::new(Manners::Echo);
    script.receive(with_fields("X-Request-Id: mine\r\nTransfer-Encoding: chunked\r\n") + "x");
    assert_eq!(script.rejected(), Some(Reject::InvalidChunk));
    assert!(script.sent_text().contains("\r\nx-request-id: mine\r\n"), "{}", script.sent_text());
}
