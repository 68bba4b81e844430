//! The responses of a connection, read as a client reads them.

use super::{Outcome, Request};

/// The body of the answer to the request with this number.
pub(super) fn body(number: u64) -> String {
    format!("{{\"request\":{number}}}")
}

/// Every request has one response, in the order of the requests, and nothing else was sent.
pub(super) fn check(outcome: &Outcome) {
    let mut rest = outcome.sent.as_str();
    for (number, request) in (0..).zip(&outcome.requests) {
        rest = check_one(rest, number, request);
    }
    assert_eq!(rest, "", "more responses than requests");
}

/// Checks the response at the beginning of `sent`, and gives what follows it.
fn check_one<'s>(sent: &'s str, number: u64, request: &Request) -> &'s str {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(head_bytes)) = response.parse(sent.as_bytes()) else {
        panic!("request {number} has no response, but {sent:?}")
    };
    let status = request.rejected.map_or(200, |reason| reason.status().code());
    assert_eq!(response.code, Some(status), "request {number}");
    let values: Vec<_> =
        response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("content-length")).collect();
    let [length] = values[..] else { panic!("a response has one content-length") };
    let length = str::from_utf8(length.value).ok().and_then(|length| length.parse().ok()).expect("a length");
    let rest = &sent[head_bytes..];
    // A head that was rejected may have been that of a HEAD request.
    let has_no_body = request.is_head() || (request.head.is_empty() && rest.is_empty());
    if has_no_body {
        return rest;
    }
    let (content, rest) = rest.split_at(length);
    match request.rejected {
        None => assert_eq!(content, body(number), "the response to another request"),
        Some(reason) => assert!(content.contains(reason.code()), "{content} is not about {reason:?}"),
    }
    rest
}
