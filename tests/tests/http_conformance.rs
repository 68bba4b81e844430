//! Goal: what RFC 9110 demands of a server and only a whole one can obey: what depends on its resources, its clock and its
//! storage. What a connection alone obeys is tested beside it, in `net/tests/http/conformance`.
//!
//! Method: each test begins with the sentence and its section, and asks a server that runs. The table in
//! `docs/reliability/http.md` lists these tests with the others.

use std::time::{SystemTime, UNIX_EPOCH};

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Response, Server, Start, http, listing};

/// The paths of the API, and the methods that each answers.
const RESOURCES: [(&str, &str); 10] = [
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
];

fn serve() -> (Data, Server, Client) {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let client = server.client();
    (data, server, client)
}

fn send(client: &mut Client, request: &[u8]) -> Response {
    client.send(request).expect("it is received");
    client.response().unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(request)))
}

/// The seconds since 1970 of a date as `Date` has it.
fn unix_s(date: &str) -> u64 {
    let output = std::process::Command::new("date").args(["--utc", "--date", date, "+%s"]).output();
    let output = output.expect("every system has date(1)");
    let text = String::from_utf8(output.stdout).expect("a number is ASCII");
    text.trim().parse().unwrap_or_else(|_| panic!("date(1) does not understand {date:?}"))
}

//= RFC 9110 section 6.6.1
//# An origin server with a clock (as defined in Section 5.6.7) MUST generate a Date header field in all 2xx (Successful), 3xx
//# (Redirection), and 4xx (Client Error) responses
#[test]
fn every_response_tells_the_time_of_day() {
    let (_data, server, mut client) = serve();
    let now_s = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
    let claim = TestClaim::new("dated", "is", 1).json();
    let requests = [
        (http::request("POST", "/v1/assert", claim.as_bytes()), 201),
        (http::request("POST", "/v1/assert", claim.as_bytes()), 200),
        (http::request("POST", "/v1/assert/batch", claim.as_bytes()), 200),
        (http::request("GET", "/v1/query?concept_path=dated", b""), 200),
        (http::request("GET", "/metrics", b""), 200),
        (http::request("POST", "/v1/assert", b"{"), 400),
        (http::request("GET", "/nowhere", b""), 404),
        (http::request("PUT", "/v1/assert", b""), 405),
        (http::request_with("POST", "/v1/assert", "Content-Encoding: gzip\r\n", b"x"), 415),
    ];
    for (request, status) in requests {
        let before_s = now_s();
        let response = send(&mut client, &request);
        assert_eq!(response.status, status, "{response:?}");
        let date = response.field("date").unwrap_or_else(|| panic!("no date: {response:?}"));
        let told_s = unix_s(date);
        assert!((before_s..=now_s()).contains(&told_s), "{date} is not between {before_s} and {}", now_s());
    }
    client.expect_end();
    server.stop();
}

//= RFC 9110 section 15.5.6
//# The origin server MUST generate an Allow header field in a 405 response containing a list of the target resource's
//# currently supported methods.
#[test]
fn a_405_lists_the_methods_that_are_answered() {
    let (_data, server, mut client) = serve();
    for (path, allow) in RESOURCES {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let response = send(&mut client, &http::request(method, path, b""));
            let is_allowed = allow.split(", ").any(|allowed| allowed == method);
            assert_eq!(response.status != 405, is_allowed, "{method} {path}: {response:?}");
            assert!(is_allowed || response.field("allow") == Some(allow), "{method} {path}: {response:?}");
        }
    }
    server.stop();
}

//= RFC 9110 section 9.1
//# All general-purpose servers MUST support the methods GET and HEAD.
//
//= RFC 9110 section 9.3.2
//# The server SHOULD send the same header fields in response to a HEAD request as it would have sent if the request method
//# had been GET.
#[test]
fn head_is_answered_as_get_is_but_for_the_content() {
    let (_data, server, mut client) = serve();
    client.post("/v1/assert", TestClaim::new("headed", "is", 1).json()).expect("an answer").ok();
    for path in
        ["/ready", "/api-doc/openapi.json", "/v1/query?concept_path=headed", "/v1/assertion/xyz", "/nowhere"]
    {
        let [head, get] = ["HEAD", "GET"].map(|method| client.request(method, path, b"").expect("an answer"));
        let lasting = |response: &Response| -> Vec<(String, String)> {
            let varies = |name: &str| matches!(name, "date" | "x-request-id");
            response.fields.iter().filter(|(name, _)| !varies(name)).cloned().collect()
        };
        assert_eq!((head.status, lasting(&head)), (get.status, lasting(&get)), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
    }
    server.stop();
}

//= RFC 9110 section 9.3.7
//# An OPTIONS request with an asterisk ("*") as the request target (Section 7.1) applies to the server in general rather than
//# to a specific resource.
#[test]
fn the_server_as_a_whole_has_options() {
    let (_data, server, mut client) = serve();
    for target in ["*", "http://localhost:80"] {
        let response = send(&mut client, &http::request("OPTIONS", target, b""));
        assert_eq!((response.status, response.field("allow")), (200, Some("GET, HEAD, POST, OPTIONS")));
    }
    server.stop();
}

//= RFC 9110 section 5.3
//# a sender MUST NOT generate multiple field lines with the same name in a message (whether in the headers or trailers) or
//# append a field line when a field line of the same name already exists in the message
#[test]
fn an_agent_is_named_once() {
    let (_data, server, mut client) = serve();
    let claim = TestClaim::new("named", "is", 1).json();
    for (target, body) in [("/v1/assert", claim.clone()), ("/v1/assert/batch", claim.clone() + "\n")] {
        for fields in ["X-Agent-Id: a\r\nX-Agent-Id: b\r\n", "x-agent-id: a\r\nA: b\r\nX-AGENT-ID: a\r\n"] {
            let response = send(&mut client, &http::request_with("POST", target, fields, body.as_bytes()));
            assert_eq!((response.status, &*response.error_code()), (400, "invalid_agent_id"), "{response:?}");
            assert_eq!(response.json()["error"]["field"], "X-Agent-Id");
        }
    }
    assert_eq!(server.assertion_count(), 0);
    let named = http::request_with("POST", "/v1/assert", "X-Agent-Id: a\r\n", claim.as_bytes());
    assert_eq!(send(&mut client, &named).status, 201);
    server.stop();
}

//= RFC 9110 section 3.3
//# a server MUST NOT assume that two requests on the same connection are from the same user agent unless the connection is
//# secured and specific to that agent.
#[test]
fn the_agent_of_one_request_is_not_that_of_the_next() {
    let (_data, server, mut client) = serve();
    let [first, second] = ["first", "second"].map(|path| TestClaim::new(path, "is", 1).json());
    let named = http::request_with("POST", "/v1/assert", "X-Agent-Id: me\r\n", first.as_bytes());
    let unnamed = http::request("POST", "/v1/assert", second.as_bytes());
    assert_eq!(send(&mut client, &[named, unnamed].concat()).status, 201);
    assert_eq!(client.response().expect("an answer").status, 201);
    let rows = client.get("/v1/query?concept_path=/*").expect("an answer").ok();
    let agents: Vec<_> =
        rows["assertions"].as_array().expect("a list").iter().map(|row| &row["agent_id"]).collect();
    assert!(
        agents.contains(&&serde_json::json!("me")) && agents.contains(&&serde_json::Value::Null),
        "{rows}"
    );
    server.stop();
}

//= RFC 9110 section 13.1.1
//# An origin server that evaluates an If-Match condition MUST NOT perform the requested method if the condition evaluates to
//# false.
//
//= RFC 9110 section 13.2.1
//# A server MUST ignore all received preconditions if its response to the same request without those conditions, prior to
//# processing the request content, would have been a status code other than a 2xx (Successful) or 412 (Precondition Failed).
#[test]
fn a_condition_that_is_not_met_stores_nothing() {
    let (_data, server, mut client) = serve();
    let claim = TestClaim::new("conditional", "is", 1).json();
    let unknown = format!("/v1/assertion/{}", "0".repeat(64));
    let mut status = |method, target, fields, body: &str| {
        let request =
            http::request_with(method, target, &format!("If-Match: \"a\"\r\n{fields}"), body.as_bytes());
        send(&mut client, &request).status
    };
    for target in ["/v1/assert", "/v1/assert/batch"] {
        assert_eq!(status("POST", target, "", &claim), 412);
    }
    assert_eq!(status("GET", "/v1/query?concept_path=conditional", "", ""), 412);
    for (method, target, fields, expected) in [
        ("POST", "/nowhere", "", 404),
        ("PUT", "/v1/assert", "", 405),
        ("GET", &*unknown, "", 404),
        ("GET", "/v1/assertion/zz", "", 400),
        ("GET", "/v1/query?limit=0", "", 400),
        ("POST", "/v1/assert", "X-Agent-Id: a\r\nX-Agent-Id: a\r\n", 400),
    ] {
        assert_eq!(status(method, target, fields, ""), expected, "{method} {target}");
    }
    assert!(listing::all(&mut client, "/*").is_empty());
    server.stop();
}

//= RFC 9110 section 8.4
//# An origin server MAY respond with a status code of 415 (Unsupported Media Type) if a representation in the request
//# message has a content coding that is not acceptable.
#[test]
fn a_body_in_a_coding_is_not_taken_for_what_it_is_not() {
    let (_data, server, mut client) = serve();
    let claim = TestClaim::new("encoded", "is", 1).json();
    for target in ["/v1/assert", "/v1/assert/batch", "/v1/query", "/v1/retract"] {
        let request = http::request_with("POST", target, "Content-Encoding: gzip\r\n", claim.as_bytes());
        let response = send(&mut server.client(), &request);
        assert_eq!(
            (response.status, &*response.error_code()),
            (415, "unsupported_content_encoding"),
            "{target}"
        );
        assert_eq!(response.field("accept-encoding"), Some("identity"), "{target}");
    }
    assert_eq!(server.assertion_count(), 0);
    let identity =
        http::request_with("POST", "/v1/assert", "Content-Encoding: identity\r\n", claim.as_bytes());
    assert_eq!(send(&mut client, &identity).status, 201);
    server.stop();
}
