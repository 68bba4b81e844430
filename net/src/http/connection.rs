//! One connection: bytes in and events out, responses in and bytes out.

use std::io::Write;
use std::sync::Arc;

use super::output::Output;
use super::reader::{Reader, Step, Waiting};
use super::replies::{Content, Replies};
use super::response::{Persistence, RequestName};
use super::timers::{Idleness, Timers};
use super::{BodyMode, Date, Event, Head, Limits, Reject, ResponseHead, Timeout, Version};

/// A request of a connection: requests are counted from 0 in the order in which they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// The request's number on its connection.
    pub fn number(self) -> u64 {
        self.0
    }

    pub(super) fn new(number: u64) -> RequestId {
        RequestId(number)
    }
}

/// A server's side of one HTTP/1.1 connection.
///
/// Times are milliseconds of any clock; a time before one that was told earlier counts as that one.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    number: u64,
    reader: Reader,
    replies: Replies,
    output: Output,
    timers: Timers,
    /// A request that was rejected, until that is given out.
    rejected: Option<(RequestId, Reject)>,
    /// The request that must be answered before another begins.
    held: Option<RequestId>,
    /// Nothing is begun while anything is unanswered or unsent.
    restrained: bool,
    /// The sending side was shut down.
    is_shut_down: bool,
    /// The socket is to be closed, whatever is unsaid.
    is_closed: bool,
}

impl Connection {
    /// A connection just accepted. `number` tells connections apart in the `x-request-id` of responses to
    /// requests that bring none of their own.
    pub fn new(limits: Arc<Limits>, number: u64, now_ms: u64) -> Connection {
        limits.assert_consistent();
        Connection {
            limits,
            number,
            reader: Reader::new(),
            replies: Replies::default(),
            output: Output::default(),
            timers: Timers::new(now_ms),
            rejected: None,
            held: None,
            restrained: false,
            is_shut_down: false,
            is_closed: false,
        }
    }

    /// The same over a connection that is secured by TLS: targets of the scheme `https` are served.
    pub fn secured(mut self) -> Connection {
        self.reader.set_secured();
        self
    }

    //= RFC 9110 section 6.6.1
    //# A sender that generates a Date header field SHOULD generate its field value as the best available approximation
    //# of the date and time of message generation.
    /// Lets the responses from now on tell this date. It is to be set anew before any call that may write one, as
    /// often as it changes; a connection that was never told the time of day tells none.
    pub fn set_date(&mut self, date: Date) {
        self.replies.set_date(date);
    }

    /// Takes bytes that came in. They are taken even while [`Connection::wants_receive`] says no: what was
    /// already on its way is not lost, but no more must be asked for.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        self.timers.received(bytes.len(), now_ms);
        self.reader.push(bytes);
    }

    /// Notes that the peer will send no more. What it has asked is still answered.
    pub fn receive_eof(&mut self, now_ms: u64) {
        self.timers.advance(now_ms);
        self.reader.set_eof();
    }

    /// Refuses whatever has come for a reason that only the caller can know, and reads nothing more.
    pub fn refuse(&mut self, reason: Reject) {
        self.reject(reason);
    }

    /// Reads nothing more. What was asked is still answered, and then the connection ends.
    pub fn finish(&mut self) {
        self.reader.stop();
    }

    /// The next event, if there is one. To be called until there is none, after every other call but the
    /// ones that only ask.
    pub fn next_event(&mut self, now_ms: u64) -> Option<Event<'_>> {
        self.timers.advance(now_ms);
        if self.rejected.is_none() && !self.is_closed {
            match self.reader.next(self.may_begin(), &self.limits) {
                Ok(Some(step)) => return Some(self.event(step)),
                Ok(None) => {}
                Err(reason) => self.reject(reason),
            }
        }
        if let Some((id, reason)) = self.rejected.take() {
            return Some(Event::Rejected { id, reason });
        }
        self.settle();
        None
    }

    /// Says how the body of the request whose head was given out last is wanted. If the client waits for
    /// leave to send it, it gets that leave. Nothing happens when the connection has closed meanwhile.
    pub fn accept(&mut self, id: RequestId, mode: BodyMode) {
        if self.is_closed {
            return;
        }
        assert_eq!(
            Some(id),
            self.request_being_read(),
            "a body is accepted after its head, before an answer"
        );
        match self.reader.accept(mode, &self.limits) {
            //= RFC 9110 section 10.1.1
            //# Upon receiving an HTTP/1.1 (or later) request that has a method, target URI, and complete header
            //# section that contains a 100-continue expectation and an indication that request content will
            //# follow, an origin server MUST send either: [...] an immediate response with a final status code
            //# [...] an immediate 100 (Continue) response to encourage the client to send the request content.
            //
            //= RFC 9110 section 10.1.1
            //# The origin server MUST NOT wait for the content before sending the 100 (Continue) response.
            Ok(true) => self.replies.set_continue(id, &mut self.output),
            Ok(false) => {}
            Err(reason) => self.reject(reason),
        }
    }

    /// Begins no further request before this one is answered.
    ///
    /// For a request whose answer may be large. How many bytes wait to be sent is only known of answers: as many
    /// requests as may be outstanding could each get a large one before the first of them counts.
    pub fn hold(&mut self, id: RequestId) {
        self.held = Some(id);
    }

    /// While a connection is restrained it begins no request before all before it is answered and sent, and it wants to
    /// receive nothing while one waits for that. For times in which memory is short. To be set before each
    /// [`Connection::next_event`].
    pub fn restrain(&mut self, restrained: bool) {
        self.restrained = restrained;
    }

    /// Whether a request waits for no other reason than that the connection is restrained. It must be told when it no
    /// longer is.
    pub fn is_held_back(&self) -> bool {
        self.restrained && self.has_debts() && self.reader.waiting(false) == Waiting::Caller
    }

    /// The request whose body is coming in to be given out whole, and how many bytes of it have come. It can be answered
    /// before the rest has; then nothing of it is kept.
    pub fn unfinished_body(&self) -> Option<(RequestId, &Head, usize)> {
        let bytes = self.reader.unfinished_body_bytes()?;
        Some((self.newest_request(), self.reader.head(), bytes))
    }

    /// Gives out no more of the streamed body that is being read until [`Connection::resume`]. The time until
    /// then does not count against the client.
    pub fn pause(&mut self) {
        self.reader.pause();
    }

    /// Ends a pause.
    pub fn resume(&mut self) {
        self.reader.resume();
    }

    //= RFC 9110 section 10.1.1
    //# A server that sends a 100 (Continue) response MUST ultimately send a final status code, once it receives and
    //# processes the request content, unless the connection is closed prematurely.
    /// Answers a request. Answers may come in any order; they are sent in the order of the requests.
    /// False, and nothing happens, when the request has been answered, as the connection itself does when it
    /// rejects one, or when the connection is past saying anything.
    ///
    /// A request may be answered before its body has come in, which then gives no further events: what is
    /// left of it is thrown away, or the connection closes after the response, which says so, when that would be too much or
    /// nobody knows how much it is.
    pub fn respond(&mut self, id: RequestId, head: &ResponseHead, body: &[u8]) -> bool {
        self.answer(id, head, Content::Borrowed(body))
    }

    /// As [`Connection::respond`], for a body that is the caller's to give away: a large one is not copied.
    pub fn respond_owned(&mut self, id: RequestId, head: &ResponseHead, body: Vec<u8>) -> bool {
        self.answer(id, head, Content::Owned(body))
    }

    /// The next bytes to send, to be sent whole and before any others. `None` while there are none, or the
    /// ones taken before have not all been [`sent`](Connection::sent). A buffer that has been sent may be
    /// given back with [`Connection::recycle`].
    pub fn take_output(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        let buffer = self.output.take()?;
        self.timers.sending(now_ms);
        Some(buffer)
    }

    /// Whether bytes are to be sent after those that have been taken.
    pub fn has_output(&self) -> bool {
        self.output.has_untaken()
    }

    /// Notes that the socket took `bytes` more of the output that was taken last.
    pub fn sent(&mut self, bytes: usize, now_ms: u64) {
        self.output.sent(bytes);
        let (is_sending, is_all) = (self.output.is_sending(), self.output.is_empty());
        self.timers.sent(bytes, is_sending, is_all, now_ms, &self.limits);
        self.settle();
    }

    /// Takes back a buffer that [`Connection::take_output`] gave, or any other that is no longer needed, to
    /// use its memory again.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.output.recycle(buffer);
    }

    /// Whether more bytes from the peer are welcome. False is back-pressure: too much is unread, because too
    /// much is unanswered or not sent, or the caller has yet to choose or to resume.
    pub fn wants_receive(&self) -> bool {
        !self.is_closed && !self.is_held_back() && self.reader.wants_input(&self.limits)
    }

    /// How fast the peer takes what is sent to it, in bytes a second: over the stretch of time under way if that is as long as
    /// [`Limits::send_ms`], else over the one before it. `None` if there is nothing that it has to take, or has not been for so
    /// long.
    pub fn taken_bytes_per_s(&self, now_ms: u64) -> Option<u64> {
        self.timers.taken_bytes_per_s(now_ms, &self.limits)
    }

    /// Ends the connection at once, whatever is unsaid.
    pub fn cut_off(&mut self) {
        self.close();
    }

    /// When [`Connection::tick`] wants to be called at the latest.
    pub fn deadline_ms(&self) -> Option<u64> {
        if self.is_closed { None } else { self.timers.deadline_ms(&self.limits, self.idleness()) }
    }

    /// Lets time pass: acts on what is due and says which limit was run into, if one was.
    pub fn tick(&mut self, now_ms: u64) -> Option<Timeout> {
        if self.is_closed {
            return None;
        }
        let timeout = self.timers.tick(now_ms, &self.limits, self.idleness());
        match timeout {
            //= RFC 9112 section 9.5
            //# A client or server that wishes to time out SHOULD issue a graceful close on the connection.
            Some(Timeout::Idle | Timeout::Linger | Timeout::Send) => self.close(),
            Some(Timeout::Head) => self.reject(Reject::HeadTimeout { ms_max: self.limits.head_ms }),
            Some(Timeout::Body) => self.reject(Reject::BodyTimeout {
                bytes_min: self.limits.body_window_bytes_min,
                ms: self.limits.body_window_ms,
            }),
            None if self.timers.is_release_due(self.idleness()) => self.release(),
            None => {}
        }
        timeout
    }

    /// Ends the connection in an orderly way: requests whose heads were given out are read to their end and
    /// answered, no further ones are begun. Without such requests the connection closes.
    pub fn drain(&mut self) {
        self.reader.finish();
        let last = self.replies.next_id().0.checked_sub(1).map(RequestId);
        match last {
            Some(last) if !self.replies.is_answered(last) => self.replies.set_close(last),
            _ if self.is_finished() => self.close(),
            _ => {}
        }
    }

    //= RFC 9112 section 9.6
    //# To avoid the TCP reset problem, servers typically close a connection in stages. First, the server performs
    //# a half-close by closing only the write side of the read/write connection. The server then continues to read
    //# from the connection until it receives a corresponding close by the client, or until the server is
    //# reasonably certain that its own TCP stack has received the client's acknowledgement of the packet(s)
    //# containing the server's last response. Finally, the server fully closes the connection.
    /// True once, when all is said and the sending side of the socket is to be shut down. Bytes are still
    /// received, and thrown away, until [`Connection::should_close`].
    pub fn take_shutdown(&mut self) -> bool {
        let due = self.is_finished() && !self.should_close() && !self.is_shut_down;
        self.is_shut_down |= due;
        due
    }

    /// Whether the socket is to be closed now.
    pub fn should_close(&self) -> bool {
        self.is_closed || (self.is_finished() && self.reader.is_eof())
    }

    /// Bytes of heap the connection holds, without responses that wait to be sent.
    pub fn heap_bytes(&self) -> usize {
        self.reader.heap_bytes() + self.replies.heap_bytes() + self.output.heap_bytes()
    }

    /// Bytes of memory that the connection takes: all that it holds, and responses that the peer has not taken yet.
    pub fn held_bytes(&self) -> usize {
        self.reader.touched_bytes()
            + self.replies.heap_bytes()
            + self.replies.early_bytes()
            + self.output.held_bytes()
    }

    /// Bytes of responses that the peer has not taken yet.
    pub fn unsent_bytes(&self) -> usize {
        self.output.bytes() + self.replies.early_bytes()
    }

    fn event(&mut self, step: Step) -> Event<'_> {
        match step {
            Step::Head => {
                let id = self.begin_request();
                Event::Head { id, head: self.reader.head() }
            }
            Step::Whole(content) => {
                let id = self.newest_request();
                let (head, body) = self.reader.content(content);
                Event::Body { id, head, body }
            }
            Step::Chunk(range) => {
                let id = self.newest_request();
                Event::Chunk { id, bytes: self.reader.chunk(range) }
            }
            Step::End => Event::End { id: self.newest_request() },
        }
    }

    fn begin_request(&mut self) -> RequestId {
        self.timers.begin_request();
        let head = self.reader.head();
        let name = self.name(Some(head));
        let persistence = match (head.keep_alive(), head.version()) {
            (false, _) => Persistence::Close,
            (true, Version::Http10) => Persistence::KeepAlive,
            (true, Version::Http11) => Persistence::Silent,
        };
        let without_body = head.method() == "HEAD";
        self.replies.push(name, without_body, persistence)
    }

    fn answer(&mut self, id: RequestId, head: &ResponseHead, content: Content<'_>) -> bool {
        if self.is_closed || self.replies.is_answered(id) {
            return false;
        }
        if self.request_being_read() == Some(id) && !self.reader.abandon(&self.limits) {
            self.replies.set_close(id);
        }
        self.replies.answer(id, head, content, &mut self.output);
        true
    }

    /// Answers the request that is being read with an error, unless it has been answered, and reads no more.
    fn reject(&mut self, reason: Reject) {
        let id = self.request_being_read().unwrap_or_else(|| {
            let without_body = self.reader.is_at_head_request();
            self.replies.push(self.name(None), without_body, Persistence::Close)
        });
        self.reader.stop();
        if self.replies.is_answered(id) {
            return;
        }
        self.replies.set_close(id);
        let mut body = Vec::new();
        write!(body, r#"{{"error":{{"code":"{}","message":"{reason}"}}}}"#, reason.code())
            .expect("writing to memory does not fail");
        self.replies.answer(id, &reason.response(), Content::Owned(body), &mut self.output);
        self.rejected = Some((id, reason));
    }

    fn name(&self, head: Option<&Head>) -> RequestName {
        match head.and_then(Head::request_id) {
            Some(text) => RequestName::of_client(text),
            None => RequestName::made(self.number, self.replies.next_id().0),
        }
    }

    /// Brings timers and memory up to what the connection now waits for.
    fn settle(&mut self) {
        self.reader.trim();
        if self.output.is_empty() {
            self.replies.all_sent();
        }
        let waiting = match self.reader.waiting(self.may_begin()) {
            // The client may wait for leave to send, which waits for the answers before.
            Waiting::Body if self.replies.withholds_continue() => Waiting::Caller,
            waiting => waiting,
        };
        self.timers.wait_for(waiting, self.is_finished());
    }

    fn close(&mut self) {
        self.reader.stop();
        self.is_closed = true;
    }

    fn release(&mut self) {
        self.reader.release();
        self.replies.release();
        self.output.release();
    }

    fn idleness(&self) -> Idleness {
        let waits = self.reader.waiting(self.may_begin()) == Waiting::Request;
        if !waits || !self.replies.is_empty() || !self.output.is_empty() {
            Idleness::Busy
        } else if self.heap_bytes() > 0 {
            Idleness::Idle
        } else {
            Idleness::Released
        }
    }

    /// The request whose head was given out last, while its body has not been.
    fn request_being_read(&self) -> Option<RequestId> {
        self.reader.is_reading_request().then(|| self.newest_request())
    }

    fn newest_request(&self) -> RequestId {
        RequestId(self.replies.next_id().0.checked_sub(1).expect("a request has been given out"))
    }

    /// Whether there is room for another request and its response.
    fn may_begin(&self) -> bool {
        self.replies.len() < self.limits.requests_outstanding_max
            && self.unsent_bytes() < self.limits.output_bytes_max
            && self.held.is_none_or(|id| self.replies.is_answered(id))
            && !(self.restrained && self.has_debts())
    }

    /// Whether anything is unanswered or unsent.
    pub fn has_debts(&self) -> bool {
        !self.replies.is_empty() || !self.output.is_empty()
    }

    /// Whether everything has been read and answered and sent.
    fn is_finished(&self) -> bool {
        self.reader.is_stopped() && self.replies.is_empty() && self.output.is_empty()
    }
}
