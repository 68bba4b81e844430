//! Requests that have not been answered on the wire, and their answers.

use std::collections::VecDeque;

use super::connection::RequestId;
use super::limits::BUFFER_BYTES_KEPT;
use super::output::Output;
use super::response::{Persistence, RequestName, write_head};
use super::{Date, ResponseHead};

//= RFC 9112 section 9.3.2
//# A server MAY process a sequence of pipelined requests in parallel if they all have safe methods [...], but it
//# MUST send the corresponding responses in the same order that the requests were received.
// Whether requests run side by side is for the caller to say; the order is kept here.
/// The requests from the first one without an answer on the wire. Answers that come before their turn wait
/// here.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: VecDeque<Reply>,
    /// The number of the first request in `waiting`.
    first: u64,
    /// Bytes of memory of answers that wait for their turn.
    early_bytes: usize,
    /// Empty buffers for answers that come early.
    spare: Vec<Vec<u8>>,
    /// What answers tell as the time of day.
    date: Option<Date>,
    /// Whether leave to send a body was written and is not known to be sent.
    leave_is_unsent: bool,
}

#[derive(Debug)]
struct Reply {
    name: RequestName,
    /// A HEAD request: its answer has no body.
    without_body: bool,
    persistence: Persistence,
    /// The client is to be given leave to send its body, when it is this request's turn.
    continues: bool,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    /// The head, and the body if it is not apart.
    bytes: Vec<u8>,
    /// A body that was given away.
    body: Option<Vec<u8>>,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
}

impl Replies {
    /// Adds a request and numbers it.
    pub(super) fn push(
        &mut self,
        name: RequestName,
        without_body: bool,
        persistence: Persistence,
    ) -> RequestId {
        let id = self.next_id();
        self.waiting.push_back(Reply { name, without_body, persistence, continues: false, answer: None });
        id
    }

    /// The number of the next request to be added.
    pub(super) fn next_id(&self) -> RequestId {
        RequestId::new(self.first + self.waiting.len() as u64)
    }

    /// Whether the request has an answer, on the wire or waiting for its turn.
    pub(super) fn is_answered(&self, id: RequestId) -> bool {
        assert!(id < self.next_id(), "request {} has not been given out", id.number());
        match id.number().checked_sub(self.first) {
            None => true,
            Some(index) => self.waiting[index as usize].answer.is_some(),
        }
    }

    /// Lets the answers from now on tell this date.
    pub(super) fn set_date(&mut self, date: Date) {
        self.date = Some(date);
    }

    /// Lets the answer to a request say that the connection closes after it.
    pub(super) fn set_close(&mut self, id: RequestId) {
        self.reply(id).persistence = Persistence::Close;
    }

    /// Gives the client leave to send its body, once what comes before is answered.
    pub(super) fn set_continue(&mut self, id: RequestId, output: &mut Output) {
        self.reply(id).continues = true;
        self.write_continue(output);
    }

    /// Whether the client that sends the newest request is to be given leave for its body, and has not got it.
    pub(super) fn withholds_continue(&self) -> bool {
        self.leave_is_unsent || self.waiting.back().is_some_and(|reply| reply.continues)
    }

    /// All that was written is sent.
    pub(super) fn all_sent(&mut self) {
        self.leave_is_unsent = false;
    }

    /// Takes the answer to a request that has none, and writes all answers whose turn it is.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        head: &ResponseHead,
        content: Content<'_>,
        output: &mut Output,
    ) {
        assert!(!self.is_answered(id), "request {} is answered once", id.number());
        if id.number() > self.first {
            self.keep(id, head, content);
            return;
        }
        let reply = self.waiting.pop_front().expect("a request without an answer is waiting");
        self.first += 1;
        reply.write(head, content, self.date.as_ref(), output);
        while self.waiting.front().is_some_and(|reply| reply.answer.is_some()) {
            self.write_early(output);
        }
        self.write_continue(output);
    }

    /// Gives all memory back. Nothing must be waiting.
    pub(super) fn release(&mut self) {
        assert!(self.waiting.is_empty(), "requests that wait for answers are not forgotten");
        self.waiting = VecDeque::new();
        self.spare = Vec::new();
    }

    /// How many requests have no answer on the wire.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of memory of answers that wait for their turn.
    pub(super) fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// Bytes of heap it holds, without answers that wait for their turn.
    pub(super) fn heap_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<Reply>()
            + self.spare.capacity() * size_of::<Vec<u8>>()
            + self.spare.iter().map(Vec::capacity).sum::<usize>()
    }

    fn reply(&mut self, id: RequestId) -> &mut Reply {
        let index = id.number().checked_sub(self.first).expect("the request is not answered");
        &mut self.waiting[index as usize]
    }

    fn keep(&mut self, id: RequestId, head: &ResponseHead, content: Content<'_>) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        let date = self.date;
        let reply = self.reply(id);
        write_head(head, content.len(), &reply.name, reply.persistence, date.as_ref(), &mut bytes);
        let mut body = None;
        match content {
            _ if reply.without_body => {}
            Content::Borrowed(content) => bytes.extend_from_slice(content),
            Content::Owned(content) => body = Some(content),
        }
        let answer = Answer { bytes, body };
        self.early_bytes += answer.heap_bytes();
        self.reply(id).answer = Some(answer);
    }

    /// Writes the first answer, which has been waiting for its turn.
    fn write_early(&mut self, output: &mut Output) {
        let reply = self.waiting.pop_front().expect("the caller looked at it");
        let answer = reply.answer.expect("the caller looked at it");
        self.first += 1;
        self.early_bytes -= answer.heap_bytes();
        let Answer { mut bytes, body } = answer;
        output.tail().extend_from_slice(&bytes);
        if let Some(body) = body {
            output.push(body);
        }
        if bytes.capacity() <= BUFFER_BYTES_KEPT {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    //= RFC 9110 section 8.6
    //# A server MUST NOT send a Content-Length header field in any response with a status code of 1xx (Informational)
    //# or 204 (No Content).
    //
    //= RFC 9112 section 6.1
    //# A server MUST NOT send a Transfer-Encoding header field in any response with a status code of 1xx (Informational)
    //# or 204 (No Content).
    //
    //= RFC 9110 section 15.2
    //# A 1xx response is terminated by the end of the header section; it cannot contain content or trailers.
    //
    //= RFC 9110 section 15.2
    //# A client MUST be able to parse one or more 1xx responses received prior to a final response
    fn write_continue(&mut self, output: &mut Output) {
        if let Some(reply) = self.waiting.front_mut()
            && std::mem::take(&mut reply.continues)
        {
            output.tail().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.leave_is_unsent = true;
        }
    }
}

impl Reply {
    fn write(&self, head: &ResponseHead, content: Content<'_>, date: Option<&Date>, output: &mut Output) {
        let out = output.tail();
        write_head(head, content.len(), &self.name, self.persistence, date, out);
        match content {
            //= RFC 9110 section 8.6
            //# a server MUST NOT send Content-Length in such a response unless its field value equals the decimal number
            //# of octets that would have been sent in the content of a response if the same request had used the GET
            //# method.
            //
            //= RFC 9110 section 9.3.2
            //# The server SHOULD send the same header fields in response to a HEAD request as it would have sent if the
            //# request method had been GET.
            //
            //= RFC 9110 section 9.3.2
            //# The HEAD method is identical to GET except that the server MUST NOT send content in the response.
            _ if self.without_body => {}
            Content::Borrowed(content) => out.extend_from_slice(content),
            Content::Owned(content) => output.push(content),
        }
    }
}

impl Answer {
    fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.body.as_ref().map_or(0, Vec::capacity)
    }
}

impl Content<'_> {
    fn len(&self) -> usize {
        match self {
            Content::Borrowed(bytes) => bytes.len(),
            Content::Owned(bytes) => bytes.len(),
        }
    }
}
