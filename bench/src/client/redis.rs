//! Redis: `SET` in its own protocol, RESP.

use std::error::Error;
use std::io::Write;

use memchr::memmem;

use super::rows::Rows;
use super::{Client, Operation, Progress, Request};

const OK: &[u8] = b"+OK\r\n";

/// A connection that sets keys, one a request.
#[derive(Debug)]
pub struct Redis {
    rows: Rows,
}

impl Redis {
    /// A connection that stores `rows`.
    pub fn new(rows: Rows) -> Redis {
        Redis { rows }
    }
}

impl Client for Redis {
    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        let row = self.rows.next();
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        for text in [row.subject.as_bytes(), row.body] {
            write!(out, "${}\r\n", text.len()).expect("memory takes all bytes");
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
        Request { operation: Operation::Assert, units: 1 }
    }

    fn answer(
        &mut self,
        received: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let Some(end) = memmem::find(received, b"\r\n") else {
            return Ok(Progress::Incomplete);
        };
        match &received[..end + 2] {
            OK => Ok(Progress::Answered(OK.len())),
            other => Err(format!("Redis answered {:?}", String::from_utf8_lossy(other)).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{RunId, Workload};

    fn client() -> Redis {
        Redis::new(Rows::new(&Workload::new(RunId::new(1)), 0))
    }

    #[test]
    fn a_key_is_set() {
        let mut out = Vec::new();
        assert_eq!(client().request(&mut out), Request { operation: Operation::Assert, units: 1 });
        let text = String::from_utf8(out).expect("claims are UTF-8");
        let (begin, value) = text.split_once("\r\n$200\r\n").expect("a claim has 200 bytes");
        let subject = begin.strip_prefix("*3\r\n$3\r\nSET\r\n$22\r\n").expect("three strings");
        let claim = value.strip_suffix("\r\n").expect("a string ends with its line");
        assert!(subject.starts_with("bench/sensor/"), "{subject}");
        assert!(claim.starts_with(&format!("{{\"concept_path\":\"{subject}\"")), "{claim}");
        assert_eq!((subject.len(), claim.len()), (22, 200));
    }

    #[test]
    fn only_ok_is_an_answer() {
        let mut client = client();
        let mut answer = |received: &[u8]| client.answer(received, &mut Vec::new());
        assert_eq!(answer(b"+OK\r").expect("not wrong yet"), Progress::Incomplete);
        assert_eq!(answer(b"+OK\r\n+OK").expect("right"), Progress::Answered(5));
        let error = answer(b"-OOM command not allowed\r\n").expect_err("an error");
        assert!(error.to_string().contains("OOM"), "{error}");
        assert!(answer(b"$-1\r\n").is_err());
    }
}
