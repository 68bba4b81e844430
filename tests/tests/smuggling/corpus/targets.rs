//! Request lines: methods, targets, versions.

use super::Line;

/// Who is asked for what.
pub(super) const LINES: &[Line] = &[
    (
        "absolute",
        "GET http://localhost/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[200],
    ),
    (
        "absolute-of-another-host",
        "GET http://other/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[200],
    ),
    (
        "absolute-without-host",
        "GET http://localhost/v1/health?front={name} HTTP/1.1\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "absolute-https",
        "GET https://localhost/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[421],
    ),
    (
        "absolute-other-scheme",
        "GET ftp://localhost/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "absolute-with-user",
        "GET http://localhost@other/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "authority",
        "POST localhost:80 HTTP/1.1\r\nHost: localhost\r\nX-Front: {name}\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "two-slashes",
        "GET //localhost/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[404],
    ),
    (
        "asterisk-with-body",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nX-Front: {name}\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[200],
    ),
    (
        "asterisk-of-post",
        "POST * HTTP/1.1\r\nHost: localhost\r\nX-Front: {name}\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "connect",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\nX-Front: {name}\r\n\r\n{canary}",
        &[501],
    ),
    (
        "trace-with-body",
        "TRACE /v1/query?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[405],
    ),
    ("version-0.9", "GET /v1/health?front={name}\r\n{canary}", &[400]),
    ("version-0.9-named", "GET /v1/health?front={name} HTTP/0.9\r\nHost: localhost\r\n\r\n{canary}", &[505]),
    (
        "version-1.2",
        "GET /v1/health?front={name} HTTP/1.2\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{canary}",
        &[505],
    ),
    ("version-2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nX-Front: {name}\r\n\r\n{canary}", &[505]),
    (
        "version-small",
        "GET /v1/health?front={name} http/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "version-1.10",
        "GET /v1/health?front={name} HTTP/1.10\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "version-with-space",
        "GET /v1/health?front={name} HTTP/1.1 \r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "version-twice",
        "GET /v1/health?front={name} HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "two-spaces",
        "GET  /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "tabs",
        "GET\t/v1/health?front={name}\tHTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "vertical-tab",
        "GET\u{b}/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "space-in-target",
        "GET /v1/health?front={name}&a b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{canary}",
        &[400],
    ),
    (
        "request-in-target",
        "GET /v1/health?front={name} HTTP/1.1\rHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n{canary}",
        &[400],
    ),
    (
        "lines-encoded",
        "GET /v1/health?front={name}%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aPOST%20/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[200],
    ),
    (
        "lines-encoded-in-path",
        "GET /v1/health%0d%0a%0d%0a?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[404],
    ),
    (
        "nul-encoded",
        "GET /v1/health%00?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[404],
    ),
    (
        "nul",
        "GET /v1/health\0?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "control-character",
        "GET /v1/health\u{1}?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "delete-character",
        "GET /v1/health\u{7f}?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "beyond-ascii",
        "GET /v1/health\u{e9}?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "not-utf-8",
        "GET /v1/health\u{1a}?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "backslash",
        "GET \\v1\\health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "fragment",
        "GET /v1/health?front={name}#/v1/assert HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "dots",
        "POST /v1/health/../assert?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[404],
    ),
    (
        "dots-encoded",
        "POST /v1/health/%2e%2e/query?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[404],
    ),
    (
        "slash-encoded",
        "GET /v1%2fhealth?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "method-small",
        "post /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[501],
    ),
    (
        "method-unknown",
        "GGET /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[501],
    ),
    (
        "method-with-nul",
        "PO\0ST /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "method-with-colon",
        "GET: /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "no-method",
        "/v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "response-for-request",
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Front: {name}\r\n\r\n{canary}",
        &[400],
    ),
    (
        "pipelined-head",
        "HEAD /v1/health?front={name} HTTP/1.1\r\nHost: localhost\r\n\r\n{canary}",
        &[200, 201],
    ),
    (
        "pipelined-prefix",
        "{front}Content-Length: 0\r\n\r\nGET /v1/health HTTP/1.1\r\nX: {canary}",
        &[200, 200],
    ),
    (
        "pipelined-unfinished",
        "{front}Content-Length: 0\r\n\r\nPOST /v1/assert?canary={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n",
        &[200, 400],
    ),
    ("pipelined-many", "{front}\r\n{front}\r\n{front}\r\n{canary}", &[200, 200, 200, 201]),
];
