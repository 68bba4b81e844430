//! The reading side of a connection: from bytes to requests.

use std::ops::Range;

use super::body::Framing;
use super::chunked::ChunkedDecoder;
use super::head_scan::{HeadScan, Scanned};
use super::input::Input;
use super::limits::{BUFFER_BYTES_KEPT, PIECE_BYTES_MAX};
use super::{BodyMode, Head, Limits, Reject};

/// What has been received and not been given out, and where in a request that is.
#[derive(Debug)]
pub(super) struct Reader {
    input: Input,
    scan: HeadScan,
    head: Head,
    reading: Reading,
    /// The content of a chunked body that is buffered whole.
    decoded: Vec<u8>,
    paused: bool,
    /// No request is begun any more.
    last: bool,
    eof: bool,
    /// The connection is secured by TLS.
    is_secured: bool,
}

/// What the next bytes belong to.
#[derive(Debug)]
enum Reading {
    /// A head, or nothing yet.
    Head,
    /// A body, of which the caller has yet to say how it wants it.
    Choosing,
    Body(Delivery, Rest),
    /// Nothing: they are thrown away.
    Stopped,
}

/// What is done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Whole,
    Stream,
    /// The request has been answered, and its body is thrown away.
    Discard,
}

/// What is to come of a body.
#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(ChunkedDecoder),
}

/// What came of an attempt to read on.
#[derive(Debug)]
enum Progress {
    Given(Step),
    /// Something was read; there may be more.
    Further,
    /// More has to be received first.
    Stuck,
}

/// The next of a body.
#[derive(Debug)]
enum Piece {
    /// Bytes that were consumed, at least one.
    Content(Range<usize>),
    End,
    /// More has to be received first.
    Nothing,
}

/// Something to give out.
#[derive(Debug)]
pub(super) enum Step {
    /// A head has been read.
    Head,
    /// A whole body, to be found with [`Reader::content`].
    Whole(Content),
    /// A piece of a streamed body.
    Chunk(Range<usize>),
    /// The end of a streamed body.
    End,
}

/// Where a whole body is.
#[derive(Debug)]
pub(super) enum Content {
    /// Where it was received.
    Received(Range<usize>),
    /// Where it was put together from chunks.
    Decoded,
}

/// What the reading side waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The first byte of a request.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The caller: to choose, to resume, to answer.
    Caller,
    /// Nothing more is read.
    Nothing,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader {
            input: Input::default(),
            scan: HeadScan::default(),
            head: Head::new(),
            reading: Reading::Head,
            decoded: Vec::new(),
            paused: false,
            last: false,
            eof: false,
            is_secured: false,
        }
    }

    /// Notes that the connection is secured by TLS.
    pub(super) fn set_secured(&mut self) {
        self.is_secured = true;
    }

    /// Takes bytes that came in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.is_stopped() {
            self.input.push(bytes);
        }
    }

    /// Notes that no more will come.
    pub(super) fn set_eof(&mut self) {
        self.eof = true;
    }

    //= RFC 9112 section 6.3
    //# If the sender closes the connection or the recipient times out before the indicated number of octets are
    //# received, the recipient MUST consider the message to be incomplete and close the connection.
    //
    //= RFC 9110 section 9.3.1
    //# content received in a GET request has no generally defined semantics, cannot alter the meaning or target of the
    //# request
    /// Reads on, to the next thing to give out. A new request is begun only if `may_begin`.
    ///
    /// An error ends the reading of this connection; the caller stops it.
    pub(super) fn next(&mut self, may_begin: bool, limits: &Limits) -> Result<Option<Step>, Reject> {
        loop {
            let progress = match &self.reading {
                Reading::Head if self.last || (self.eof && self.input.is_empty()) => {
                    self.stop();
                    return Ok(None);
                }
                Reading::Head if !may_begin || self.input.is_empty() => return Ok(None),
                Reading::Head => self.next_head(limits)?,
                Reading::Body(Delivery::Stream, _) if self.paused => return Ok(None),
                Reading::Body(Delivery::Whole, _) => self.next_of_whole(limits)?,
                Reading::Body(Delivery::Stream, _) => self.next_of_stream()?,
                Reading::Body(Delivery::Discard, _) => self.discard()?,
                Reading::Choosing | Reading::Stopped => return Ok(None),
            };
            match progress {
                Progress::Given(step) => return Ok(Some(step)),
                Progress::Further => {}
                //= RFC 9112 section 8
                //# A server that receives an incomplete request message, usually due to a canceled request or a
                //# triggered timeout exception, MAY send an error response prior to closing the connection.
                Progress::Stuck if self.eof => return Err(Reject::Truncated),
                Progress::Stuck => return Ok(None),
            }
        }
    }

    /// Decides what becomes of the body whose head was given out. True if the client is to be given leave to
    /// send it.
    pub(super) fn accept(&mut self, mode: BodyMode, limits: &Limits) -> Result<bool, Reject> {
        assert!(matches!(self.reading, Reading::Choosing), "a body is accepted once, after its head");
        self.head.check_body(mode, limits.body_bytes_max)?;
        let framing = self.head.framing();
        if let (BodyMode::Whole, Framing::Length(bytes)) = (mode, framing) {
            self.input.reserve(bytes as usize);
        }
        self.decoded.clear();
        let delivery = match mode {
            BodyMode::Whole => Delivery::Whole,
            BodyMode::Stream => Delivery::Stream,
        };
        self.reading = Reading::Body(delivery, Rest::of(framing));
        Ok(self.head.expects_continue() && has_body(framing))
    }

    //= RFC 9112 section 9.3
    //# A server MUST read the entire request message body or close the connection after sending its response;
    //# otherwise, the remaining data on a persistent connection would be misinterpreted as the next request.
    //
    //= RFC 9110 section 10.1.1
    //# A server that responds with a final status code before reading the entire request content SHOULD indicate whether
    //# it intends to close the connection (e.g., see Section 9.6 of [HTTP/1.1]) or continue reading the request content.
    /// Drops what is to come of the request that is being read, since it has been answered. False if no
    /// request can follow it.
    pub(super) fn abandon(&mut self, limits: &Limits) -> bool {
        let rest = match std::mem::replace(&mut self.reading, Reading::Stopped) {
            Reading::Choosing => Rest::of(self.head.framing()),
            Reading::Body(_, rest) => rest,
            Reading::Head | Reading::Stopped => unreachable!("no request is being read"),
        };
        self.paused = false;
        match rest {
            Rest::Length(0) => self.end_request(),
            // A client that waits for leave may send its body or not: what follows could be read two ways.
            _ if self.last || self.head.expects_continue() => {}
            Rest::Length(bytes) if bytes > limits.body_bytes_max as u64 => {}
            Rest::Length(_) => self.reading = Reading::Body(Delivery::Discard, rest),
            Rest::Chunked(_) => {
                self.reading = Reading::Body(Delivery::Discard, rest);
                self.discard_what_is_there();
            }
        }
        !self.is_stopped()
    }

    /// Drops what has come of a body in chunks. If that is not all of it, nothing more is read.
    ///
    /// How much is still to come is not known. It might be too much, and when that shows the answer has long said that the connection
    /// goes on: the client may have sent its next request, and could not tell whether that was looked at. So the answer says that
    /// it ends, unless nothing is to come; and a client that is in the midst of a long body need not send the rest.
    fn discard_what_is_there(&mut self) {
        while matches!(self.reading, Reading::Body(..)) {
            if !matches!(self.discard(), Ok(Progress::Further)) {
                self.stop();
            }
        }
    }

    /// Holds a streamed body back.
    pub(super) fn pause(&mut self) {
        self.paused = matches!(self.reading, Reading::Body(Delivery::Stream, _));
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    /// Begins no further request; one that is being read is read to its end.
    pub(super) fn finish(&mut self) {
        self.last = true;
        if matches!(self.reading, Reading::Head) {
            self.stop();
        }
    }

    /// Reads nothing more.
    pub(super) fn stop(&mut self) {
        self.reading = Reading::Stopped;
        self.paused = false;
    }

    /// Gives memory back that is larger than what a connection keeps.
    pub(super) fn trim(&mut self) {
        if self.is_stopped() {
            self.input.clear();
        }
        if !matches!(self.reading, Reading::Body(Delivery::Whole, _)) {
            self.input.trim();
        }
        if !self.is_reading_request() && self.decoded.capacity() > BUFFER_BYTES_KEPT {
            self.decoded = Vec::new();
        }
    }

    /// Gives all memory back. No request must have been begun.
    pub(super) fn release(&mut self) {
        assert!(self.input.is_empty() && !self.is_reading_request(), "a request is not forgotten");
        self.input = Input::default();
        self.head.release();
        self.decoded = Vec::new();
    }

    /// The bytes that a [`Step::Chunk`] speaks of, and the head of the request.
    pub(super) fn chunk(&mut self, range: Range<usize>) -> &mut [u8] {
        self.input.consumed(range)
    }

    /// The body that a [`Step::Whole`] speaks of, and the head of the request.
    pub(super) fn content(&mut self, content: Content) -> (&Head, &mut [u8]) {
        match content {
            Content::Received(range) => (&self.head, self.input.consumed(range)),
            Content::Decoded => (&self.head, &mut self.decoded),
        }
    }

    /// The head that was read last.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Whether what is there now begins a HEAD request, valid or not.
    pub(super) fn is_at_head_request(&self) -> bool {
        self.input.bytes().starts_with(b"HEAD ")
    }

    /// Whether a head has been given out whose body has not been.
    pub(super) fn is_reading_request(&self) -> bool {
        matches!(self.reading, Reading::Choosing | Reading::Body(..))
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.reading, Reading::Stopped)
    }

    pub(super) fn is_eof(&self) -> bool {
        self.eof
    }

    /// Whether there is room for more.
    pub(super) fn wants_input(&self, limits: &Limits) -> bool {
        let body_bytes = match &self.reading {
            // At most `body_bytes_max`.
            Reading::Body(Delivery::Whole, Rest::Length(bytes)) => *bytes as usize,
            _ => 0,
        };
        !self.eof && self.input.len() < limits.input_bytes_max.max(body_bytes)
    }

    /// What it waits for after [`Reader::next`] had nothing to give out.
    pub(super) fn waiting(&self, may_begin: bool) -> Waiting {
        match &self.reading {
            Reading::Head if self.input.is_empty() => Waiting::Request,
            // What has not been looked at may be a whole head: then the client has done its part.
            Reading::Head if may_begin && self.scan.has_seen(self.input.len()) => Waiting::Head,
            Reading::Head | Reading::Choosing => Waiting::Caller,
            Reading::Body(..) if self.paused => Waiting::Caller,
            Reading::Body(..) => Waiting::Body,
            Reading::Stopped => Waiting::Nothing,
        }
    }

    /// What has come of a body that is to be given out whole, in bytes, while the rest is missing.
    pub(super) fn unfinished_body_bytes(&self) -> Option<usize> {
        let is_body = matches!(self.reading, Reading::Body(Delivery::Whole, _));
        is_body.then(|| self.input.len() + self.decoded.len())
    }

    /// Bytes of heap it holds.
    pub(super) fn heap_bytes(&self) -> usize {
        self.input.heap_bytes() + self.head.heap_bytes() + self.decoded.capacity()
    }

    /// As [`Reader::heap_bytes`], without what is kept for a body that was promised and has not come.
    pub(super) fn touched_bytes(&self) -> usize {
        self.input.touched_bytes() + self.head.heap_bytes() + self.decoded.capacity()
    }

    fn next_head(&mut self, limits: &Limits) -> Result<Progress, Reject> {
        match self.scan.advance(self.input.bytes(), limits)? {
            Scanned::Incomplete => Ok(Progress::Stuck),
            Scanned::EmptyLine(bytes) => {
                self.input.consume(bytes);
                Ok(Progress::Further)
            }
            Scanned::Complete(bytes) => {
                self.head.read(&self.input.bytes()[..bytes], limits, self.is_secured)?;
                self.input.consume(bytes);
                self.last = !self.head.keep_alive();
                self.reading = Reading::Choosing;
                Ok(Progress::Given(Step::Head))
            }
        }
    }

    fn next_of_whole(&mut self, limits: &Limits) -> Result<Progress, Reject> {
        let Reading::Body(_, rest) = &mut self.reading else { unreachable!("a body is being read") };
        match rest {
            Rest::Length(bytes) => {
                let bytes = *bytes as usize;
                if self.input.len() < bytes {
                    return Ok(Progress::Stuck);
                }
                let range = self.input.consume(bytes);
                self.end_request();
                Ok(Progress::Given(Step::Whole(Content::Received(range))))
            }
            Rest::Chunked(decoder) => {
                let piece = next_in_chunks(decoder, &mut self.input)?;
                let more_bytes = decoder.chunk_rest_bytes().saturating_add(piece.bytes() as u64);
                if more_bytes.saturating_add(self.decoded.len() as u64) > limits.body_bytes_max as u64 {
                    return Err(Reject::BodyTooLarge { bytes_max: limits.body_bytes_max });
                }
                match piece {
                    Piece::Content(range) => {
                        self.decoded.extend_from_slice(self.input.consumed(range));
                        Ok(Progress::Further)
                    }
                    Piece::End => {
                        self.end_request();
                        Ok(Progress::Given(Step::Whole(Content::Decoded)))
                    }
                    Piece::Nothing => Ok(Progress::Stuck),
                }
            }
        }
    }

    fn next_of_stream(&mut self) -> Result<Progress, Reject> {
        match self.next_piece()? {
            Piece::Content(range) => Ok(Progress::Given(Step::Chunk(range))),
            Piece::End => {
                self.end_request();
                Ok(Progress::Given(Step::End))
            }
            Piece::Nothing => Ok(Progress::Stuck),
        }
    }

    fn discard(&mut self) -> Result<Progress, Reject> {
        match self.next_piece()? {
            Piece::Content(_) => {}
            Piece::End => self.end_request(),
            Piece::Nothing => return Ok(Progress::Stuck),
        }
        Ok(Progress::Further)
    }

    fn next_piece(&mut self) -> Result<Piece, Reject> {
        let Reading::Body(_, rest) = &mut self.reading else { unreachable!("a body is being read") };
        match rest {
            Rest::Length(0) => Ok(Piece::End),
            Rest::Length(_) if self.input.is_empty() => Ok(Piece::Nothing),
            Rest::Length(rest) => {
                let available = self.input.len().min(PIECE_BYTES_MAX);
                let bytes = usize::try_from(*rest).map_or(available, |rest| rest.min(available));
                *rest -= bytes as u64;
                Ok(Piece::Content(self.input.consume(bytes)))
            }
            Rest::Chunked(decoder) => next_in_chunks(decoder, &mut self.input),
        }
    }

    //= RFC 9112 section 9.6
    //# A server that receives a "close" connection option MUST initiate closure of the connection [...] after it
    //# sends the final response to the request that contained the "close" connection option. [...] The server
    //# MUST NOT process any further requests received on that connection.
    fn end_request(&mut self) {
        self.reading = if self.last { Reading::Stopped } else { Reading::Head };
    }
}

impl Rest {
    fn of(framing: Framing) -> Rest {
        match framing {
            Framing::Absent => Rest::Length(0),
            Framing::Length(bytes) => Rest::Length(bytes),
            Framing::Chunked => Rest::Chunked(ChunkedDecoder::new()),
        }
    }
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Piece::Content(range) => range.len(),
            Piece::End | Piece::Nothing => 0,
        }
    }
}

fn next_in_chunks(decoder: &mut ChunkedDecoder, input: &mut Input) -> Result<Piece, Reject> {
    let decoded = decoder.decode(input.bytes())?;
    input.consume(decoded.framing_bytes);
    Ok(match (decoded.data_bytes, decoded.end) {
        (0, false) => Piece::Nothing,
        (0, true) => Piece::End,
        (bytes, _) => Piece::Content(input.consume(bytes)),
    })
}

fn has_body(framing: Framing) -> bool {
    !matches!(framing, Framing::Absent | Framing::Length(0))
}
