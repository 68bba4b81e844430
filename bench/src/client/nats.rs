//! NATS JetStream: a publication to a stream, and its acknowledgement, in the text protocol of NATS.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::memmem;

use super::rows::Rows;
use super::{Client, Operation, Progress, Request};

/// Without `verbose`, the server says nothing to what succeeds; with `no_responders`, it says when no stream listens.
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
    \"name\":\"stemedb-bench\",\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";

/// How long the server may take to make a stream.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection that publishes, one message a request.
#[derive(Debug)]
pub struct Nats {
    rows: Rows,
    subject: String,
    inbox: String,
}

impl Nats {
    /// A connection that publishes the bodies of `rows` to `subject`, to which a stream must be listening. Acknowledgements come to
    /// `inbox`, a subject that no other connection uses.
    pub fn new(rows: Rows, subject: &str, inbox: &str) -> Nats {
        Nats { rows, subject: subject.to_owned(), inbox: inbox.to_owned() }
    }
}

impl Client for Nats {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(CONNECT);
        write!(out, "SUB {} 1\r\nPING\r\n", self.inbox).expect("memory takes all bytes");
        true
    }

    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        let body = self.rows.next().body;
        write!(out, "PUB {} {} {}\r\n", self.subject, self.inbox, body.len())
            .expect("memory takes all bytes");
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
        Request { operation: Operation::Assert, units: 1 }
    }

    fn answer(
        &mut self,
        received: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let Some(line_end) = memmem::find(received, b"\r\n") else {
            return Ok(Progress::Incomplete);
        };
        let line = std::str::from_utf8(&received[..line_end])?;
        let message_start = line_end + 2;
        // Where a message names no subject for an answer, as acknowledgements do, there may be a second space.
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("INFO") => Ok(Progress::Skipped(message_start)),
            // Only the greeting asks for it.
            Some("PONG") => Ok(Progress::Answered(message_start)),
            Some("PING") => {
                out.extend_from_slice(b"PONG\r\n");
                Ok(Progress::Skipped(message_start))
            }
            // MSG subject sid bytes: nobody asks for an answer to the acknowledgement, so there is no fourth word.
            Some("MSG") => {
                let bytes: usize = words.nth(2).ok_or("NATS sent MSG without a length")?.parse()?;
                let end = message_start + bytes + 2;
                let Some(message) = received.get(message_start..end) else {
                    return Ok(Progress::Incomplete);
                };
                check_acknowledgement(&message[..bytes])?;
                Ok(Progress::Answered(end))
            }
            _ => Err(format!("NATS sent {line:?}").into()),
        }
    }
}

/// Makes a stream that keeps, in a file, what is published to `subject`. Blocks until the server has answered.
///
/// # Errors
///
/// When the server cannot be reached, or refuses.
pub fn create_stream(address: SocketAddr, stream: &str, subject: &str) -> io::Result<()> {
    let inbox = "_INBOX.create";
    let request = format!(
        "{{\"name\":\"{stream}\",\"subjects\":[\"{subject}\"],\"storage\":\"file\",\"num_replicas\":1}}"
    );
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    connection.write_all(CONNECT)?;
    write!(
        connection,
        "SUB {inbox} 1\r\nPUB $JS.API.STREAM.CREATE.{stream} {inbox} {}\r\n{request}\r\n",
        request.len()
    )?;
    let mut lines = BufReader::new(connection).lines();
    // The answer is the line behind the one that says MSG.
    while let Some(line) = lines.next().transpose()? {
        if line.starts_with("MSG ") {
            let answer = lines.next().transpose()?.unwrap_or_default();
            let is_made = answer.contains("\"did_create\":true") && !answer.contains("\"error\"");
            return if is_made { Ok(()) } else { Err(io::Error::other(answer)) };
        }
        if line.starts_with("-ERR") || line.starts_with("HMSG") {
            return Err(io::Error::other(line));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// An acknowledgement names the stream and the message's number in it.
fn check_acknowledgement(message: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let is_stored = message.starts_with(b"{\"stream\":") && memmem::find(message, b"\"seq\":").is_some();
    let is_new = memmem::find(message, b"\"duplicate\"").is_none();
    if is_stored && is_new {
        return Ok(());
    }
    Err(format!("JetStream answered {}", String::from_utf8_lossy(message)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{RunId, Workload};

    fn client() -> Nats {
        Nats::new(Rows::new(&Workload::new(RunId::new(1)), 0), "bench.claims", "_INBOX.7")
    }

    #[test]
    fn a_greeting_subscribes_and_is_answered_by_pong() {
        let mut client = client();
        let mut out = Vec::new();
        assert!(client.greet(&mut out));
        assert!(out.starts_with(b"CONNECT {"));
        assert!(out.ends_with(b"}\r\nSUB _INBOX.7 1\r\nPING\r\n"));
        let info = b"INFO {\"server_id\":\"x\"} \r\nPONG\r\n";
        let pong = info.len() - b"PONG\r\n".len();
        assert_eq!(client.answer(info, &mut out).expect("right"), Progress::Skipped(pong));
        assert_eq!(client.answer(&info[pong..], &mut out).expect("right"), Progress::Answered(6));
    }

    #[test]
    fn a_message_is_published_and_acknowledged() {
        let mut client = client();
        let mut out = Vec::new();
        client.request(&mut out);
        assert!(out.starts_with(b"PUB bench.claims _INBOX.7 200\r\n{"));
        assert!(out.ends_with(b"}\r\n"));
        let acknowledged = b"MSG _INBOX.7 1 27\r\n{\"stream\":\"bench\", \"seq\":1}\r\n";
        for end in 0..acknowledged.len() {
            let progress = client.answer(&acknowledged[..end], &mut out).expect("not wrong yet");
            assert_eq!(progress, Progress::Incomplete, "{end}");
        }
        let progress = client.answer(acknowledged, &mut out).expect("right");
        assert_eq!(progress, Progress::Answered(acknowledged.len()));
    }

    #[test]
    fn what_is_not_stored_is_an_error() {
        let mut client = client();
        let mut out = Vec::new();
        let message = r#"{"error":{"code":503,"description":"insufficient resources"}}"#;
        let failed = format!("MSG _INBOX.7 1  {}\r\n{message}\r\n", message.len());
        let error = client.answer(failed.as_bytes(), &mut out).expect_err("refused");
        assert!(error.to_string().contains("insufficient"), "{error}");
        assert!(client.answer(b"HMSG _INBOX.7 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", &mut out).is_err());
        assert!(client.answer(b"-ERR 'Authorization Violation'\r\n", &mut out).is_err());
    }

    #[test]
    fn a_ping_is_returned() {
        let mut out = Vec::new();
        assert_eq!(client().answer(b"PING\r\nMSG", &mut out).expect("right"), Progress::Skipped(6));
        assert_eq!(out, b"PONG\r\n");
    }
}
