//! One connection's TLS: records in and plaintext out, plaintext in and records out.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, WriteTraffic,
};
use rustls::{HandshakeKind, ServerConfig};

use super::records::{RECORD_BYTES_MAX, Records};

/// The most that the messages of a handshake may hold of what was received: the largest message, and the record that
/// completes it.
const MESSAGE_BYTES_MAX: usize = (64 << 10) + 2 * RECORD_BYTES_MAX;

/// The largest plaintext of a record.
const PLAINTEXT_BYTES_MAX: usize = 16 << 10;

/// What a record takes beside its plaintext, or a little more.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// The largest empty buffer that is kept to use again.
const BUFFER_BYTES_KEPT: usize = RECORD_BYTES_MAX;

/// Heap that `rustls` has for a session beside the buffers here, once its handshake is done, or a little more.
const ESTABLISHED_BYTES: usize = 4 << 10;

/// The same during the handshake.
const HANDSHAKE_BYTES: usize = 8 << 10;

/// A server's side of TLS on one connection.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    records: Records,
    /// What is to be sent and was not taken.
    outgoing: Vec<u8>,
    spare: Vec<u8>,
}

#[derive(Default)]
enum State {
    /// Bytes are kept until the handshake may begin.
    #[default]
    New,
    Handshake(Box<UnbufferedServerConnection>),
    Established(Box<UnbufferedServerConnection>),
    /// Nothing is understood or said any more.
    Failed,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::New => "New",
            State::Handshake(_) => "Handshake",
            State::Established(_) => "Established",
            State::Failed => "Failed",
        })
    }
}

/// What the next record was.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// It is not there.
    None,
    /// It was handled. `computed` tells whether the handshake has taken a step that costs more than reading.
    Handled {
        /// As above.
        computed: bool,
    },
    /// It has completed the handshake.
    Established {
        /// Whether the client came back with a ticket, which makes a handshake cheap.
        resumed: bool,
    },
    /// The client says that it will send nothing more.
    Ended,
    /// It was wrong: the session is over when what is left to send is sent.
    Failed(rustls::Error),
}

impl Session {
    /// Takes bytes that came in.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed) {
            self.records.push(bytes);
        }
    }

    /// Begins the handshake.
    pub fn begin(&mut self, config: Arc<ServerConfig>) {
        assert!(matches!(self.state, State::New), "a handshake begins once");
        let connection = UnbufferedServerConnection::new(config);
        // Only settings that were never changed from their defaults could be refused.
        self.state = State::Handshake(Box::new(connection.expect("a configuration that was checked")));
    }

    /// Handles the next record, and gives its plaintext, if it has some, to `plaintext`.
    pub fn next(&mut self, plaintext: impl FnMut(&[u8])) -> Progress {
        let in_handshake = matches!(self.state, State::Handshake(_));
        let (State::Handshake(connection) | State::Established(connection)) = &mut self.state else {
            return Progress::None;
        };
        if !self.records.advance() {
            return Progress::None;
        }
        let outgoing_bytes = self.outgoing.len();
        match handle(connection, &mut self.records, &mut self.outgoing, plaintext) {
            Err(error) => {
                self.fail();
                Progress::Failed(error)
            }
            Ok(Handled::Ended) => Progress::Ended,
            Ok(Handled::Done) if in_handshake && !connection.is_handshaking() => {
                let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
                let State::Handshake(connection) = std::mem::take(&mut self.state) else {
                    unreachable!("it was just there")
                };
                self.state = State::Established(connection);
                Progress::Established { resumed }
            }
            Ok(Handled::Done) => {
                Progress::Handled { computed: in_handshake && self.outgoing.len() > outgoing_bytes }
            }
        }
    }

    /// Encrypts what is to be sent.
    ///
    /// # Errors
    ///
    /// When the session is not established, has failed, or has been used for as much as its keys are good for.
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), rustls::Error> {
        let records = plaintext.len().div_ceil(PLAINTEXT_BYTES_MAX);
        let bytes = plaintext.len() + (records + 1) * RECORD_OVERHEAD_BYTES;
        self.write(bytes, |traffic, out| traffic.encrypt(plaintext, out))
    }

    /// Says that nothing more will be sent. To be called once, last.
    pub fn finish(&mut self) {
        if matches!(self.state, State::Established(_)) {
            // A session that can say nothing any more has nothing to finish.
            let _ = self.write(2 * RECORD_OVERHEAD_BYTES, |traffic, out| traffic.queue_close_notify(out));
        }
    }

    /// Gives the session up: nothing more is read, and nothing sent but what waits to be.
    pub fn fail(&mut self) {
        self.state = State::Failed;
        self.records.clear();
    }

    /// What is to be sent, if there is something.
    pub fn take_output(&mut self) -> Option<Vec<u8>> {
        if self.outgoing.is_empty() {
            return None;
        }
        Some(std::mem::replace(&mut self.outgoing, std::mem::take(&mut self.spare)))
    }

    /// Takes a buffer back that was sent.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_BYTES_KEPT {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// Whether the handshake has not begun.
    pub fn is_new(&self) -> bool {
        matches!(self.state, State::New)
    }

    /// Whether the handshake is under way.
    pub fn is_in_handshake(&self) -> bool {
        matches!(self.state, State::Handshake(_))
    }

    /// Whether the handshake is done and nothing has gone wrong since.
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established(_))
    }

    /// Whether it has failed.
    pub fn is_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// What has been received and not been looked at.
    pub fn unread(&self) -> &[u8] {
        self.records.unseen()
    }

    /// Whether there is room for more: for a whole record always.
    pub fn wants_receive(&self) -> bool {
        self.records.unseen().len() < RECORD_BYTES_MAX
    }

    /// Gives back all memory that is not needed now.
    pub fn release(&mut self) {
        self.records.release();
        self.spare = Vec::new();
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }

    /// Bytes of heap it holds, about.
    pub fn heap_bytes(&self) -> usize {
        let state = match &self.state {
            State::New | State::Failed => 0,
            State::Handshake(_) => HANDSHAKE_BYTES,
            // The client's certificates are kept.
            State::Established(connection) => {
                let chain = connection.peer_certificates().unwrap_or_default();
                ESTABLISHED_BYTES + chain.iter().map(|certificate| certificate.len()).sum::<usize>()
            }
        };
        state + self.records.heap_bytes() + self.outgoing.capacity() + self.spare.capacity()
    }

    /// Writes what `write` puts into a buffer of `bytes`, or of as many as that says it needs.
    fn write(
        &mut self,
        bytes: usize,
        mut write: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), rustls::Error> {
        let Session { state: State::Established(connection), records, outgoing, .. } = self else {
            return Err(rustls::Error::HandshakeNotComplete);
        };
        let mut bytes = bytes;
        loop {
            let begin = outgoing.len();
            // Of what was received, it sees no more than it has seen: nothing is read here.
            match connection.process_tls_records(records.seen_mut()).state? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    outgoing.resize(begin + bytes, 0);
                    let written = write(&mut traffic, &mut outgoing[begin..]);
                    outgoing.truncate(begin + *written.as_ref().unwrap_or(&0));
                    match written {
                        Ok(_) => return Ok(()),
                        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            bytes = required_size;
                        }
                        Err(EncryptError::EncryptExhausted) => return Err(rustls::Error::EncryptError),
                    }
                }
                // New keys are told first.
                ConnectionState::EncodeTlsData(data) => encode(data, outgoing),
                ConnectionState::TransmitTlsData(data) => data.done(),
                other => {
                    return Err(rustls::Error::General(format!(
                        "nothing can be sent in the state {other:?}"
                    )));
                }
            }
        }
    }
}

/// What a record was.
enum Handled {
    Done,
    Ended,
}

/// Has `rustls` handle the record that it may see now, and does what it wants for that.
fn handle(
    connection: &mut UnbufferedServerConnection,
    records: &mut Records,
    outgoing: &mut Vec<u8>,
    mut plaintext: impl FnMut(&[u8]),
) -> Result<Handled, rustls::Error> {
    let mut handled = Handled::Done;
    loop {
        let status = connection.process_tls_records(records.seen_mut());
        let mut discard = status.discard;
        let mut is_done = false;
        match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plaintext(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing),
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => handled = Handled::Ended,
            Ok(
                ConnectionState::BlockedHandshake
                | ConnectionState::WriteTraffic(_)
                | ConnectionState::Closed,
            ) => {
                is_done = true;
            }
            Ok(other) => return Err(rustls::Error::General(format!("nobody asked for the state {other:?}"))),
            Err(error) => {
                encode_alerts(connection, outgoing);
                return Err(error);
            }
        }
        records.discard(discard);
        if is_done && records.kept_bytes() > MESSAGE_BYTES_MAX {
            return Err(rustls::Error::General("a message of the handshake is too large".to_owned()));
        }
        if is_done {
            return Ok(handled);
        }
    }
}

/// Appends what `rustls` has encoded for the client.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Vec<u8>) {
    let begin = outgoing.len();
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut [])
    else {
        unreachable!("there is something to encode, and no room for it")
    };
    outgoing.resize(begin + required_size, 0);
    data.encode(&mut outgoing[begin..]).expect("there is as much room as it wants");
}

/// Appends what `rustls` wants to say about an error.
fn encode_alerts(connection: &mut UnbufferedServerConnection, outgoing: &mut Vec<u8>) {
    while connection.wants_write() {
        // As long as there is something to send, nothing is read.
        match connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing),
            _ => return,
        }
    }
}
