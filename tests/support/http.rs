//! Requests as bytes, and heads of responses from bytes.

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) content_length: usize,
    /// Bytes of the head itself.
    pub(crate) bytes: usize,
}

/// A request of HTTP/1.1 with the header fields that it needs and no others.
pub fn request(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    request_with(method, target, "", body)
}

/// A request with further header fields, each with its line end.
pub fn request_with(method: &str, target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = match (method, body.len()) {
        ("GET" | "HEAD", 0) => String::new(),
        (_, bytes) => format!("Content-Length: {bytes}\r\n"),
    };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// The body in chunks of `chunk_bytes`, each with its size, and the last of them.
pub fn chunked(body: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(chunk_bytes) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// Reads the head of a response; `None` while it is not complete. Panics at whatever this server should not send.
pub(crate) fn parse_head(received: &[u8]) -> Option<ResponseHead> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).expect("a response's head is ASCII");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a split has a first part");
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_once(' '));
    let (status, _) = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
    let status: u16 = status.parse().unwrap_or_else(|_| panic!("no status line: {status_line:?}"));
    let fields: Vec<_> = lines.map(field).collect();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    };
    if status < 200 {
        return Some(ResponseHead { status, fields, content_length: 0, bytes: end + 4 });
    }
    assert_eq!(values("x-request-id").len(), 1, "each response has one x-request-id:\n{head}");
    assert!(values("transfer-encoding").is_empty(), "this server states lengths:\n{head}");
    let [length] = values("content-length")[..] else { panic!("not one content-length:\n{head}") };
    let content_length = length.parse().unwrap_or_else(|_| panic!("content-length is {length:?}"));
    Some(ResponseHead { status, fields, content_length, bytes: end + 4 })
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header field: {line:?}"));
    assert!(!value.contains(['\r', '\n', '\0']), "no header field: {line:?}");
    (name.to_ascii_lowercase(), value.to_owned())
}
