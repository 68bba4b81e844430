//! The claims and requests of the cases.

/// Bytes of a claim's JSON.
const CLAIM_BYTES: usize = 200;

/// Subjects that claims are about.
const SUBJECTS: u64 = 1 << 14;

/// The step from the subject of one claim to that of the next. It shares no factor with their number: all subjects come
/// up before one comes again, and in no order of memory.
const SUBJECT_STEP: u64 = 7919;

/// A claim as JSON, different for every number.
pub(crate) fn claim(number: u64) -> String {
    let claim = format!(
        r#"{{"concept_path":"{}","predicate":"reading","value":"{number:018}","confidence":0.95,"source":"source/bench/quick","source_class":"observational""#,
        subject(number),
    );
    format!("{claim:<width$}}}", width = CLAIM_BYTES - 1)
}

/// What the claim with this number is about.
pub(crate) fn subject(number: u64) -> String {
    format!("bench/sensor/{:06}", number * SUBJECT_STEP % SUBJECTS)
}

/// A request with a body, as clients of benchmarks send it.
pub(crate) fn post(path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:18180\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    (head + body).into_bytes()
}

/// A request without a body.
pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:18180\r\n\r\n").into_bytes()
}
