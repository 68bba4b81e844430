//! An HTTP connection: the same bytes mean the same, however the network cuts them into pieces.

use std::sync::Arc;
use stemedb_net::http::{BodyMode, Connection, Event, Limits, ResponseHead, Status};

/// A stream of requests, behind one byte from which the pieces follow.
pub fn http(input: &[u8]) {
    let Some((&seed, stream)) = input.split_first() else {
        return;
    };
    let whole = run(stream, |_| stream.len().max(1));
    let cut = run(stream, |piece| 1 + (usize::from(seed) * (piece + 1)) % 97);
    assert_eq!(whole, cut, "the pieces changed the meaning of {:?}", String::from_utf8_lossy(stream));
    let bytes = run(stream, |_| 1);
    assert_eq!(whole, bytes, "single bytes changed the meaning of {:?}", String::from_utf8_lossy(stream));
}

/// What a connection made of what it received.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    requests: Vec<Request>,
    /// The status lines of the responses, those that only give leave to go on aside.
    responses: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Request line and fields; empty if the head was rejected.
    head: Vec<Vec<u8>>,
    body: Vec<u8>,
    is_complete: bool,
    rejected_with: Option<u16>,
}

/// What the event asks to be done, once the event is let go.
enum Then {
    Accept(BodyMode),
    Answer,
    Nothing,
}

/// Receives all of `stream` in pieces of the lengths that `piece_bytes` gives by their number, and answers every request.
fn run(stream: &[u8], piece_bytes: impl Fn(usize) -> usize) -> Outcome {
    const NOW_MS: u64 = 0;
    let mut connection = Connection::new(Arc::new(Limits::default()), 1, NOW_MS);
    let mut outcome = Outcome::default();
    let mut sent = Vec::new();
    let (mut rest, mut piece, mut is_ended) = (stream, 0, false);
    loop {
        while let Some(event) = connection.next_event(NOW_MS) {
            let (id, then) = note(event, &mut outcome.requests);
            match then {
                Then::Accept(mode) => connection.accept(id, mode),
                Then::Answer => {
                    assert!(connection.respond(id, &ResponseHead::json(Status::Ok), b"{}"), "asked once");
                }
                Then::Nothing => {}
            }
        }
        while let Some(output) = connection.take_output(NOW_MS) {
            sent.extend_from_slice(&output);
            connection.sent(output.len(), NOW_MS);
        }
        if connection.should_close() {
            break;
        }
        assert!(!is_ended, "all is received and answered, and the connection stays open");
        connection.take_shutdown();
        assert!(connection.wants_receive(), "nothing is asked, and nothing may come");
        let bytes = piece_bytes(piece).min(rest.len());
        piece += 1;
        if bytes == 0 {
            connection.receive_eof(NOW_MS);
            is_ended = true;
        } else {
            connection.receive(&rest[..bytes], NOW_MS);
            rest = &rest[bytes..];
        }
    }
    let sent = String::from_utf8(sent).expect("responses are ASCII");
    let status_lines = sent.lines().filter(|line| line.contains("HTTP/1.1 ") && !line.contains(" 100 "));
    outcome.responses = status_lines.map(str::to_owned).collect();
    outcome
}

fn note(event: Event<'_>, requests: &mut Vec<Request>) -> (stemedb_net::http::RequestId, Then) {
    match event {
        Event::Head { id, head } => {
            let line = [head.method(), head.path(), head.query()].map(|part| part.as_bytes().to_vec());
            let fields = head.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]);
            requests.push(Request { head: line.into_iter().chain(fields).collect(), ..Request::default() });
            let mode = if head.path().len() % 2 == 0 { BodyMode::Whole } else { BodyMode::Stream };
            (id, Then::Accept(mode))
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
            (id, Then::Nothing)
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
            request.rejected_with = Some(reason.status().code());
            // How much of a body was given out before the error depends on the pieces, and nobody uses it.
            request.body.clear();
            (id, Then::Nothing)
        }
    }
}
