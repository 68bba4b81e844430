//! The connection against a second reading of the same rules: one that is slow, sees all bytes at once and is
//! written straight from the grammar. Both must find the same requests in any bytes, and both or neither must
//! refuse what follows.

use std::net::Ipv6Addr;

use proptest::collection::vec;
use proptest::prelude::*;
use stemedb_net::http::Limits;

use crate::script::{Happened, Manners, Script};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    query: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Refused;

/// What RFC 9112 and the bounds of the server make of all the bytes of a connection: the requests, and
/// whether something that is no request follows them.
fn read_all(mut bytes: &[u8], limits: &Limits) -> (Vec<Request>, bool) {
    let mut requests = Vec::new();
    loop {
        bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        if bytes.is_empty() {
            return (requests, false);
        }
        match read_request(&mut bytes, limits) {
            Ok((request, persists)) => {
                requests.push(request);
                if !persists {
                    return (requests, false);
                }
            }
            Err(Refused) => return (requests, true),
        }
    }
}

fn read_request(bytes: &mut &[u8], limits: &Limits) -> Result<(Request, bool), Refused> {
    let head_bytes = position_of(bytes, b"\r\n\r\n").ok_or(Refused)?;
    check(head_bytes + 4 <= limits.head_bytes_max)?;
    let (head, rest) = bytes.split_at(head_bytes);
    *bytes = &rest[4..];
    let mut lines = split_at_all(head, b"\r\n").into_iter();

    let parts: Vec<&[u8]> = lines.next().ok_or(Refused)?.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(Refused) };
    const METHODS: [&[u8]; 8] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE"];
    check(METHODS.contains(&method) && target.len() <= limits.target_bytes_max)?;
    check(matches!(version, b"HTTP/1.0" | b"HTTP/1.1"))?;
    let http11 = version == b"HTTP/1.1";
    let (path, query) = read_target(method, target)?;

    let mut fields = Vec::new();
    for line in lines {
        let colon = position_of(line, b":").ok_or(Refused)?;
        let value = trim(&line[colon + 1..]);
        check(is_token(&line[..colon]) && line[colon + 1..].iter().all(|&byte| is_text(byte)))?;
        fields.push((text(&line[..colon])?, value.to_vec()));
    }
    check(fields.len() <= 64)?;
    let values = |name: &str| -> Vec<&[u8]> {
        fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
            .collect()
    };
    match values("host")[..] {
        [] => check(!http11)?,
        [host] => check(is_authority(host))?,
        _ => return Err(Refused),
    }
    let expectations = values("expect").join(&b',');
    let mut expectations = expectations.split(|&byte| byte == b',').map(trim);
    check(
        expectations.all(|expectation| matches!(&*expectation.to_ascii_lowercase(), b"" | b"100-continue")),
    )?;
    let is_encoded = values("content-encoding").iter().any(|value| {
        let codings = value.split(|&byte| byte == b',').map(trim);
        codings.filter(|coding| !coding.is_empty()).any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
    });
    let has_length = values("content-length").iter().any(|length| length.iter().any(|&digit| digit != b'0'));
    let has_body = has_length || !values("transfer-encoding").is_empty();
    check(!(is_encoded && has_body))?;
    let body = match (&values("transfer-encoding")[..], &values("content-length")[..]) {
        ([], []) => Vec::new(),
        ([], [length]) => {
            check(!length.is_empty() && length.iter().all(u8::is_ascii_digit))?;
            let length: usize = text(length)?.parse().map_err(|_| Refused)?;
            check(length <= limits.body_bytes_max && length <= bytes.len())?;
            let (body, rest) = bytes.split_at(length);
            *bytes = rest;
            body.to_vec()
        }
        ([coding], []) if http11 && coding.eq_ignore_ascii_case(b"chunked") => read_chunks(bytes, limits)?,
        _ => return Err(Refused),
    };
    let options: Vec<Vec<u8>> = values("connection")
        .join(&b',')
        .split(|&byte| byte == b',')
        .map(|option| trim(option).to_ascii_lowercase())
        .collect();
    let has = |option: &[u8]| options.iter().any(|other| other == option);
    let persists = !has(b"close") && (http11 || has(b"keep-alive"));
    Ok((Request { method: text(method)?, path, query, fields, body }, persists))
}

fn read_target(method: &[u8], target: &[u8]) -> Result<(String, String), Refused> {
    let target = text(target)?;
    if target == "*" {
        check(method == b"OPTIONS")?;
        return Ok(("*".to_owned(), String::new()));
    }
    let mut rest = target.as_str();
    if !rest.starts_with('/') {
        let (scheme, after) = rest.split_once("://").ok_or(Refused)?;
        check(scheme.eq_ignore_ascii_case("http"))?;
        let authority: String = after.chars().take_while(|letter| !"/?".contains(*letter)).collect();
        check(is_authority(authority.as_bytes()))?;
        rest = &after[authority.len()..];
        if rest.is_empty() && method == b"OPTIONS" {
            return Ok(("*".to_owned(), String::new()));
        }
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    check(is_uri_text(path, "/:@") && is_uri_text(query, "/:@?"))?;
    check(!path.to_ascii_lowercase().contains("%2f"))?;
    let decoded_path = String::from_utf8(decode(path)?).map_err(|_| Refused)?;
    String::from_utf8(decode(query)?).map_err(|_| Refused)?;
    Ok((decoded_path, query.to_owned()))
}

fn read_chunks(bytes: &mut &[u8], limits: &Limits) -> Result<Vec<u8>, Refused> {
    let mut body = Vec::new();
    loop {
        let line = read_line(bytes)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        check((1..=16).contains(&digits))?;
        check_extensions(&line[digits..])?;
        let size = u64::from_str_radix(&text(&line[..digits])?, 16).map_err(|_| Refused)?;
        if size == 0 {
            break;
        }
        check(size <= (limits.body_bytes_max - body.len()) as u64 && size < bytes.len() as u64)?;
        let (data, rest) = bytes.split_at(size as usize);
        body.extend_from_slice(data);
        *bytes = rest.strip_prefix(b"\r\n").ok_or(Refused)?;
    }
    loop {
        let line = read_line(bytes)?;
        if line.is_empty() {
            return Ok(body);
        }
        let colon = position_of(line, b":").ok_or(Refused)?;
        check(is_token(&line[..colon]) && line[colon + 1..].iter().all(|&byte| is_text(byte)))?;
    }
}

fn check_extensions(mut rest: &[u8]) -> Result<(), Refused> {
    while !rest.is_empty() {
        rest = trim_start(trim_start(rest).strip_prefix(b";").ok_or(Refused)?);
        rest = after_token(rest)?;
        if let Some(value) = trim_start(rest).strip_prefix(b"=") {
            let value = trim_start(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => after_quoted(quoted)?,
                None => after_token(value)?,
            };
        }
    }
    Ok(())
}

fn after_token(bytes: &[u8]) -> Result<&[u8], Refused> {
    let length = bytes.iter().take_while(|&&byte| is_token(&[byte])).count();
    check(length > 0)?;
    Ok(&bytes[length..])
}

fn after_quoted(mut bytes: &[u8]) -> Result<&[u8], Refused> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', byte, rest @ ..] if is_text(*byte) => rest,
            [b'\\', ..] => return Err(Refused),
            [byte, rest @ ..] if is_text(*byte) => rest,
            _ => return Err(Refused),
        };
    }
}

/// A line without its CRLF, within which there is neither CR nor LF.
fn read_line<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Refused> {
    let length = position_of(bytes, b"\r\n").ok_or(Refused)?;
    let (line, rest) = bytes.split_at(length);
    *bytes = &rest[2..];
    check(!line.iter().any(|byte| b"\r\n".contains(byte)))?;
    Ok(line)
}

fn is_authority(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u64>().is_ok_and(|port| port <= 65_535))
        });
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && is_uri_text(host, "") && decode(host).is_ok(),
    };
    is_host && is_port
}

fn is_uri_text(text: &str, others: &str) -> bool {
    text.chars().all(|letter| {
        letter.is_ascii_alphanumeric() || "-._~!$&'()*+,;=%".contains(letter) || others.contains(letter)
    })
}

fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = [bytes.next().ok_or(Refused)?, bytes.next().ok_or(Refused)?];
        check(digits.iter().all(u8::is_ascii_hexdigit))?;
        let digits = String::from_utf8_lossy(&digits).into_owned();
        decoded.push(u8::from_str_radix(&digits, 16).map_err(|_| Refused)?);
    }
    Ok(decoded)
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte))
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !(byte < 0x20 || byte == 0x7f)
}

fn text(bytes: &[u8]) -> Result<String, Refused> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Refused)
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let white_space = bytes.iter().take_while(|byte| b" \t".contains(byte)).count();
    &bytes[white_space..]
}

fn trim(bytes: &[u8]) -> &[u8] {
    let bytes = trim_start(bytes);
    let white_space = bytes.iter().rev().take_while(|byte| b" \t".contains(byte)).count();
    &bytes[..bytes.len() - white_space]
}

fn check(condition: bool) -> Result<(), Refused> {
    if condition { Ok(()) } else { Err(Refused) }
}

fn position_of(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn split_at_all<'a>(mut bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = position_of(bytes, separator) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + separator.len()..];
    }
    parts.push(bytes);
    parts
}

/// What the connection makes of `bytes`.
fn read_by_connection(bytes: &[u8], limits: Limits) -> (Vec<Request>, bool) {
    let mut script = Script::with_limits(Manners::Echo, limits);
    script.receive(bytes).receive_eof();
    let refused = script.rejected().is_some();
    let mut requests: Vec<Request> = Vec::new();
    let mut happened = script.happened.into_iter().peekable();
    while let Some(event) = happened.next() {
        if let Happened::Head { method, path, query, fields } = event
            && let Some(Happened::Body(body)) = happened.next_if(|next| matches!(next, Happened::Body(_)))
        {
            requests.push(Request { method, path, query, fields, body });
        }
    }
    (requests, refused)
}

const MESSAGES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v1/query?a=%41+b&c=%C3%A4 HTTP/1.1\r\nHost: x:80\r\nAccept: */*\r\n\r\n",
    "HEAD http://h/%C3%A4%20b HTTP/1.1\r\nHost: [::1]:80\r\nConnection: keep-alive, x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: x , close\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
     a;b=\"c\\\"d\" ; e = f\r\n0123456789\r\n2\r\n\r\n\r\n00\r\nA: b\r\nC:d\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST /a HTTP/1.1\r\nHost: x\r\nExpect: , 100-Continue,,100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity ,, identity\r\nContent-Length: 3\r\n\r\nabc",
    "GET /a HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nIf-Match: *\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "\r\n",
];

/// Bytes that mean something to the grammar, or nearly.
const TELLING: &[u8] = b"\r\n\t \0\x0b\x0c\x7f\x80\xff:;,=\"\\%/?#*@[]+-0159aAfgGxHT._{}|";

#[derive(Debug, Clone)]
enum Change {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![9 => prop::sample::select(TELLING), 1 => any::<u8>()];
    prop_oneof![
        (any::<prop::sample::Index>(), byte.clone()).prop_map(|(index, byte)| Change::Replace(index, byte)),
        (any::<prop::sample::Index>(), byte).prop_map(|(index, byte)| Change::Insert(index, byte)),
        any::<prop::sample::Index>().prop_map(Change::Remove),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    (vec(prop::sample::select(MESSAGES), 1..4), vec(change(), 0..4)).prop_map(|(messages, changes)| {
        let mut bytes = messages.concat().into_bytes();
        for change in changes {
            match change {
                Change::Replace(index, byte) => {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
                Change::Insert(index, byte) => bytes.insert(index.index(bytes.len() + 1), byte),
                Change::Remove(index) if bytes.len() > 1 => drop(bytes.remove(index.index(bytes.len()))),
                Change::Remove(_) => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn both_readings_find_the_same(bytes in stream()) {
        let limits = Limits { body_bytes_max: 60, ..Limits::default() };
        let by_connection = read_by_connection(&bytes, limits.clone());
        prop_assert_eq!(by_connection, read_all(&bytes, &limits), "{:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_second_reading_accepts_the_messages() {
    for message in MESSAGES {
        let (requests, refused) = read_all(message.as_bytes(), &Limits::default());
        assert!(!refused, "{message:?}");
        assert_eq!(requests.len(), usize::from(*message != "\r\n"), "{message:?}");
    }
}
