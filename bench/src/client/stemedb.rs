//! The client of StemeDB's own API.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;

use thiserror::Error;

use super::http::{self, Head, HeadReader};
use super::{Client, Operation, Progress, Request};
use crate::workload::{Choices, Claims, SubjectPath, Workload};

/// One connection to a StemeDB server.
#[derive(Debug)]
pub struct StemeDb {
    claims: Claims,
    choices: Choices,
    heads: RequestHeads,
    batch_claims: u32,
    /// What was asked and not yet answered, the oldest first.
    asked: VecDeque<Asked>,
    responses: HeadReader,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Assert,
    Batch,
    Query { subject: u32 },
    Subtree { subject: u32 },
}

/// How requests begin.
#[derive(Debug)]
struct RequestHeads {
    assert: Vec<u8>,
    batch: Vec<u8>,
    /// The part of a query behind its target.
    query_end: Vec<u8>,
}

/// An answer that is not what it should be.
#[derive(Debug, Error)]
enum WrongAnswer {
    #[error("an answer came that nothing had asked for: {}", http::excerpt(.0))]
    Unasked(Vec<u8>),
    #[error("expected {expected}, got {}", http::excerpt(.got))]
    Unexpected { expected: String, got: Vec<u8> },
}

/// How many claims a query for one subject asks for: the newest.
const QUERY_LIMIT: usize = 1;

/// How many claims a query for a subtree asks for.
const SUBTREE_LIMIT: usize = 100;

/// A claim of an answer begins with its hash, and with what it is about behind that.
const HASH_FIELD_BYTES: usize = br#"{"hash":"""#.len() + 64;

impl StemeDb {
    /// The clients of a run with so many connections.
    pub fn connections(workload: &Workload, address: SocketAddr, connections: u32) -> Vec<StemeDb> {
        (0..connections).map(|connection| StemeDb::new(workload, address, connection)).collect()
    }

    fn new(workload: &Workload, address: SocketAddr, connection: u32) -> StemeDb {
        // Each line of a batch has its end.
        let batch_bytes = (workload.claim_bytes + 1) * workload.batch_claims as usize;
        StemeDb {
            claims: Claims::new(workload, connection),
            choices: workload.mix.choices(workload.seed.rotate_left(32) ^ u64::from(connection)),
            heads: RequestHeads {
                assert: http::post_head("/v1/assert", "application/json", workload.claim_bytes, address),
                batch: http::post_head("/v1/assert/batch", "application/x-ndjson", batch_bytes, address),
                query_end: format!(" HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes(),
            },
            batch_claims: workload.batch_claims,
            asked: VecDeque::new(),
            responses: HeadReader::new(),
        }
    }

    fn ask(&mut self, path: &[u8], limit: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET /v1/query?subject=");
        out.extend_from_slice(path);
        out.extend_from_slice(b"&limit=");
        out.extend_from_slice(limit.to_string().as_bytes());
        out.extend_from_slice(&self.heads.query_end);
    }

    /// Whether a response is what was asked for.
    fn check(&self, asked: Asked, status: u16, body: &[u8]) -> Result<(), String> {
        match asked {
            Asked::Assert => {
                let says_created = body
                    .get(HASH_FIELD_BYTES..)
                    .is_some_and(|rest| rest.starts_with(br#","status":"created""#));
                require(status == 201 && says_created, || "201 and that the claim was created".to_owned())
            }
            Asked::Batch => {
                let counts = format!(r#"{{"accepted":{},"exists":0,"rejected":0,"#, self.batch_claims);
                require(status == 200 && body.starts_with(counts.as_bytes()), || format!("200 and {counts}"))
            }
            Asked::Query { subject } => {
                let path = SubjectPath::of(subject);
                check_list(status, body, path.as_bytes(), QUERY_LIMIT)
            }
            Asked::Subtree { subject } => {
                let path = SubjectPath::of(subject);
                check_list(status, body, &path.as_bytes()[..SubjectPath::PARENT_BYTES], SUBTREE_LIMIT)
            }
        }
    }
}

impl Client for StemeDb {
    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        let operation = self.choices.choose();
        let (asked, units) = match operation {
            Operation::Assert => {
                out.extend_from_slice(&self.heads.assert);
                self.claims.append(out);
                (Asked::Assert, 1)
            }
            Operation::Batch => {
                out.extend_from_slice(&self.heads.batch);
                for _ in 0..self.batch_claims {
                    self.claims.append(out);
                    out.push(b'\n');
                }
                (Asked::Batch, self.batch_claims)
            }
            Operation::Query => {
                let subject = self.claims.choose_subject();
                self.ask(SubjectPath::of(subject).as_bytes(), QUERY_LIMIT, out);
                (Asked::Query { subject }, 1)
            }
            Operation::Subtree => {
                let subject = self.claims.choose_subject();
                let mut subtree = SubjectPath::of(subject).as_bytes()[..SubjectPath::PARENT_BYTES].to_vec();
                subtree.push(b'*');
                self.ask(&subtree, SUBTREE_LIMIT, out);
                (Asked::Subtree { subject }, 1)
            }
            Operation::Empty => panic!("no mix has empty requests"),
        };
        self.asked.push_back(asked);
        Request { operation, units }
    }

    fn answer(
        &mut self,
        received: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let Some(Head { status, head_bytes, body_bytes }) = self.responses.read(received)? else {
            return Ok(Progress::Incomplete);
        };
        let bytes = head_bytes + body_bytes;
        if received.len() < bytes {
            return Ok(Progress::Incomplete);
        }
        let Some(asked) = self.asked.pop_front() else {
            return Err(WrongAnswer::Unasked(received.to_vec()).into());
        };
        match self.check(asked, status, &received[head_bytes..bytes]) {
            Ok(()) => Ok(Progress::Answered(bytes)),
            Err(expected) => {
                Err(WrongAnswer::Unexpected { expected, got: received[..bytes].to_vec() }.into())
            }
        }
    }
}

/// The answer to a query: at most `limit` claims, the first of which is about something that begins with `path`.
fn check_list(status: u16, body: &[u8], path: &[u8], limit: usize) -> Result<(), String> {
    let expected = || format!("200 and at most {limit} claims about {}", String::from_utf8_lossy(path));
    let list = body.strip_prefix(br#"{"assertions":["#);
    let is_right = list.is_some_and(|list| {
        let count = count_behind(list);
        if list.starts_with(b"]") {
            return count == Some(0);
        }
        let first = list.get(HASH_FIELD_BYTES..).and_then(|rest| rest.strip_prefix(br#","concept_path":""#));
        first.is_some_and(|first| first.starts_with(path))
            && count.is_some_and(|count| (1..=limit).contains(&count))
    });
    require(status == 200 && is_right, expected)
}

/// The count that follows a list of claims.
fn count_behind(list: &[u8]) -> Option<usize> {
    const FIELD: &[u8] = br#"],"count":"#;
    let place = memchr::memmem::rfind(list, FIELD)? + FIELD.len();
    let digits = list[place..].split(|byte| !byte.is_ascii_digit()).next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

fn require(is_so: bool, expected: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::RunId;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// A client that has just asked, and what it said.
    fn asked(mix: &str) -> (StemeDb, String) {
        let mix = mix.parse().expect("a mix");
        let workload = Workload { mix, subjects: 1, batch_claims: 3, ..Workload::new(RunId::new(1)) };
        let mut client = StemeDb::new(&workload, ([127, 0, 0, 1], 18180).into(), 0);
        let mut out = Vec::new();
        client.request(&mut out);
        (client, String::from_utf8(out).expect("requests are text"))
    }

    /// What the client makes of an answer, whole and in two parts.
    fn answered(mix: &str, status: &str, body: &str) -> Result<Progress, String> {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (mut client, _) = asked(mix);
        let (begin, _) = answer.as_bytes().split_at(answer.len() - 1);
        let progress = client.answer(begin, &mut Vec::new()).expect("the answer may become right");
        assert_eq!(progress, Progress::Incomplete);
        let progress = client.answer(answer.as_bytes(), &mut Vec::new()).map_err(|error| error.to_string());
        assert!(
            progress.as_ref().is_ok_and(|progress| *progress == Progress::Answered(answer.len()))
                || progress.is_err()
        );
        progress
    }

    fn list(path: &str, count: u32) -> String {
        format!(
            r#"{{"assertions":[{{"hash":"{HASH}","concept_path":"{path}","predicate":"reading"}}],"count":{count},"lens":null}}"#
        )
    }

    #[test]
    fn lengths_are_those_of_the_bodies() {
        for mix in ["assert=1", "batch=1"] {
            let (_, request) = asked(mix);
            let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        }
    }

    #[test]
    fn queries_ask_for_a_subject_or_its_neighbours() {
        assert!(
            asked("query=1")
                .1
                .starts_with("GET /v1/query?subject=bench/sensor/000000/00&limit=1 HTTP/1.1\r\n")
        );
        assert!(
            asked("subtree=1")
                .1
                .starts_with("GET /v1/query?subject=bench/sensor/000000/*&limit=100 HTTP/1.1\r\n")
        );
    }

    #[test]
    fn right_answers_are_taken() {
        let created = format!(r#"{{"hash":"{HASH}","status":"created","timestamp":1}}"#);
        assert!(answered("assert=1", "201 Created", &created).is_ok());
        assert!(
            answered("batch=1", "200 OK", r#"{"accepted":3,"exists":0,"rejected":0,"errors":[]}"#).is_ok()
        );
        assert!(answered("query=1", "200 OK", &list("bench/sensor/000000/00", 1)).is_ok());
        assert!(answered("subtree=1", "200 OK", &list("bench/sensor/000000/07", 100)).is_ok());
        assert!(answered("query=1", "200 OK", r#"{"assertions":[],"count":0,"lens":null}"#).is_ok());
    }

    #[test]
    fn wrong_answers_are_told_with_what_was_expected_and_what_came() {
        let exists = format!(r#"{{"hash":"{HASH}","status":"exists"}}"#);
        let created = format!(r#"{{"hash":"{HASH}","status":"created","timestamp":1}}"#);
        let wrong = [
            ("assert=1", "200 OK", exists.as_str(), "expected 201"),
            ("assert=1", "201 Created", &exists, "expected 201"),
            ("assert=1", "200 OK", &created, "expected 201"),
            ("assert=1", "503 Service Unavailable", r#"{"error":{"code":"overloaded"}}"#, "overloaded"),
            (
                "batch=1",
                "200 OK",
                r#"{"accepted":2,"exists":1,"rejected":0,"errors":[]}"#,
                r#"{"accepted":3,"exists":0"#,
            ),
            ("batch=1", "200 OK", r#"{"accepted":2,"exists":0,"rejected":1,"errors":[]}"#, r#""rejected":1"#),
            ("query=1", "404 Not Found", "{}", "404 Not Found"),
            (
                "query=1",
                "200 OK",
                &list("bench/sensor/000000/01", 1),
                "at most 1 claims about bench/sensor/000000/00",
            ),
            ("query=1", "200 OK", &list("bench/sensor/000000/00", 2), "at most 1 claims"),
            ("query=1", "200 OK", r#"{"assertions":[],"count":1,"lens":null}"#, "at most 1 claims"),
            ("subtree=1", "200 OK", &list("bench/sensor/000001/00", 1), "bench/sensor/000000/"),
        ];
        for (mix, status, body, part) in wrong {
            let error = answered(mix, status, body).expect_err(body);
            assert!(error.contains(part) && error.contains("expected"), "{error}");
        }
    }
}
