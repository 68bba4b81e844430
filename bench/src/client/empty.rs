//! Requests over HTTP/1.1 to a server that does nothing for them.

use std::error::Error;
use std::net::SocketAddr;

use super::http::{self, Head, HeadReader};
use super::rows::Rows;
use super::{Client, Operation, Progress, Request};

/// A connection whose answers have a body of known length.
#[derive(Debug)]
pub struct Empty {
    /// The request's head.
    head: Vec<u8>,
    /// What bodies come from, if requests have one.
    rows: Option<Rows>,
    /// How long the body of an answer is.
    answer_bytes: usize,
    responses: HeadReader,
}

impl Empty {
    /// A connection that posts claims as they are posted to StemeDB, and gets nothing back.
    pub fn post(rows: Rows, address: SocketAddr) -> Empty {
        let head = http::post_head("/v1/assert", "application/json", rows.claim_bytes(), address);
        Empty { head, rows: Some(rows), answer_bytes: 0, responses: HeadReader::new() }
    }

    /// A connection that gets what is at `path`, which has so many bytes.
    pub fn get(path: &str, answer_bytes: usize, address: SocketAddr) -> Empty {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
        Empty { head, rows: None, answer_bytes, responses: HeadReader::new() }
    }
}

impl Client for Empty {
    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        out.extend_from_slice(&self.head);
        if let Some(rows) = &mut self.rows {
            out.extend_from_slice(rows.next().body);
        }
        Request { operation: Operation::Empty, units: 1 }
    }

    fn answer(
        &mut self,
        received: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let Some(Head { status, head_bytes, body_bytes }) = self.responses.read(received)? else {
            return Ok(Progress::Incomplete);
        };
        if (status, body_bytes) != (200, self.answer_bytes) {
            let expected = self.answer_bytes;
            return Err(format!(
                "expected 200 and {expected} bytes, got {status} and {body_bytes}: {}",
                http::excerpt(received)
            )
            .into());
        }
        let bytes = head_bytes + body_bytes;
        Ok(if received.len() < bytes { Progress::Incomplete } else { Progress::Answered(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{RunId, Workload};

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80);

    #[test]
    fn a_claim_is_posted() {
        let mut out = Vec::new();
        Empty::post(Rows::new(&Workload::new(RunId::new(1)), 0), ADDRESS).request(&mut out);
        let text = String::from_utf8(out).expect("claims are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head has an end");
        assert!(head.starts_with("POST /v1/assert HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 200"), "{head}");
        assert_eq!(body.len(), 200);
    }

    #[test]
    fn answers_have_the_length_that_they_should() {
        let answer =
            b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc";
        let mut out = Vec::new();
        let mut client = Empty::get("/", 3, ADDRESS);
        for end in 0..answer.len() {
            assert_eq!(client.answer(&answer[..end], &mut out).expect("not wrong"), Progress::Incomplete);
        }
        assert_eq!(client.answer(answer, &mut out).expect("right"), Progress::Answered(answer.len()));
        assert!(Empty::get("/", 0, ADDRESS).answer(answer, &mut out).is_err());
        let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc";
        assert!(client.answer(missing, &mut out).is_err());
    }
}
