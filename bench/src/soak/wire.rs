//! One connection, on which one request at a time is asked.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::http::{Head, HeadReader};

/// A server that has not answered after this time does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much is received at once.
const RECEIVE_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    heads: HeadReader,
    received: Vec<u8>,
}

impl Wire {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Wire { stream, heads: HeadReader::new(), received: Vec::new() })
    }

    /// Sends what nobody waits for an answer to.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and reads its answer: the status, and the body.
    pub(super) fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        loop {
            let head = self.heads.read(&self.received).map_err(io::Error::other)?;
            if let Some(Head { status, head_bytes, body_bytes }) = head
                && self.received.len() >= head_bytes + body_bytes
            {
                let rest = self.received.split_off(head_bytes + body_bytes);
                let answer = std::mem::replace(&mut self.received, rest);
                return Ok((status, answer[head_bytes..].to_vec()));
            }
            let begin = self.received.len();
            self.received.resize(begin + RECEIVE_BYTES, 0);
            let bytes = self.stream.read(&mut self.received[begin..])?;
            self.received.truncate(begin + bytes);
            if bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
