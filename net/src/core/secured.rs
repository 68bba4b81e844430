//! What a connection has beside HTTP if it speaks TLS.

use crate::http;
use crate::tls::{Progress, Session};

/// The most of a response that is encrypted at once, in bytes: the rest waits until that has been sent, so that a large
/// answer delays nobody and is in memory once.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// TLS between a socket and HTTP.
#[derive(Debug, Default)]
pub(super) struct Secured {
    pub(super) session: Session,
    /// When the handshake was begun, monotonic milliseconds.
    pub(super) handshake_began_ms: u64,
    /// Whether it waits in the list of handshakes to go on with.
    pub(super) is_due: bool,
    /// Whether it waits in line for a place among the handshakes.
    pub(super) is_in_line: bool,
    /// The response that is being encrypted, and how far that has come.
    plain: Option<(Vec<u8>, usize)>,
    sending: Option<Sending>,
    /// Nothing will come any more, once what has come is read.
    pub(super) has_ended: bool,
    ending: Ending,
}

/// What has been taken to be sent.
#[derive(Debug)]
struct Sending {
    bytes: usize,
    bytes_left: usize,
    /// Bytes of responses in it.
    plain_bytes: usize,
    /// How many of these are not known to be sent.
    plain_bytes_left: usize,
}

/// How far the end of what is said has come.
#[derive(Debug, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    None,
    /// It has been said that nothing more will come.
    Said,
    /// And the driver has been told to shut the sending side down.
    ShutDown,
    /// There is no orderly end.
    Broken,
}

impl Secured {
    /// Reads what has come, as much as HTTP has room for. False if nothing came of it.
    pub(super) fn feed(&mut self, http: &mut http::Connection, now_ms: u64) -> bool {
        let mut is_fed = false;
        while self.session.is_established() && http.wants_receive() {
            match self.session.next(|bytes| http.receive(bytes, now_ms)) {
                Progress::None if self.has_ended => {
                    //= RFC 9112 section 9.8
                    //# Servers SHOULD be prepared to receive an incomplete close from the client, since the client can often
                    //# locate the end of server data.
                    // Whether a request is complete its framing says, not the end of the connection.
                    http.receive_eof(now_ms);
                    return true;
                }
                Progress::None => return is_fed,
                Progress::Handled { .. } | Progress::Established { .. } => {}
                Progress::Ended => http.receive_eof(now_ms),
                Progress::Failed(error) => {
                    tracing::debug!(%error, "a TLS connection has failed");
                    self.ending = Ending::Broken;
                }
            }
            is_fed = true;
        }
        is_fed
    }

    /// The next bytes to send, if the ones before have been sent.
    pub(super) fn take_output(&mut self, http: &mut http::Connection, now_ms: u64) -> Option<Vec<u8>> {
        if self.sending.is_some() {
            return None;
        }
        if self.plain.is_none() && self.session.is_established() {
            self.plain = http.take_output(now_ms).map(|buffer| (buffer, 0));
        }
        let mut plain_bytes = 0;
        if let Some((buffer, begin)) = &mut self.plain {
            let end = buffer.len().min(*begin + PIECE_BYTES_MAX);
            plain_bytes = end - *begin;
            if let Err(error) = self.session.send(&buffer[*begin..end]) {
                tracing::debug!(%error, "a TLS connection can send nothing more");
                self.ending = Ending::Broken;
                return None;
            }
            *begin = end;
        }
        if let Some((buffer, end)) = &self.plain
            && *end == buffer.len()
            && let Some((buffer, _)) = self.plain.take()
        {
            http.recycle(buffer);
        }
        //= RFC 9112 section 9.8
        //# Servers MUST attempt to initiate an exchange of closure alerts with the client before closing the connection.
        if self.plain.is_none() && plain_bytes == 0 && http.take_shutdown() {
            self.session.finish();
            self.ending = Ending::Said;
        }
        let output = self.session.take_output()?;
        let bytes = output.len();
        self.sending = Some(Sending { bytes, bytes_left: bytes, plain_bytes, plain_bytes_left: plain_bytes });
        Some(output)
    }

    /// Notes that the client took `bytes` more of what was taken last.
    pub(super) fn sent(&mut self, http: &mut http::Connection, bytes: usize, now_ms: u64) {
        let sending = self.sending.as_mut().expect("what is sent was taken");
        sending.bytes_left -= bytes;
        // In proportion: how fast the client is counts, and nothing is done before all of it is sent.
        let plain_bytes_left = (sending.plain_bytes * sending.bytes_left).div_ceil(sending.bytes);
        http.sent(sending.plain_bytes_left - plain_bytes_left, now_ms);
        sending.plain_bytes_left = plain_bytes_left;
        if sending.bytes_left == 0 {
            self.sending = None;
        }
    }

    /// Whether the sending side is to be shut down: true once.
    pub(super) fn take_shutdown(&mut self) -> bool {
        let is_due = self.ending == Ending::Said && self.sending.is_none();
        if is_due {
            self.ending = Ending::ShutDown;
        }
        is_due
    }

    /// Whether there is nothing left to do but to close the socket.
    pub(super) fn is_broken(&self) -> bool {
        self.ending == Ending::Broken
    }

    /// What is to be said before the socket is closed, if it can be said.
    pub(super) fn last_words(&mut self) -> Option<Vec<u8>> {
        if self.sending.is_some() {
            return None;
        }
        if self.ending == Ending::None && self.plain.is_none() {
            self.session.finish();
        }
        self.session.take_output()
    }

    /// Bytes of heap it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Secured>() + self.session.heap_bytes()
    }
}
