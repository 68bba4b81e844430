//! A connection with a simple caller: it buffers every body whole, answers at once or when told, and keeps a
//! record of all that happened and all that was sent.

use std::sync::Arc;

use stemedb_net::http::{BodyMode, Connection, Event, Limits, Reject, RequestId, ResponseHead, Status};

/// What was given out, with pieces of streamed bodies put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happened {
    Head { method: String, path: String, query: String, fields: Vec<(String, Vec<u8>)> },
    Body(Vec<u8>),
    Stream { bytes: Vec<u8>, ended: bool },
    Rejected(Reject),
}

/// What the caller does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Buffers the body whole, then answers with it.
    Echo,
    /// Streams the body, then answers with its length.
    Stream,
    /// Answers as soon as it has seen the head.
    Hasty,
    /// Buffers the body and does not answer.
    Silent,
}

/// A connection and its caller.
pub(crate) struct Script {
    pub(crate) connection: Connection,
    pub(crate) happened: Vec<Happened>,
    /// The requests that were given out, the last one last.
    pub(crate) requests: Vec<RequestId>,
    pub(crate) sent: Vec<u8>,
    pub(crate) now_ms: u64,
    manners: Manners,
}

impl Script {
    pub(crate) fn new(manners: Manners) -> Script {
        Script::with_limits(manners, Limits::default())
    }

    pub(crate) fn with_limits(manners: Manners, limits: Limits) -> Script {
        Script {
            connection: Connection::new(Arc::new(limits), 0xabcd, 0),
            happened: Vec::new(),
            requests: Vec::new(),
            sent: Vec::new(),
            now_ms: 0,
            manners,
        }
    }

    /// Lets `bytes` come in, and all that follows from them happen.
    pub(crate) fn receive(&mut self, bytes: impl AsRef<[u8]>) -> &mut Script {
        self.connection.receive(bytes.as_ref(), self.now_ms);
        self.run();
        self
    }

    pub(crate) fn receive_eof(&mut self) -> &mut Script {
        self.connection.receive_eof(self.now_ms);
        self.run();
        self
    }

    /// Answers a request with a short text.
    pub(crate) fn respond(&mut self, index: usize, text: &str) -> bool {
        let answered = self.connection.respond(self.requests[index], &text_head(), text.as_bytes());
        self.run();
        answered
    }

    /// Hands out events and sends output until nothing moves.
    pub(crate) fn run(&mut self) {
        self.run_events();
        while let Some(buffer) = self.connection.take_output(self.now_ms) {
            self.sent.extend_from_slice(&buffer);
            self.connection.sent(buffer.len(), self.now_ms);
            self.connection.recycle(buffer);
            self.run_events();
        }
    }

    /// Hands out events until there are none; sends nothing.
    pub(crate) fn run_events(&mut self) {
        while let Some(event) = self.connection.next_event(self.now_ms) {
            let mut echo = None;
            match event {
                Event::Head { id, head } => {
                    self.requests.push(id);
                    self.happened.push(Happened::Head {
                        method: head.method().to_owned(),
                        path: head.path().to_owned(),
                        query: head.query().to_owned(),
                        fields: head
                            .fields()
                            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                            .collect(),
                    });
                    match self.manners {
                        Manners::Echo | Manners::Silent => self.connection.accept(id, BodyMode::Whole),
                        Manners::Stream => {
                            self.happened.push(Happened::Stream { bytes: Vec::new(), ended: false });
                            self.connection.accept(id, BodyMode::Stream);
                        }
                        Manners::Hasty => echo = Some((id, b"hasty".to_vec())),
                    }
                }
                Event::Body { id, head: _, body } => {
                    self.happened.push(Happened::Body(body.to_vec()));
                    echo = (self.manners == Manners::Echo).then(|| (id, body.to_vec()));
                }
                Event::Chunk { id: _, bytes: piece } => match self.happened.last_mut() {
                    Some(Happened::Stream { bytes, ended: false }) => bytes.extend_from_slice(piece),
                    other => panic!("a piece after {other:?}"),
                },
                Event::End { id } => match self.happened.last_mut() {
                    Some(Happened::Stream { bytes, ended }) => {
                        *ended = true;
                        echo = Some((id, bytes.len().to_string().into_bytes()));
                    }
                    other => panic!("an end after {other:?}"),
                },
                Event::Rejected { id: _, reason } => self.happened.push(Happened::Rejected(reason)),
            }
            if let Some((id, body)) = echo {
                assert!(self.connection.respond(id, &text_head(), &body), "the request has no answer yet");
            }
        }
    }

    /// All that was sent, as text.
    pub(crate) fn sent_text(&self) -> &str {
        std::str::from_utf8(&self.sent).expect("all tests send text")
    }

    /// The reason why the last request was rejected.
    pub(crate) fn rejected(&self) -> Option<Reject> {
        match self.happened.last() {
            Some(Happened::Rejected(reason)) => Some(*reason),
            _ => None,
        }
    }

    /// The bodies that were given out whole.
    pub(crate) fn bodies(&self) -> Vec<&str> {
        self.happened
            .iter()
            .filter_map(|happened| match happened {
                Happened::Body(bytes) => Some(std::str::from_utf8(bytes).expect("all tests send text")),
                _ => None,
            })
            .collect()
    }

    /// The method and path of the requests that were given out.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.happened
            .iter()
            .filter_map(|happened| match happened {
                Happened::Head { method, path, .. } => Some(format!("{method} {path}")),
                _ => None,
            })
            .collect()
    }
}

/// The head of a response of plain text.
pub(crate) fn text_head() -> ResponseHead {
    ResponseHead { content_type: "text/plain", ..ResponseHead::json(Status::Ok) }
}

/// The response to request `number` that [`Script::respond`] sends for a text.
pub(crate) fn text_response(number: u64, text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nserver: stemedb\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         x-request-id: 000000000000abcd-{number}\r\n\r\n{text}",
        text.len()
    )
}
