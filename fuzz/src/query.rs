//! Queries: the URL and the body are two spellings of one question, and pages of an answer are pieces of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use stemedb_engine::query::Query;
use stemedb_net::api::{ApiError, RetractRequest, query_of_body, query_of_parameters};
use stemedb_net::json::Reader;

use crate::plain;
use crate::program::Program;
use crate::world::{BODY_BYTES_MAX, NOW, Response, World};

const PATH: &str = "/v1/query";

/// A query in the URL, in a body, another path or the body of a retraction, as the first byte says: no answer is the
/// server's fault, the two spellings of a query have one meaning, and following the cursors finds each claim once.
pub fn query(input: &[u8]) {
    let mut program = Program::new(input);
    let kind = program.byte() % 4;
    if kind.is_multiple_of(2) && program.rest.contains(&b'\n') {
        // It would end the request, and begin another one.
        return;
    }
    match kind {
        0 => of_url(program.rest),
        1 => of_body(program.rest),
        2 => of_path(program.rest),
        _ => of_retraction(program.rest),
    }
}

/// Any bytes behind the question mark.
fn of_url(text: &[u8]) {
    let response = SERVER.with_borrow_mut(|server| server.get(0, &[PATH.as_bytes(), b"?", text].concat()));
    let Some(pairs) = decoded(text) else {
        assert!(matches!(response.status, 400 | 414), "{:?}", String::from_utf8_lossy(text));
        return;
    };
    let parameters = pairs.iter().map(|(name, value)| (&name[..], &value[..]));
    let by_url = query_of_parameters(parameters.clone(), NOW);
    assert_answered(&response, &by_url);
    let body = body_of(parameters);
    let by_body = query_of_body(&mut Reader::new(1 << 20), body.as_bytes(), NOW);
    assert_alike(&by_url, &by_body, &body);
    if body.len() <= BODY_BYTES_MAX {
        let posted = SERVER.with_borrow_mut(|server| server.post(1, PATH, "", body.as_bytes()));
        assert_eq!(posted.status, response.status, "{body}");
        assert!(posted.status != 200 || posted.body == response.body, "{body}");
    }
    if by_url.is_ok() {
        assert_pages(&pairs, &response.body);
    }
}

/// Any body.
fn of_body(body: &[u8]) {
    let response = SERVER.with_borrow_mut(|server| server.post(0, PATH, "", body));
    let mut reader = Reader::new(BODY_BYTES_MAX);
    let by_body = query_of_body(&mut reader, body, NOW);
    assert_answered(&response, &by_body);
    // The same in the URL, as far as that can say it: there is no null, and everything is text.
    let Ok(Value::Object(members)) = plain::read(body) else {
        // Numbers beyond the range of an f64 are JSON, but not to this reader.
        return;
    };
    let kinds_fit = members.iter().all(|(name, value)| match value {
        Value::Bool(_) => BOOLEANS.contains(&&name[..]),
        Value::Number(_) => NUMBERS.contains(&&name[..]),
        Value::String(text) => !BOOLEANS.contains(&&name[..]) && !is_number(text),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    });
    if by_body.is_ok() && kinds_fit {
        // As they stand there: a time has more digits than an f64.
        let raw: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(body).expect("what is read as values is read as their texts");
        let text_of =
            |name: &str, value: &Value| value.as_str().unwrap_or_else(|| raw[name].get()).to_owned();
        let texts: Vec<(&str, String)> =
            members.iter().map(|(name, value)| (&name[..], text_of(name, value))).collect();
        let by_url = query_of_parameters(texts.iter().map(|(name, value)| (*name, &value[..])), NOW);
        assert_alike(&by_url, &by_body, &String::from_utf8_lossy(body));
    }
}

/// Any path.
fn of_path(path: &[u8]) {
    let response = SERVER.with_borrow_mut(|server| server.get(0, &[b"/", path].concat()));
    assert!(response.status == 200 || (400..500).contains(&response.status) || response.status == 505);
}

/// Any body of a retraction: what is accepted is what the body says.
fn of_retraction(body: &[u8]) {
    let mut reader = Reader::new(BODY_BYTES_MAX);
    match RetractRequest::read(&mut reader, body) {
        Ok(request) => {
            let Ok(Value::Object(members)) = plain::read(body) else {
                panic!("accepted {:?}", String::from_utf8_lossy(body))
            };
            let path = members.get("concept_path").or_else(|| members.get("subject"));
            assert_eq!(path.and_then(Value::as_str), Some(request.path.as_str()));
            assert_eq!(members["reason"].as_str(), Some(request.reason.as_str()));
            assert!(matches!(members.get("cascade"), None | Some(Value::Null | Value::Bool(false))));
        }
        Err(error) => assert!((400..502).contains(&error.code.status().code()), "{error:?}"),
    }
}

/// The fields of a query that are truth values.
const BOOLEANS: [&str; 2] = ["include_retracted", "decay"];

/// Those that are numbers. A source class may be one.
const NUMBERS: [&str; 4] = ["limit", "as_of", "min_confidence", "source_class"];

/// The parameters of a query as forms encode them, or `None` if a URL cannot have this.
fn decoded(query: &[u8]) -> Option<Vec<(String, String)>> {
    const OTHERS: &[u8] = b"-._~!$&'()*+,;=:@/%?";
    let is_uri = |byte: &u8| byte.is_ascii_alphanumeric() || OTHERS.contains(byte);
    // A target has 8 KiB at most.
    if !query.iter().all(is_uri) || query.len() + PATH.len() + 1 > 8 << 10 {
        return None;
    }
    let bytes = |text: &[u8]| -> Option<Vec<u8>> {
        let mut parts = text.split(|byte| *byte == b'%');
        let mut decoded = parts.next().unwrap_or_default().to_vec();
        for part in parts {
            let digits = part.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            let digits = str::from_utf8(digits).expect("digits are ASCII");
            decoded.push(u8::from_str_radix(digits, 16).expect("two digits"));
            decoded.extend_from_slice(&part[2..]);
        }
        Some(decoded)
    };
    String::from_utf8(bytes(query)?).ok()?;
    let text = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        String::from_utf8(bytes(&spaced)?).ok()
    };
    let parts = query.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            Some((text(&part[..at])?, text(part.get(at + 1..).unwrap_or_default())?))
        })
        .collect()
}

/// The body that asks what these parameters ask.
fn body_of<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let members = parameters.map(|(name, text)| {
        let is_bare = (BOOLEANS.contains(&name) && matches!(text, "true" | "false"))
            || (NUMBERS.contains(&name) && is_number(text));
        let value = if is_bare { text.to_owned() } else { Value::from(text).to_string() };
        format!("{}:{value}", Value::from(name))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn is_number(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    begins
        && text.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The answer to a query is a page, or says what is wrong with the query.
fn assert_answered(response: &Response, query: &Result<Query, ApiError>) {
    let answer = serde_json::from_str::<Value>(&response.body).expect("answers are JSON");
    let expected = match query {
        Ok(_) => (200, None),
        Err(error) => (error.code.status().code(), Some(error.code.as_str())),
    };
    assert_eq!((response.status, answer["error"]["code"].as_str()), expected, "{answer}");
}

/// Two spellings of one query: equal if they can be read, else wrong in the same way.
fn assert_alike(by_url: &Result<Query, ApiError>, by_body: &Result<Query, ApiError>, body: &str) {
    match (by_url, by_body) {
        (Ok(by_url), Ok(by_body)) => assert_eq!(by_url, by_body, "{body}"),
        (Err(by_url), Err(by_body)) => {
            assert_eq!((by_url.code, &by_url.field), (by_body.code, &by_body.field), "{body}");
        }
        _ => panic!("the URL means {by_url:?}, the body {by_body:?}: {body}"),
    }
}

/// Asks for the same in small pages: together they are the page that holds all, and each ends where its cursor says.
fn assert_pages(pairs: &[(String, String)], first_page: &str) {
    let asked = |limit: usize, cursor: Option<&str>| -> Value {
        let limit = limit.to_string();
        let others =
            pairs.iter().filter(|(name, _)| name != "limit" && (name != "cursor" || cursor.is_none()));
        let others = others.map(|(name, value)| (&name[..], &value[..]));
        let cursor = cursor.map(|cursor| ("cursor", cursor));
        let body = body_of(others.chain([("limit", &limit[..])]).chain(cursor));
        let response = SERVER.with_borrow_mut(|server| server.post(2, PATH, "", body.as_bytes()));
        match response.status {
            200 => serde_json::from_str(&response.body).expect("answers are JSON"),
            413 => Value::Null,
            _ => panic!("{}: {body}", response.body),
        }
    };
    let list = |page: &Value| page["assertions"].as_array().cloned().unwrap_or_default();
    let all = asked(10_000, None);
    if all.is_null() {
        return;
    }
    assert!(all.get("cursor").is_none(), "all claims fit one page");
    let first: Value = serde_json::from_str(first_page).expect("answers are JSON");
    assert!(list(&all).starts_with(&list(&first)), "the first page is the beginning of all");
    assert_eq!(first.get("cursor").is_some(), list(&first).len() < list(&all).len());

    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = asked(7, cursor.as_deref());
        found.extend(list(&page));
        let Some(next) = page["cursor"].as_str() else { break };
        assert_eq!(list(&page).len(), 7, "a page that is not the last is full");
        let read =
            query_of_parameters([("subject", "*"), ("cursor", next)], NOW).expect("the server wrote it");
        let key = read.after.expect("a cursor is a key");
        let last = found.last().expect("a page that has a cursor has claims");
        assert_eq!(last["hash"], hex(&key.hash));
        assert_eq!(last["timestamp"].as_f64(), Some(key.timestamp.as_seconds()));
        cursor = Some(next.to_owned());
    }
    assert_eq!(found, list(&all), "the pages hold each claim once, in order");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

thread_local! {
    /// A server with some claims; nothing that is asked changes it.
    static SERVER: RefCell<World> = RefCell::new(server());
}

fn server() -> World {
    const SUBJECTS: [&str; 6] = ["a", "a/b", "a/b/c", "a/bc", "ö/%2B", "rfc://7519/alg"];
    const VALUES: [&str; 6] =
        ["1", "\"1\"", "{\"Reference\":\"a/b\"}", "true", "[1,null]", "123456789012345678901"];
    const LIFECYCLES: [&str; 3] = ["approved", "approved", "proposed"];
    let mut world = World::new(3, 1 << 20);
    for number in 0_usize..60 {
        let body = format!(
            r#"{{"subject":"{}","predicate":"{}","object":{},"timestamp":{},"confidence":0.{},"lifecycle":"{}",
                "source_class":{},"source":"source/{}"{}}}"#,
            SUBJECTS[number % SUBJECTS.len()],
            ["is", "has"][number / 7 % 2],
            VALUES[number / 3 % VALUES.len()],
            1_500_000_000 + number % 5 * 40_000_000,
            number % 10,
            LIFECYCLES[number / 2 % LIFECYCLES.len()],
            number % 6,
            number % 4,
            if number % 3 == 0 { ",\"epoch\":\"2024\"" } else { "" },
        );
        let response = world.post(number, "/v1/assert", "", body.as_bytes());
        assert!(matches!(response.status, 200 | 201), "{}", response.body);
    }
    let response = world.post(0, "/v1/retract", "", br#"{"subject":"source/3","reason":"withdrawn"}"#);
    assert_eq!(response.status, 200, "{}", response.body);
    world
}
