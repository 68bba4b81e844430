//! PostgreSQL: its protocol, version 3. Rows are inserted one a transaction by a prepared statement, or many by `COPY`.

use std::error::Error;

use super::rows::Rows;
use super::{Client, Operation, Progress, Request};

/// Who logs in; the server trusts everybody who comes over loopback.
pub const USER: &str = "bench";

/// The table that takes the rows: `subject` and `body`, both text.
pub const TABLE: &str = "claim";

const PROTOCOL_VERSION: u32 = 3 << 16;

const STATEMENT: &str = "store";

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// One row a request and transaction: Bind, Execute, Sync.
    Insert,
    /// These many rows a request and transaction, by `COPY … FROM STDIN`.
    Copy {
        /// At least 1.
        rows: u32,
    },
}

/// A connection that writes rows.
#[derive(Debug)]
pub struct Postgres {
    rows: Rows,
    writing: Writing,
    /// What `CommandComplete` has to say.
    tag: String,
    /// The next message that counts in the answer.
    awaited: Awaited,
}

/// The messages that make up an answer; others, such as notices, are skipped wherever they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    LoginReady,
    Parsed,
    StatementReady,
    Begun,
    Completed,
    Ready,
}

impl Postgres {
    /// A connection that writes `rows`.
    pub fn new(rows: Rows, writing: Writing) -> Postgres {
        let tag = match writing {
            Writing::Insert => "INSERT 0 1".to_owned(),
            Writing::Copy { rows } => format!("COPY {rows}"),
        };
        Postgres { rows, writing, tag, awaited: Awaited::LoginReady }
    }

    /// What a message means here.
    fn take(&mut self, kind: u8, body: &[u8]) -> Result<Step, Box<dyn Error + Send + Sync>> {
        let next = match (self.awaited, kind) {
            // AuthenticationOk; another number would ask for a password.
            (Awaited::LoginReady, b'R') if body == [0; 4] => return Ok(Step::Skip),
            // ParameterStatus, BackendKeyData.
            (Awaited::LoginReady, b'S' | b'K') => return Ok(Step::Skip),
            // NoticeResponse.
            (_, b'N') => return Ok(Step::Skip),
            (Awaited::LoginReady, b'Z') => Awaited::Parsed,
            (Awaited::Parsed, b'1') => Awaited::StatementReady,
            (Awaited::Begun, b'2') if self.writing == Writing::Insert => Awaited::Completed,
            (Awaited::Begun, b'G') if self.writing != Writing::Insert => Awaited::Completed,
            (Awaited::Completed, b'C') if body.strip_suffix(b"\0") == Some(self.tag.as_bytes()) => {
                Awaited::Ready
            }
            // No transaction is open: what was written is committed.
            (Awaited::StatementReady | Awaited::Ready, b'Z') if body == b"I" => {
                self.awaited = Awaited::Begun;
                return Ok(Step::Answer);
            }
            (_, b'E') => return Err(format!("PostgreSQL: {}", error_fields(body)).into()),
            (awaited, kind) => {
                let message = format!("PostgreSQL sent {:?} instead of {awaited:?}", char::from(kind));
                return Err(message.into());
            }
        };
        self.awaited = next;
        Ok(Step::Skip)
    }
}

enum Step {
    Skip,
    Answer,
}

impl Client for Postgres {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        untyped_message(out, |out| {
            out.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
            for text in ["user", USER, "database", "postgres"] {
                string(out, text);
            }
            out.push(0);
        });
        // Sent at once: the server reads it after the login.
        message(out, b'P', |out| {
            string(out, STATEMENT);
            string(out, &format!("INSERT INTO {TABLE} (subject, body) VALUES ($1, $2)"));
            out.extend_from_slice(&0u16.to_be_bytes());
        });
        message(out, b'S', |_| ());
        true
    }

    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        match self.writing {
            Writing::Insert => {
                let row = self.rows.next();
                message(out, b'B', |out| {
                    string(out, "");
                    string(out, STATEMENT);
                    // All parameters are text, there are two, and results would be text too.
                    out.extend_from_slice(&0u16.to_be_bytes());
                    out.extend_from_slice(&2u16.to_be_bytes());
                    for value in [row.subject.as_bytes(), row.body] {
                        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                        out.extend_from_slice(value);
                    }
                    out.extend_from_slice(&0u16.to_be_bytes());
                });
                message(out, b'E', |out| {
                    string(out, "");
                    out.extend_from_slice(&0u32.to_be_bytes());
                });
                message(out, b'S', |_| ());
                Request { operation: Operation::Assert, units: 1 }
            }
            Writing::Copy { rows } => {
                message(out, b'Q', |out| string(out, &format!("COPY {TABLE} (subject, body) FROM STDIN")));
                message(out, b'd', |out| {
                    for _ in 0..rows {
                        let row = self.rows.next();
                        copy_text(out, row.subject.as_bytes());
                        out.push(b'\t');
                        copy_text(out, row.body);
                        out.push(b'\n');
                    }
                });
                message(out, b'c', |_| ());
                Request { operation: Operation::Batch, units: rows }
            }
        }
    }

    fn answer(
        &mut self,
        received: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let mut read = 0;
        while let Some((kind, body)) = split_message(&received[read..])? {
            read += 5 + body.len();
            if let Step::Answer = self.take(kind, body)? {
                return Ok(Progress::Answered(read));
            }
        }
        Ok(if read == 0 { Progress::Incomplete } else { Progress::Skipped(read) })
    }
}

/// The first message, if it is there as a whole: its kind, and its body.
fn split_message(received: &[u8]) -> Result<Option<(u8, &[u8])>, &'static str> {
    let Some((head, rest)) = received.split_first_chunk::<5>() else {
        return Ok(None);
    };
    // The length counts itself.
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let body_bytes = length.checked_sub(4).ok_or("PostgreSQL sent a message without a length")?;
    Ok(rest.get(..body_bytes).map(|body| (head[0], body)))
}

/// Appends a message of that kind with what `body` appends.
fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    untyped_message(out, body);
}

/// Appends a message as the first one is, without a kind.
fn untyped_message(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Appends a value in the text format of `COPY`.
fn copy_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(place) = memchr::memchr3(b'\\', b'\t', b'\n', rest) {
        out.extend_from_slice(&rest[..place]);
        out.push(b'\\');
        out.push(match rest[place] {
            b'\t' => b't',
            b'\n' => b'n',
            other => other,
        });
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
}

/// Severity, code and message of an ErrorResponse.
fn error_fields(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let shown =
        fields.filter(|(kind, _)| b"SCM".contains(kind)).map(|(_, text)| String::from_utf8_lossy(text));
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{RunId, Workload};

    fn client(writing: Writing) -> Postgres {
        Postgres::new(Rows::new(&Workload::new(RunId::new(1)), 0), writing)
    }

    /// What PostgreSQL 15 sends to the greeting, without most of the parameters.
    fn greeting() -> Vec<u8> {
        let mut sent = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x19client_encoding\0UTF8\0".to_vec();
        sent.extend_from_slice(b"K\0\0\0\x0c\0\0\x12\x34\x56\x78\x9a\xbcZ\0\0\0\x05I1\0\0\0\x04Z\0\0\0\x05I");
        sent
    }

    fn greeted(writing: Writing) -> Postgres {
        let mut client = client(writing);
        let answer = greeting();
        let progress = client.answer(&answer, &mut Vec::new()).expect("right");
        assert_eq!(progress, Progress::Answered(answer.len()));
        client
    }

    #[test]
    fn the_greeting_logs_in_and_prepares() {
        let mut out = Vec::new();
        assert!(client(Writing::Insert).greet(&mut out));
        let login = b"\0\0\0\x26\0\x03\0\0user\0bench\0database\0postgres\0\0";
        assert_eq!(&out[..login.len()], login);
        let prepared =
            b"P\0\0\0\x3estore\0INSERT INTO claim (subject, body) VALUES ($1, $2)\0\0\0S\0\0\0\x04";
        assert_eq!(&out[login.len()..], prepared);
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let whole = greeting();
        let mut client = client(Writing::Insert);
        let (mut read, mut answers) = (0, 0);
        for end in 0..=whole.len() {
            match client.answer(&whole[read..end], &mut Vec::new()).expect("right") {
                Progress::Incomplete => (),
                Progress::Skipped(bytes) => read += bytes,
                Progress::Answered(bytes) => {
                    read += bytes;
                    answers += 1;
                }
            }
        }
        assert_eq!((read, answers), (whole.len(), 1));
    }

    #[test]
    fn a_row_is_inserted() {
        let mut client = greeted(Writing::Insert);
        let mut out = Vec::new();
        assert_eq!(client.request(&mut out).units, 1);
        assert!(out.starts_with(b"B\0\0\0\xf7\0store\0\0\0\0\x02\0\0\0\x16bench/sensor/"));
        assert!(out.ends_with(b"}\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"));
        let answer = b"2\0\0\0\x04C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05I";
        let progress = client.answer(answer, &mut Vec::new()).expect("right");
        assert_eq!(progress, Progress::Answered(answer.len()));
    }

    #[test]
    fn rows_are_copied() {
        let mut client = greeted(Writing::Copy { rows: 3 });
        let mut out = Vec::new();
        assert_eq!(client.request(&mut out), Request { operation: Operation::Batch, units: 3 });
        let (query, rest) = out.split_at(43);
        assert_eq!(query, b"Q\0\0\0\x2aCOPY claim (subject, body) FROM STDIN\0".as_slice());
        let (kind, rows) = split_message(rest).expect("sound").expect("whole");
        assert_eq!((kind, rows.len()), (b'd', 3 * (22 + 1 + 200 + 1)));
        assert!(out.ends_with(b"\nc\0\0\0\x04"));
        let answer = b"G\0\0\0\x0b\0\0\x02\0\0\0\0C\0\0\0\x0bCOPY 3\0Z\0\0\0\x05I";
        let progress = client.answer(answer, &mut Vec::new()).expect("right");
        assert_eq!(progress, Progress::Answered(answer.len()));
    }

    #[test]
    fn fewer_rows_than_sent_are_an_error() {
        let mut client = greeted(Writing::Copy { rows: 3 });
        let answer = b"G\0\0\0\x0b\0\0\x02\0\0\0\0C\0\0\0\x0bCOPY 2\0Z\0\0\0\x05I";
        assert!(client.answer(answer, &mut Vec::new()).is_err());
    }

    #[test]
    fn an_error_is_shown() {
        let mut client = greeted(Writing::Insert);
        let answer = b"E\0\0\0\x2aSERROR\0C53100\0Mcould not extend file\0\0";
        let error = client.answer(answer, &mut Vec::new()).expect_err("refused");
        assert_eq!(error.to_string(), "PostgreSQL: ERROR 53100 could not extend file");
        assert!(client.answer(b"2\0\0\0\0", &mut Vec::new()).is_err(), "a length counts itself");
    }

    #[test]
    fn what_copy_would_misread_is_escaped() {
        let mut out = Vec::new();
        copy_text(&mut out, b"a\\b\tc\nd");
        assert_eq!(out, b"a\\\\b\\tc\\nd");
    }
}
