//! An HTTP connection: the same bytes mean the same, however the network cuts them into pieces and whenever the answers come.

mod heads;
mod responses;

use std::sync::Arc;

use stemedb_net::http::{BodyMode, Connection, Event, Head, Limits, Reject, RequestId, ResponseHead, Status};

use crate::program::Pieces;
use heads::Heads;

const NOW_MS: u64 = 0;

/// A stream of requests, behind one byte from which the pieces and the order of the answers follow.
pub fn http(input: &[u8]) {
    let Some((&seed, stream)) = input.split_first() else {
        return;
    };
    let whole = Exchange::new(stream, Answers::AtOnce).run([stream]);
    responses::check(&whole);
    let in_pieces = Exchange::new(stream, Answers::AtOnce).run(Pieces::new(stream, seed));
    assert_eq!(whole, in_pieces, "pieces changed the meaning of {:?}", String::from_utf8_lossy(stream));
    let late = Exchange::new(stream, Answers::Late { seed }).run(Pieces::new(stream, seed));
    assert_eq!(whole, late, "late answers changed the meaning of {:?}", String::from_utf8_lossy(stream));
    // Single bytes tell where each head ends.
    let mut single = Exchange::new(stream, Answers::AtOnce);
    single.heads = Some(Heads::new(stream));
    let single = single.run(stream.chunks(1));
    assert_eq!(whole, single, "single bytes changed the meaning of {:?}", String::from_utf8_lossy(stream));
}

/// What a connection made of what it received.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    requests: Vec<Request>,
    /// All that was sent, but for leave to go on, which depends on how much of a body is there already.
    sent: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Request line and fields; empty if the head was rejected.
    head: Vec<Vec<u8>>,
    body: Vec<u8>,
    is_complete: bool,
    rejected: Option<Reject>,
}

impl Request {
    fn is_head(&self) -> bool {
        self.head.first().is_some_and(|method| method == b"HEAD")
    }
}

/// When requests are answered.
#[derive(Debug, Clone, Copy)]
enum Answers {
    AtOnce,
    /// Some time later, in an order that follows from the seed; bodies are paused meanwhile.
    Late {
        seed: u8,
    },
}

/// A connection, what came of it so far, and what it is still to be told.
struct Exchange<'s> {
    connection: Connection,
    answers: Answers,
    outcome: Outcome,
    sent: Vec<u8>,
    unanswered: Vec<RequestId>,
    answered: usize,
    is_paused: bool,
    is_ended: bool,
    heads: Option<Heads<'s>>,
}

/// What becomes of a request, as its head decides: the same in every exchange.
enum Treatment {
    Body(BodyMode),
    /// Answered without looking at its body, which is not in chunks: with one that is, the connection goes on or closes as
    /// the end of the body had come or not.
    AnsweredEarly,
}

impl Treatment {
    fn of(head: &Head) -> Treatment {
        match head.path().len() {
            bytes if bytes % 5 == 4 && !head.is_chunked() => Treatment::AnsweredEarly,
            bytes if bytes % 2 == 0 => Treatment::Body(BodyMode::Whole),
            _ => Treatment::Body(BodyMode::Stream),
        }
    }
}

/// What an event asks to be done, once the event is let go.
enum Then {
    Accept(BodyMode),
    Answer,
    Pause,
    Nothing,
}

impl<'s> Exchange<'s> {
    fn new(stream: &[u8], answers: Answers) -> Exchange<'s> {
        let outstanding_max = match answers {
            Answers::AtOnce => 64,
            Answers::Late { seed } => 1 + usize::from(seed % 8),
        };
        let limits = Limits { requests_outstanding_max: outstanding_max, ..Limits::default() };
        assert!(stream.len() < limits.body_bytes_max, "no body is too large");
        Exchange {
            connection: Connection::new(Arc::new(limits), 1, NOW_MS),
            answers,
            outcome: Outcome::default(),
            sent: Vec::new(),
            unanswered: Vec::new(),
            answered: 0,
            is_paused: false,
            is_ended: false,
            heads: None,
        }
    }

    /// Receives the pieces and then the end of the stream, and answers every request.
    fn run<'p>(mut self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
        let mut pieces = pieces.into_iter();
        loop {
            while self.take_event() {}
            while let Some(output) = self.connection.take_output(NOW_MS) {
                self.sent.extend_from_slice(&output);
                self.connection.sent(output.len(), NOW_MS);
            }
            if self.connection.should_close() {
                break;
            }
            self.connection.take_shutdown();
            if std::mem::take(&mut self.is_paused) {
                self.connection.resume();
            } else if self.is_answer_due() {
                self.answer_one();
            } else if let Some(piece) = pieces.next() {
                assert!(self.connection.wants_receive(), "nothing is asked, and nothing may come");
                self.connection.receive(piece, NOW_MS);
                self.heads.iter_mut().for_each(|heads| heads.received += piece.len());
            } else {
                assert!(!self.is_ended, "all is received and answered, and the connection stays open");
                self.connection.receive_eof(NOW_MS);
                self.is_ended = true;
            }
        }
        let sent = String::from_utf8(self.sent).expect("responses are ASCII");
        Outcome { sent: sent.replace("HTTP/1.1 100 Continue\r\n\r\n", ""), ..self.outcome }
    }

    /// Whether a request is to be answered before anything else happens.
    fn is_answer_due(&self) -> bool {
        let waiting_max = match self.answers {
            Answers::AtOnce => 0,
            Answers::Late { seed } => usize::from(seed / 8 % 8),
        };
        let is_stuck = self.is_ended || !self.connection.wants_receive();
        !self.unanswered.is_empty() && (is_stuck || self.unanswered.len() > waiting_max)
    }

    fn answer_one(&mut self) {
        let at = match self.answers {
            Answers::AtOnce => 0,
            Answers::Late { seed } => (usize::from(seed) + 5 * self.answered) % self.unanswered.len(),
        };
        let id = self.unanswered.swap_remove(at);
        self.answered += 1;
        let (head, body) = (ResponseHead::json(Status::Ok), responses::body(id.number()));
        let is_taken = if id.number().is_multiple_of(2) {
            self.connection.respond(id, &head, body.as_bytes())
        } else {
            self.connection.respond_owned(id, &head, body.into_bytes())
        };
        assert!(is_taken, "a request waits for one answer");
    }

    /// Takes the next event, if there is one.
    fn take_event(&mut self) -> bool {
        let Some(event) = self.connection.next_event(NOW_MS) else { return false };
        if let Some(heads) = &mut self.heads {
            heads.note(&event);
        }
        let (id, then) = note(event, &mut self.outcome.requests);
        match then {
            Then::Accept(mode) => self.connection.accept(id, mode),
            Then::Answer => {
                self.unanswered.push(id);
                if matches!(self.answers, Answers::AtOnce) {
                    self.answer_one();
                }
            }
            Then::Pause if matches!(self.answers, Answers::Late { .. }) => {
                self.connection.pause();
                self.is_paused = true;
            }
            Then::Pause | Then::Nothing => {}
        }
        true
    }
}

fn note(event: Event<'_>, requests: &mut Vec<Request>) -> (RequestId, Then) {
    match event {
        Event::Head { id, head } => {
            let line = [head.method(), head.path(), head.query()].map(|part| part.as_bytes().to_vec());
            let fields = head.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]);
            requests.push(Request { head: line.into_iter().chain(fields).collect(), ..Request::default() });
            match Treatment::of(head) {
                Treatment::Body(mode) => (id, Then::Accept(mode)),
                Treatment::AnsweredEarly => {
                    requests.last_mut().expect("it was just put there").is_complete = true;
                    (id, Then::Answer)
                }
            }
        }
        Event::Body { id, body, .. } => {
            let request = requests.last_mut().expect("a head came before");
            request.body.extend_from_slice(body);
            request.is_complete = true;
            (id, Then::Answer)
        }
        Event::Chunk { id, bytes } => {
            assert!(!bytes.is_empty(), "a piece has bytes");
            requests.last_mut().expect("a head came before").body.extend_from_slice(bytes);
            (id, Then::Pause)
        }
        Event::End { id } => {
            requests.last_mut().expect("a head came before").is_complete = true;
            (id, Then::Answer)
        }
        Event::Rejected { id, reason } => {
            if requests.last().is_none_or(|request| request.is_complete) {
                requests.push(Request::default());
            }
            let request = requests.last_mut().expect("there is one now");
            request.rejected = Some(reason);
            request.is_complete = true;
            // How much of a body was given out before the error depends on the pieces, and nobody uses it.
            request.body.clear();
            (id, Then::Nothing)
        }
    }
}
