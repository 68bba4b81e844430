//! RFC 9112, section 3.2, and RFC 9110, sections 4 and 7: targets and hosts.

use super::{assert_read, assert_refused, echo};

//= RFC 9112 section 3.2
//# A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host header
//# field and to any request message that contains more than one Host header field line or a Host header field with an
//# invalid field value.
#[test]
fn a_request_has_one_valid_host() {
    assert_refused("GET / HTTP/1.1\r\n\r\n", 400);
    assert_refused("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400);
    assert_refused("GET / HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n", 400);
    for host in
        ["", "x y", "x/y", "x?y", "x#y", "u@x", "x:y", "x:1:2", "x, y", "[::1", "[x]", "x\u{e4}", "x\\y"]
    {
        assert_refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400);
        assert_refused(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"), 400);
    }
    for host in ["x", "x:80", "x:", "127.0.0.1:18180", "[::1]", "[2001:db8::1]:80", "a-b.example"] {
        assert_read(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &[("GET /", "")]);
    }
}

//= RFC 9112 section 3.2.2
//# A server MUST accept the absolute-form in requests even though most HTTP/1.1 clients will only send the absolute-form to
//# a proxy.
#[test]
fn the_absolute_form_is_accepted() {
    for (target, path) in [
        ("http://x/a", "GET /a"),
        ("HTTP://x:80/a?b", "GET /a"),
        ("http://[::1]:1/a", "GET /a"),
        ("http://x", "GET /"),
        ("http://x?b=/c", "GET /"),
    ] {
        assert_read(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), &[(path, "")]);
    }
}

//= RFC 9112 section 3.2.2
//# When an origin server receives a request with an absolute-form of request-target, the origin server MUST ignore the
//# received Host header field (if any) and instead use the host information of the request-target.
#[test]
fn another_host_beside_an_absolute_target_changes_nothing() {
    assert_read("GET http://x/a HTTP/1.1\r\nHost: other.example:8080\r\n\r\n", &[("GET /a", "")]);
    assert_read("GET http://x/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[("GET /a", "")]);
    // It is ignored, not excused: it is still to be there, once and valid.
    assert_refused("GET http://x/a HTTP/1.1\r\n\r\n", 400);
    assert_refused("GET http://x/a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400);
}

//= RFC 9110 section 7.1
//# These forms MUST NOT be used with other methods.
#[test]
fn the_forms_of_connect_and_options_are_for_them_alone() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "PATCH"] {
        assert_refused(format!("{method} * HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
        assert_refused(format!("{method} x:80 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    }
    assert_refused("OPTIONS x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    assert_read("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", &[("OPTIONS *", "")]);
    assert_read("OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n", &[("OPTIONS *", "")]);
}

//= RFC 9110 section 4.2.1
//# A recipient that processes such a URI reference MUST reject it as invalid.
#[test]
fn an_http_uri_without_a_host_is_refused() {
    for target in ["http:///a", "http://:80/a", "http://", "http://?a"] {
        assert_refused(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    }
}

//= RFC 9110 section 4.2.2
//# A recipient that processes such a URI reference MUST reject it as invalid.
#[test]
fn an_https_uri_without_a_host_is_refused() {
    for target in ["https:///a", "https://:443/a", "https://"] {
        assert_refused(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    }
}

//= RFC 9110 section 4.2.4
//# Before making use of an "http" or "https" URI reference received from an untrusted source, a recipient SHOULD parse for
//# userinfo and treat its presence as an error
#[test]
fn user_information_is_an_error() {
    for target in ["http://u@x/a", "http://u:p@x/a", "http://x:80@y/a", "http://@x/a"] {
        assert_refused(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    }
}

//= RFC 9110 section 7.4
//# a request for an "https" resource MUST be rejected unless it has been received over a connection that has been secured
#[test]
fn an_https_resource_is_refused_without_tls() {
    let (_, answers) = echo("GET https://x/a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answers[0].status, 421);
    assert_refused("GET https://x/a HTTP/1.1\r\nHost: x\r\n\r\n", 421);
    assert_refused("OPTIONS HTTPS://x HTTP/1.1\r\nHost: x\r\n\r\n", 421);
}
