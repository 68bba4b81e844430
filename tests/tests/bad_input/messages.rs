//! Bytes that are no HTTP/1.1 in its strictest reading, and requests for what is not there.

use stemedb_tests::http;

use crate::Watched;

const HEAD: &str = "POST /v1/assert HTTP/1.1\r\nHost: test\r\n";

#[test]
fn what_is_no_request_is_refused_and_the_connection_closed() {
    let mut watched = Watched::start();
    let wrong: [(&[u8], u16, &str); 50] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "tls_handshake"),
        (b"\0\0\0\0\r\n\r\n", 400, "invalid_request_line"),
        (b"hello\r\n\r\n", 400, "invalid_request_line"),
        (b"GET /\r\n\r\n", 400, "invalid_request_line"),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request_line"),
        (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request_line"),
        (b"GET / http/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request_line"),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400, "invalid_request_line"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 400, "invalid_request_line"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, "invalid_line_end"),
        (b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400, "invalid_line_end"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "folded_header"),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, "folded_header"),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, "invalid_header_name"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", 400, "invalid_header_name"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA\xff: b\r\n\r\n", 400, "invalid_header_name"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400, "invalid_header_value"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n", 400, "invalid_header_value"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, "repeated_host"),
        (b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, "invalid_host"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "invalid_host"),
        (b"GET v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_target"),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_target"),
        (b"GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_target"),
        (b"GET /v1/query?concept_path=%c3 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_target"),
        (b"GET /v1/query?concept_path=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_target"),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_target"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "unsupported_version"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
        (b"GET https://x/v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 421, "misdirected_request"),
        (b"get /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 501, "unknown_method"),
        (b"POSTS /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 501, "unknown_method"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, "unsupported_content_encoding"),
        (b"POST /v1/assert/batch HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 415, "unsupported_content_encoding"),
        (b"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", 415, "unsupported_content_encoding"),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 501, "connect_not_supported"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n", 400, "invalid_content_length"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "invalid_content_length"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, "invalid_content_length"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "repeated_content_length"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n{}", 400, "invalid_content_length"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "ambiguous_length"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 400, "invalid_transfer_encoding"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "invalid_transfer_encoding"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "unsupported_transfer_encoding"),
        (b"POST /v1/assert HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding_in_http_1_0"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", 417, "expectation_failed"),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request_line"),
        (b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request_line"),
    ];
    for (bytes, status, code) in wrong {
        watched.refuses_and_closes(bytes, status, code);
    }
    watched.stop();
}

#[test]
fn malformed_chunks_are_refused_on_every_endpoint() {
    let mut watched = Watched::start();
    for (body, status, code) in [
        ("g\r\n", 400, "invalid_chunk"),
        ("\r\n", 400, "invalid_chunk"),
        ("-1\r\n", 400, "invalid_chunk"),
        ("2\r\n{}x", 400, "invalid_chunk"),
        ("2\n{}\n0\n\n", 400, "invalid_chunk"),
        ("fffffffffffffffff\r\n", 400, "invalid_chunk"),
        ("0\r\nA b\r\n\r\n", 400, "invalid_trailer"),
    ] {
        for target in ["/v1/assert", "/v1/assert/batch", "/v1/query"] {
            let request =
                format!("POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            watched.refuses_and_closes(request.as_bytes(), status, code);
        }
    }
    let overhead = "1;a=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n \r\n".repeat(3000);
    let trailer = format!("0\r\nA: {}\r\n\r\n", "a".repeat(5000));
    for (body, status, code) in [(overhead, 400, "chunk_overhead"), (trailer, 431, "trailer_too_large")] {
        let request = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}");
        watched.refuses_and_closes(request.as_bytes(), status, code);
    }
    watched.stop();
}

#[test]
fn unknown_paths_and_methods_are_told_what_there_is() {
    let mut watched = Watched::start();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/assert",
        "/v1/assert/",
        "/V1/assert",
        "//v1/assert",
        "/v1/assertion/",
        "/v1/assertion/a/b",
        "/favicon.ico",
        "/../etc/passwd",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            watched.refuses_request(&http::request(method, path, b""), 404, "not_found");
        }
    }
    for (path, allow) in [
        ("/v1/assert", "POST"),
        ("/v1/assert/batch", "POST"),
        ("/v1/retract", "POST"),
        ("/v1/query", "GET, HEAD, POST"),
        ("/v1/health", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/ready", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v1/assertion/00", "GET, HEAD"),
        ("/api-doc/openapi.json", "GET, HEAD"),
    ] {
        let wrong = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
        for method in wrong.into_iter().filter(|method| !allow.split(", ").any(|allowed| allowed == *method))
        {
            // With a body, which is no request of its own.
            let request = http::request(method, path, b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n");
            let response = watched.refuses_request(&request, 405, "method_not_allowed");
            assert_eq!(response.field("allow"), Some(allow), "{method} {path}");
        }
    }
    watched.stop();
}

#[test]
fn head_is_get_without_the_body() {
    let mut watched = Watched::start();
    let mut client = watched.server.client();
    for path in [
        "/v1/health",
        "/health",
        "/ready",
        "/metrics",
        "/api-doc/openapi.json",
        "/v1/query?concept_path=watched",
        "/v1/query?concept_path=",
        "/v1/assertion/xyz",
        "/nowhere",
    ] {
        let head = client.request("HEAD", path, b"").expect("an answer");
        let get = client.request("GET", path, b"").expect("an answer");
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.field("content-type"), get.field("content-type"), "{path}");
        let varies = ["/v1/health", "/health", "/metrics"].contains(&path);
        assert!(varies || head.field("content-length") == get.field("content-length"), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
    }
    let head = client.request("HEAD", "/v1/assert", b"").expect("an answer");
    assert_eq!((head.status, head.field("allow")), (405, Some("POST")));
    watched.is_well(b"HEAD");
    watched.stop();
}

#[test]
fn a_condition_on_an_entity_tag_is_not_met() {
    let mut watched = Watched::start();
    for (method, target) in [("POST", "/v1/assert"), ("POST", "/v1/retract"), ("GET", "/ready")] {
        let request = http::request_with(method, target, "If-Match: \"a\"\r\n", b"{}");
        watched.refuses_request(&request, 412, "precondition_failed");
    }
    watched.stop();
}

#[test]
fn a_missing_length_is_an_empty_body() {
    let mut watched = Watched::start();
    let request = format!("{HEAD}\r\n");
    watched.refuses_request(request.as_bytes(), 400, "invalid_json");
    watched.stop();
}
