//! A client that sends exactly what it is told and reads answers with no lenience.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use crate::http;

/// How long an answer may take before the test gives up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// What came in and was not read yet.
    received: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        Client::over(TcpStream::connect(address)?)
    }

    /// A client on a connection that is there.
    pub fn over(stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads the next answer: to a request that was not HEAD.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionAborted`] if the connection ends before its first byte,
    /// [`ErrorKind::UnexpectedEof`] if it ends within.
    pub fn response(&mut self) -> io::Result<Response> {
        self.read_response(false)
    }

    /// Reads the next answer: to a HEAD, and so without a body.
    pub fn head_response(&mut self) -> io::Result<Response> {
        self.read_response(true)
    }

    /// Sends a request and reads its answer.
    pub fn request(&mut self, method: &str, target: &str, body: &[u8]) -> io::Result<Response> {
        self.send(&http::request(method, target, body))?;
        self.read_response(method == "HEAD")
    }

    /// Sends a GET and reads its answer.
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, b"")
    }

    /// Sends a POST and reads its answer.
    pub fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> io::Result<Response> {
        self.request("POST", target, body.as_ref())
    }

    /// Sends a POST of a JSON value, which must be answered with 2xx, and gives what the answer says.
    pub fn post_json(&mut self, target: &str, body: &Value) -> Value {
        self.post(target, body.to_string()).expect("a running server answers").ok()
    }

    /// Tells the server that nothing more will come.
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Breaks the connection off, so that the server gets a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket takes the option");
    }

    /// Reads up to the end of the connection, before which nothing more must come. A reset is an end.
    pub fn expect_end(&mut self) {
        assert!(self.received.is_empty(), "unexpected: {}", String::from_utf8_lossy(&self.received));
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "unexpected: {}", String::from_utf8_lossy(&rest)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn read_response(&mut self, without_body: bool) -> io::Result<Response> {
        let head = loop {
            match http::parse_head(&self.received) {
                Some(head) => break head,
                None => self.receive()?,
            }
        };
        let body_bytes = if without_body || head.status < 200 { 0 } else { head.content_length };
        while self.received.len() < head.bytes + body_bytes {
            self.receive()?;
        }
        let rest = self.received.split_off(head.bytes + body_bytes);
        let body = std::mem::replace(&mut self.received, rest).split_off(head.bytes);
        Ok(Response { status: head.status, fields: head.fields, body })
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let bytes = loop {
            match self.stream.read(&mut buffer) {
                // A read with a timeout ends with that when the process was stopped and goes on (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if bytes == 0 {
            let kind = match self.received.is_empty() {
                true => ErrorKind::ConnectionAborted,
                false => ErrorKind::UnexpectedEof,
            };
            return Err(io::Error::new(kind, "the server closed the connection"));
        }
        self.received.extend_from_slice(&buffer[..bytes]);
        Ok(())
    }
}

impl Response {
    /// The value of a header field, its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, as it must be.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in the body of {self:?}"))
    }

    /// The body of an answer that must be 2xx.
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }

    /// The code of an answer that must be an error: `{"error":{"code":…,"message":…}}`.
    pub fn error_code(&self) -> String {
        let body = self.json();
        assert!(self.status >= 400, "{}: {body}", self.status);
        let error = &body["error"];
        assert!(error["message"].as_str().is_some_and(|message| message.len() >= 10), "no message in {body}");
        error["code"].as_str().unwrap_or_else(|| panic!("no code in {body}")).to_owned()
    }
}
