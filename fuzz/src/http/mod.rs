//! An HTTP connection: the same bytes mean the same, however the network cuts them into pieces and whenever the answers come.

mod heads;
mod responses;

use std::sync::Arc;

use stemedb_net::http::{BodyMode, Connection, Event, Head, Limits, Reject, RequestId, ResponseHead, Status};

use crate::program::Pieces;
use heads::Heads;

const NOW_MS: u64 = 0;

/// A stream of requests, behind one byte from which the pieces and the order of the answers follow, and one that chooses the
/// bounds of the connection.
pub fn http(input: &[u8]) {
    let [seed, choices, stream @ ..] = input else {
        return;
    };
    let (seed, bounds) = (*seed, &Bounds::of(*choices));
    let whole = Exchange::new(bounds, Answers::AtOnce).run([stream]);
    responses::check(&whole);
    let in_pieces = Exchange::new(bounds, Answers::AtOnce).run(Pieces::new(stream, seed));
    assert_eq!(whole, in_pieces, "pieces changed the meaning of {:?}", String::from_utf8_lossy(stream));
    let late = Exchange::new(bounds, Answers::Late { seed }).run(Pieces::new(stream, seed));
    assert_eq!(whole, late, "late answers changed the meaning of {:?}", String::from_utf8_lossy(stream));
    // Single bytes tell where each head ends.
    let mut single = Exchange::new(bounds, Answers::AtOnce);
    single.heads = Some(Heads::new(stream, bounds));
    let single = single.run(stream.chunks(1));
    assert_eq!(whole, single, "single bytes changed the meaning of {:?}", String::from_utf8_lossy(stream));
}

/// What a connection takes, the same in every exchange.
struct Bounds {
    limits: Limits,
    is_secured: bool,
}

impl Bounds {
    /// The usual ones for zero; each bit makes one so small that an input can reach it.
    fn of(choices: u8) -> Bounds {
        let usual = Limits::default();
        let chosen = |bit: u8, small: usize, usual: usize| if choices & bit == 0 { usual } else { small };
        let head_bytes_max = [usual.head_bytes_max, 512, 160, 64][usize::from(choices) % 4];
        let limits = Limits {
            head_bytes_max,
            target_bytes_max: chosen(0x04, 24, usual.target_bytes_max.min(head_bytes_max)),
            input_bytes_max: chosen(0x08, head_bytes_max, usual.input_bytes_max),
            body_bytes_max: chosen(0x10, 40, usual.body_bytes_max),
            output_bytes_max: chosen(0x20, 200, usual.output_bytes_max),
            ..usual
        };
        Bounds { limits, is_secured: choices & 0x80 != 0 }
    }
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
    /// Some time later, in an order that follows from the seed; bodies are paused meanwhile, some requests hold up those behind
    /// them, and the peer takes what is sent bit by bit.
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
    /// Bytes that were taken to be sent and have not been.
    unsent_bytes: usize,
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
    fn new(bounds: &Bounds, answers: Answers) -> Exchange<'s> {
        let outstanding_max = match answers {
            Answers::AtOnce => 64,
            Answers::Late { seed } => 1 + usize::from(seed % 8),
        };
        let limits = Limits { requests_outstanding_max: outstanding_max, ..bounds.limits.clone() };
        let connection = Connection::new(Arc::new(limits), 1, NOW_MS);
        Exchange {
            connection: if bounds.is_secured { connection.secured() } else { connection },
            answers,
            outcome: Outcome::default(),
            sent: Vec::new(),
            unanswered: Vec::new(),
            answered: 0,
            unsent_bytes: 0,
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
            let has_sent = self.send();
            if self.connection.should_close() {
                break;
            }
            self.connection.take_shutdown();
            if std::mem::take(&mut self.is_paused) {
                self.connection.resume();
            } else if self.is_answer_due() {
                self.answer_one();
            } else if (has_sent || self.unsent_bytes > 0) && self.is_stuck() {
                // Further requests may begin then.
                self.note_sent(self.unsent_bytes);
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

    /// Takes what is to be sent. A late peer takes some bytes of it at a time. Whether any were taken.
    fn send(&mut self) -> bool {
        let mut has_sent = false;
        if let Answers::Late { seed } = self.answers {
            let bytes = self.unsent_bytes.min(usize::from(seed));
            self.note_sent(bytes);
            has_sent = bytes > 0;
        }
        while let Some(output) = self.connection.take_output(NOW_MS) {
            self.sent.extend_from_slice(&output);
            self.unsent_bytes = output.len();
            if matches!(self.answers, Answers::AtOnce) {
                self.note_sent(output.len());
                has_sent = true;
            }
        }
        has_sent
    }

    fn note_sent(&mut self, bytes: usize) {
        self.unsent_bytes -= bytes;
        self.connection.sent(bytes, NOW_MS);
    }

    /// Whether a request is to be answered before anything else happens.
    fn is_answer_due(&self) -> bool {
        let waiting_max = match self.answers {
            Answers::AtOnce => 0,
            Answers::Late { seed } => usize::from(seed / 8 % 8),
        };
        !self.unanswered.is_empty() && (self.is_stuck() || self.unanswered.len() > waiting_max)
    }

    /// Whether nothing more comes in unless something else happens first.
    fn is_stuck(&self) -> bool {
        self.is_ended || !self.connection.wants_receive()
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
            Then::Accept(mode) => {
                self.connection.accept(id, mode);
                if matches!(self.answers, Answers::Late { seed } if (id.number() + u64::from(seed)) % 5 == 0)
                {
                    self.connection.hold(id);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus_file;

    /// What is compared would be compared in vain if no input came to a bound.
    #[test]
    fn inputs_of_the_corpus_reach_each_bound() {
        for (name, requests, reason) in [
            ("bound-of-a-head", 2, Some(Reject::HeadTooLarge { bytes_max: 64 })),
            ("bound-of-a-head-exact", 2, None),
            ("bound-of-a-head-in-its-target", 1, Some(Reject::TargetTooLong { bytes_max: 64 })),
            ("bound-of-a-head-in-its-method", 1, Some(Reject::UnknownMethod)),
            ("bound-of-a-target", 2, Some(Reject::TargetTooLong { bytes_max: 24 })),
            ("bound-of-a-body", 2, Some(Reject::BodyTooLarge { bytes_max: 40 })),
            ("bound-of-a-body-in-chunks", 1, Some(Reject::BodyTooLarge { bytes_max: 40 })),
            ("bound-of-a-body-streamed", 2, None),
            ("bound-of-output", 8, None),
            ("trailer-too-large", 1, Some(Reject::TrailerTooLarge { bytes_max: 4096 })),
            ("chunk-overhead", 1, Some(Reject::ChunkOverhead)),
            ("content-encoding", 1, Some(Reject::UnsupportedContentEncoding)),
            ("https", 2, None),
            ("https-without-tls", 1, Some(Reject::Misdirected)),
        ] {
            let input = corpus_file("http", name);
            let outcome = Exchange::new(&Bounds::of(input[1]), Answers::AtOnce).run([&input[2..]]);
            assert_eq!(outcome.requests.len(), requests, "{name}");
            assert_eq!(outcome.requests.last().and_then(|request| request.rejected), reason, "{name}");
        }
    }
}
