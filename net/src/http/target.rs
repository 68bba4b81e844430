//! Request targets: the path, and the parameters of the query.

use std::borrow::Cow;

use super::Reject;
use super::character::{PATH, QUERY, percent_encodings_are_valid};
use super::host::authority_is_valid;

/// The parameters of a query, in the order in which they were sent.
///
/// They are separated by `&`; a name ends at the first `=`; `%41` and `+` (a space) are decoded in names and
/// values; empty parts (`a=1&&b=2`) are passed over. A name without `=` has an empty value.
#[derive(Debug, Clone)]
pub struct QueryPairs<'a> {
    rest: &'a str,
}

impl<'a> QueryPairs<'a> {
    /// The parameters of `query`, as [`parse`] accepted it.
    pub(super) fn new(query: &'a str) -> QueryPairs<'a> {
        QueryPairs { rest: query }
    }
}

impl<'a> Iterator for QueryPairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (part, rest) = split_at_first(self.rest, b'&');
            self.rest = rest;
            if !part.is_empty() {
                let (name, value) = split_at_first(part, b'=');
                return Some((decode_parameter(name), decode_parameter(value)));
            }
        }
        None
    }
}

/// A request target taken apart: what is left of it when it is known to be well-formed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The path, still percent-encoded, or `*`.
    pub(super) path: &'a str,
    /// The query, still percent-encoded; empty when there is none.
    pub(super) query: &'a str,
}

//= RFC 9110 section 7.1
//# These forms MUST NOT be used with other methods.
/// Takes a request target apart. Every percent-encoding in the result decodes to UTF-8; `scratch` is
/// overwritten. `is_secured` tells whether the connection is.
pub(super) fn parse<'a>(
    method: &str,
    target: &'a str,
    is_secured: bool,
    scratch: &mut Vec<u8>,
) -> Result<Target<'a>, Reject> {
    let target = match target.as_bytes()[0] {
        b'/' => split_query(target),
        b'*' => asterisk_form(method, target)?,
        _ => absolute_form(method, target, is_secured)?,
    };
    //= RFC 9112 section 3.2
    //# Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request) error or a 301
    //# (Moved Permanently) redirect with the request-target properly encoded.  A recipient SHOULD NOT
    //# attempt to autocorrect
    let valid = PATH.has_all(target.path.as_bytes())
        && QUERY.has_all(target.query.as_bytes())
        && decodes_to_utf8(target.path, scratch)
        && decodes_to_utf8(target.query, scratch)
        && !has_encoded_slash(target.path);
    if valid { Ok(target) } else { Err(Reject::InvalidTarget) }
}

/// Appends `text` with its percent-encodings decoded to `out`. They have been checked.
pub(super) fn decode_onto(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(hex_digit(rest[at + 1]) << 4 | hex_digit(rest[at + 2]));
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
}

fn split_query(target: &str) -> Target<'_> {
    let (path, query) = split_at_first(target, b'?');
    Target { path, query }
}

/// What stands before and behind the first `separator`, an ASCII character; nothing behind where there is none.
fn split_at_first(text: &str, separator: u8) -> (&str, &str) {
    match memchr::memchr(separator, text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

//= RFC 9112 section 3.2.4
//# The asterisk-form of request-target is only used for a server-wide OPTIONS request
fn asterisk_form<'a>(method: &str, target: &'a str) -> Result<Target<'a>, Reject> {
    if method == "OPTIONS" && target == "*" {
        Ok(Target { path: target, query: "" })
    } else {
        Err(Reject::InvalidTarget)
    }
}

//= RFC 9112 section 3.2.2
//# A server MUST accept the absolute-form in requests even though most HTTP/1.1 clients will only send the
//# absolute-form to a proxy.
//
//= RFC 9112 section 3.2.2
//# When an origin server receives a request with an absolute-form of request-target, the origin server MUST ignore the
//# received Host header field (if any) and instead use the host information of the request-target.
// Neither is used: all that is here is of one origin, whatever it is called, in TLS as well.
fn absolute_form<'a>(method: &str, target: &'a str, is_secured: bool) -> Result<Target<'a>, Reject> {
    let (scheme, rest) = target.split_once("://").ok_or(Reject::InvalidTarget)?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return Err(Reject::InvalidTarget);
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    //= RFC 9110 section 4.2.4
    //# a recipient SHOULD parse for userinfo and treat its presence as an error
    if !authority_is_valid(authority.as_bytes()) {
        return Err(Reject::InvalidTarget);
    }
    //= RFC 9110 section 7.4
    //# Unless the connection is from a trusted gateway, an origin server MUST reject a request if any scheme-specific
    //# requirements for the target URI are not met.  In particular, a request for an "https" resource MUST be
    //# rejected unless it has been received over a connection that has been secured
    // Which gateway to trust is not known. The scheme http requires nothing that a secured connection lacks.
    if is_https && !is_secured {
        return Err(Reject::Misdirected);
    }
    match rest.as_bytes().first() {
        //= RFC 9112 section 3.2.4
        //# If a proxy receives an OPTIONS request with an absolute-form of request-target in which the URI
        //# has an empty path and no query component, then the last proxy on the request chain MUST send a
        //# request-target of "*"
        None if method == "OPTIONS" => Ok(Target { path: "*", query: "" }),
        //= RFC 9112 section 3.2.1
        //# If the target URI's path component is empty, the client MUST send "/" as the path
        None => Ok(Target { path: "/", query: "" }),
        Some(b'?') => Ok(Target { path: "/", query: &rest[1..] }),
        Some(_) => Ok(split_query(rest)),
    }
}

fn decodes_to_utf8(text: &str, scratch: &mut Vec<u8>) -> bool {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return true;
    }
    if !percent_encodings_are_valid(text.as_bytes()) {
        return false;
    }
    scratch.clear();
    decode_onto(text, scratch);
    std::str::from_utf8(scratch).is_ok()
}

/// An encoded slash would be a separator to those who decode before they split a path and a letter to the
/// others. The percent-encodings of `path` have been checked.
fn has_encoded_slash(path: &str) -> bool {
    let path = path.as_bytes();
    memchr::memchr_iter(b'%', path).any(|at| path[at + 1..at + 3].eq_ignore_ascii_case(b"2f"))
}

/// A name or value of a query as forms encode it: `+` is a space.
fn decode_parameter(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    let mut decoded = Vec::with_capacity(spaced.len());
    decode_onto(&spaced, &mut decoded);
    // The query as a whole decodes to UTF-8, and & and = are never within an encoded character, so each part
    // of it does too.
    Cow::Owned(String::from_utf8(decoded).expect("a part of a query that was checked to decode to UTF-8"))
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(method: &str, target: &'a str) -> Option<(&'a str, &'a str)> {
        parse(method, target, false, &mut Vec::new()).ok().map(|target| (target.path, target.query))
    }

    fn pairs(query: &str) -> Vec<(String, String)> {
        QueryPairs::new(query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    #[test]
    fn the_origin_form_is_a_path_and_a_query() {
        assert_eq!(parsed("GET", "/"), Some(("/", "")));
        assert_eq!(parsed("GET", "/v1/query?a=b?c&d"), Some(("/v1/query", "a=b?c&d")));
        assert_eq!(parsed("GET", "/v1/query?"), Some(("/v1/query", "")));
        assert_eq!(parsed("GET", "//x/../y"), Some(("//x/../y", "")));
        assert_eq!(parsed("GET", "/a%20b"), Some(("/a%20b", "")));
    }

    #[test]
    fn the_absolute_form_is_read_as_the_origin_form() {
        assert_eq!(parsed("GET", "http://example.org/v1/feed?limit=1"), Some(("/v1/feed", "limit=1")));
        assert_eq!(parsed("GET", "HTTP://[::1]:18180/x"), Some(("/x", "")));
        assert_eq!(parsed("GET", "http://example.org"), Some(("/", "")));
        assert_eq!(parsed("GET", "http://example.org?a"), Some(("/", "a")));
        assert_eq!(parsed("OPTIONS", "http://example.org"), Some(("*", "")));
        for invalid in [
            "ftp://example.org/",
            "http:///x",
            "http://u@example.org/",
            "http:/x",
            "x",
            "http://",
            "http://:80/",
        ] {
            assert_eq!(parsed("GET", invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_absolute_form_of_https_needs_a_secured_connection() {
        let read = |target, is_secured| {
            parse("GET", target, is_secured, &mut Vec::new()).map(|target| target.path.to_owned())
        };
        assert_eq!(read("https://example.org/", false), Err(Reject::Misdirected));
        assert_eq!(read("HttpS://example.org", false), Err(Reject::Misdirected));
        assert_eq!(read("https://u@example.org/", false), Err(Reject::InvalidTarget));
        assert_eq!(read("https://example.org/a", true), Ok("/a".to_owned()));
        assert_eq!(read("HttpS://example.org", true), Ok("/".to_owned()));
        assert_eq!(read("http://example.org/a", true), Ok("/a".to_owned()));
        assert_eq!(read("https://u@example.org/", true), Err(Reject::InvalidTarget));
    }

    #[test]
    fn the_asterisk_form_is_for_options_alone() {
        assert_eq!(parsed("OPTIONS", "*"), Some(("*", "")));
        assert_eq!(parsed("GET", "*"), None);
        assert_eq!(parsed("OPTIONS", "*?a"), None);
        assert_eq!(parsed("OPTIONS", "*/"), None);
    }

    #[test]
    fn a_target_holds_nothing_that_a_uri_must_not_hold() {
        for invalid in [
            "/#fragment",
            "/a?b#c",
            "/{}",
            "/a|b",
            "/a\\b",
            "/a\"b",
            "/a<b",
            "/ä",
            "/a?b=ä",
            "/[x]",
            "/a?x[]=1",
            "/%",
            "/%4",
            "/%zz",
            "/a?%",
            "/a?b=%4",
            "/%ff",
            "/a?b=%c3",
            "/a?b=%c3&c=%a4",
            "/a%2fb",
            "/a%2Fb",
            "example.org:443",
        ] {
            assert_eq!(parsed("GET", invalid), None, "{invalid}");
        }
        assert_eq!(parsed("GET", "/a?b=%2F"), Some(("/a", "b=%2F")));
    }

    #[test]
    fn the_parameters_of_a_query_are_decoded() {
        let expected = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("a=1&b=2"), expected(&[("a", "1"), ("b", "2")]));
        assert_eq!(pairs("&&a&=x&b==&"), expected(&[("a", ""), ("", "x"), ("b", "=")]));
        assert_eq!(pairs("a+b=c%2Bd+%26%3D"), expected(&[("a b", "c+d &=")]));
        assert_eq!(pairs("x=%E2%82%ac"), expected(&[("x", "€")]));
    }
}
