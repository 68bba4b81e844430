//! A client that sends bytes to a server or a proxy and takes all that comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take before the test gives up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to send on.
pub(crate) enum Sent {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A response as it came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field, its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

impl Sent {
    pub(crate) fn over(stream: TcpStream) -> Sent {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes the option");
        Sent::Tcp(stream)
    }

    /// A connection to a proxy, which must be listening.
    pub(crate) fn to(socket: &Path) -> Sent {
        let stream =
            UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes the option");
        Sent::Unix(stream)
    }

    /// Sends these bytes, says that no more will come, and reads up to the end of the connection.
    pub(crate) fn send_all_and_read(mut self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        // The other side may have closed it already.
        let _ = match &self {
            Sent::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Sent::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        self.read()
    }

    /// Sends these bytes and reads until the other side closes the connection.
    pub(crate) fn send_and_read(mut self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        self.read()
    }

    fn send(&mut self, bytes: &[u8]) {
        // It may have enough before it has all.
        let _ = match self {
            Sent::Tcp(stream) => stream.write_all(bytes),
            Sent::Unix(stream) => stream.write_all(bytes),
        };
    }

    fn read(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let result = match self {
            Sent::Tcp(stream) => stream.read_to_end(&mut received),
            Sent::Unix(stream) => stream.read_to_end(&mut received),
        };
        match result.map_err(|error| error.kind()) {
            Ok(_) | Err(ErrorKind::ConnectionReset) => received,
            Err(kind) => panic!("{kind} after {:?}", String::from_utf8_lossy(&received)),
        }
    }
}

/// The responses in what a server or a proxy sent. The body of the last one, which may be to a HEAD, may be missing.
pub(crate) fn answers_in(mut received: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status =
            lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no response: {head:?}"));
        let field = |line: &str| {
            let (name, value) =
                line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?} in {head:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let fields: Vec<_> = lines.map(field).collect();
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length is a number"));
        received = &received[end + 4..];
        // What follows the answer to a HEAD is another answer.
        let length = if received.is_empty() || received.starts_with(b"HTTP/1.1 ") { 0 } else { length };
        let (body, rest) = received.split_at(length.min(received.len()));
        answers.push(Answer { status, fields, body: body.to_vec() });
        received = rest;
    }
    answers
}
