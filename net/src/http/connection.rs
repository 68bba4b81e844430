//! One connection: bytes in and events out, responses in and bytes out.

use std::sync::Arc;

use super::{BodyMode, Event, Limits, ResponseHead, Timeout};

/// A request of a connection: requests are counted from 0 in the order in which they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// The request's number on its connection.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A server's side of one HTTP/1.1 connection.
///
/// Times are milliseconds of any clock that never goes backwards.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
}

impl Connection {
    /// A connection just accepted. `number` tells connections apart in the `x-request-id` of responses to
    /// requests that bring none of their own.
    pub fn new(limits: Arc<Limits>, number: u64, now_ms: u64) -> Connection {
        let _ = (number, now_ms);
        Connection { limits }
    }

    /// Takes bytes that came in. They are always taken, even while [`Connection::wants_receive`] says no:
    /// what was already on its way is not lost, but the sender of bytes has to stop soon.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        let _ = (bytes, now_ms, &self.limits);
        todo!()
    }

    /// Notes that the peer will send no more. What it has asked is still answered.
    pub fn receive_eof(&mut self, now_ms: u64) {
        let _ = now_ms;
        todo!()
    }

    /// The next event, if there is one. To be called until there is none.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        todo!()
    }

    /// Says how the body of the request whose head was just given out is wanted. If the client waits for
    /// leave to send it, it gets that leave.
    pub fn accept(&mut self, id: RequestId, mode: BodyMode, now_ms: u64) {
        let _ = (id, mode, now_ms);
        todo!()
    }

    /// Gives out no more of the streamed body until [`Connection::resume`]; the time until then does not
    /// count against the client.
    pub fn pause(&mut self) {
        todo!()
    }

    /// Ends a pause.
    pub fn resume(&mut self, now_ms: u64) {
        let _ = now_ms;
        todo!()
    }

    /// Answers a request. Answers may come in any order; they are sent in the order of the requests.
    /// False, and nothing happens, when the connection has already answered the request itself.
    ///
    /// A request may be answered before its body has come in: what is left of the body is thrown away, or the
    /// connection closes after the response when that would be too much.
    pub fn respond(&mut self, id: RequestId, head: &ResponseHead, body: &[u8]) -> bool {
        let _ = (id, head, body);
        todo!()
    }

    /// As [`Connection::respond`], for a body that is the caller's to give away: a large one is not copied.
    pub fn respond_owned(&mut self, id: RequestId, head: &ResponseHead, body: Vec<u8>) -> bool {
        let _ = (id, head, body);
        todo!()
    }

    /// The next bytes to send, to be sent whole and before any others, or `None` while the ones taken
    /// before have not been sent or there are none. Report progress with [`Connection::sent`], then give the
    /// buffer back with [`Connection::recycle`].
    pub fn take_output(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let _ = now_ms;
        todo!()
    }

    /// Whether there are bytes to send that have not been taken.
    pub fn has_output(&self) -> bool {
        todo!()
    }

    /// Notes that the socket took `bytes` more of the output that was taken last.
    pub fn sent(&mut self, bytes: usize, now_ms: u64) {
        let _ = (bytes, now_ms);
        todo!()
    }

    /// Takes back a buffer that [`Connection::take_output`] gave, to use it again.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        let _ = buffer;
        todo!()
    }

    /// Whether more bytes from the peer are welcome. Bytes that come regardless are kept.
    pub fn wants_receive(&self) -> bool {
        todo!()
    }

    /// When [`Connection::tick`] wants to be called at the latest, if nothing else happens before.
    pub fn deadline_ms(&self) -> Option<u64> {
        todo!()
    }

    /// Lets time pass: acts on whatever is due and says which limit was run into, if one was.
    pub fn tick(&mut self, now_ms: u64) -> Option<Timeout> {
        let _ = now_ms;
        todo!()
    }

    /// Ends the connection in an orderly way: requests whose heads were given out are read to their end and
    /// answered, no further ones are begun.
    pub fn drain(&mut self, now_ms: u64) {
        let _ = now_ms;
        todo!()
    }

    /// True once, when all is said and the sending side of the socket is to be shut down; bytes are still
    /// received until [`Connection::should_close`].
    pub fn take_shutdown(&mut self) -> bool {
        todo!()
    }

    /// Whether the socket is to be closed now.
    pub fn should_close(&self) -> bool {
        todo!()
    }

    /// Bytes of heap the connection holds.
    pub fn heap_bytes(&self) -> usize {
        todo!()
    }
}
