//! How a core speaks TLS: handshakes are begun, worked on in turns, and ended when they take too long.

use super::connection::{Connection, ConnectionKey};
use super::handshakes::{Handshakes, RECORDS_A_TURN, STEPS_A_TURN};
use super::secured::Secured;
use super::{Core, Now, mark};
use crate::http::Reject;
use crate::metrics::TlsHandshake;
use crate::tls::{Credentials, Progress};

/// Why the handshakes are there.
const SPOKEN: &str = "a secured connection is one of a core that speaks TLS";

/// Where a handshake stands after its turn.
#[derive(Debug, PartialEq, Eq)]
enum Turned {
    /// More has to be received first.
    Waits,
    /// There is more to do for it.
    Unfinished,
    /// It has taken a place, and gives it back.
    Over(TlsHandshake),
}

impl Core {
    /// Does further handshakes with other credentials.
    pub fn renew_tls(&mut self, credentials: &Credentials) {
        if let (Some(handshakes), Some(tls)) = (&mut self.handshakes, &mut self.room.tls) {
            handshakes.renew(credentials);
            tls.not_after_unix_s = credentials.not_after_unix_s;
        }
    }

    /// Notes that other credentials should have been used, and could not be.
    pub fn tls_renewal_failed(&mut self) {
        if let Some(tls) = &mut self.room.tls {
            tls.reloads_failed += 1;
        }
    }

    /// Whether TLS is spoken on its connections.
    pub fn speaks_tls(&self) -> bool {
        self.handshakes.is_some()
    }

    /// Takes bytes for a connection that speaks TLS.
    pub(super) fn received_secured(&mut self, key: ConnectionKey, bytes: &[u8], now: Now) {
        let connection = &mut self.connections[key];
        let secured = connection.secured.as_mut().expect("the caller has looked");
        secured.session.receive(bytes);
        if secured.session.is_new() {
            self.begin_handshake(key, now);
        } else if secured.session.is_in_handshake() {
            self.go_on_soon(key);
        } else {
            mark(&mut self.dirty, key, connection);
        }
    }

    /// Notes that a client which speaks TLS will send nothing more. What it has sent is read first.
    pub(super) fn received_end_secured(&mut self, key: ConnectionKey, now: Now) {
        let connection = &mut self.connections[key];
        let secured = connection.secured.as_mut().expect("the caller has looked");
        secured.has_ended = true;
        if secured.session.is_in_handshake() {
            self.go_on_soon(key);
        } else if !secured.is_in_line {
            if !secured.session.is_established() {
                connection.http.receive_eof(now.monotonic_ms());
            }
            mark(&mut self.dirty, key, connection);
        }
    }

    /// Has a handshake go on in the next turn in which there is time for it.
    fn go_on_soon(&mut self, key: ConnectionKey) {
        let secured = self.connections[key].secured.as_mut().expect("the caller has looked");
        if !secured.is_due {
            secured.is_due = true;
            self.handshakes.as_mut().expect(SPOKEN).due.push_back(key);
        }
    }

    /// Begins a handshake, if there is a place for it, with what the client has said first.
    fn begin_handshake(&mut self, key: ConnectionKey, now: Now) {
        let connection = &mut self.connections[key];
        let secured = connection.secured.as_mut().expect("the caller has looked");
        let Some(first) = secured.session.unread().first().filter(|_| !secured.is_in_line) else { return };
        let handshakes = self.handshakes.as_mut().expect(SPOKEN);
        if begins_http(*first) {
            connection.http.set_date(self.date);
            refuse_plain(connection, now);
            self.room.counters.tls_handshake(TlsHandshake::Failed);
            mark(&mut self.dirty, key, connection);
        } else if handshakes.enter() {
            begin(secured, handshakes, key, now);
        } else {
            secured.is_in_line = true;
            handshakes.wait(key);
            mark(&mut self.dirty, key, connection);
        }
    }

    /// Goes on with handshakes, as far as one turn may.
    pub(super) fn shake_hands(&mut self, now: Now) {
        let Core { handshakes: Some(handshakes), connections, dirty, room, .. } = self else { return };
        while let Some(key) = handshakes.next_in_line() {
            let Some(connection) = connections.get_mut(key) else { continue };
            let secured = connection.secured.as_mut().expect("only secured connections wait in line");
            if handshakes.enter() {
                secured.is_in_line = false;
                begin(secured, handshakes, key, now);
                mark(dirty, key, connection);
            }
        }
        let mut steps_left = STEPS_A_TURN;
        for _ in 0..handshakes.due.len() {
            if steps_left == 0 {
                break;
            }
            let Some(key) = handshakes.due.pop_front() else { break };
            let Some(connection) = connections.get_mut(key) else { continue };
            let turned = go_on(connection, &mut steps_left, now);
            if turned == Turned::Unfinished {
                handshakes.due.push_back(key);
            } else {
                connection.secured.as_mut().expect("it has just gone on").is_due = false;
            }
            if let Turned::Over(end) = turned {
                handshakes.leave();
                room.counters.tls_handshake(end);
            }
            mark(dirty, key, connection);
        }
    }

    /// Notes that a connection has gone in the middle of its handshake.
    pub(super) fn handshake_failed(&mut self) {
        self.handshakes.as_mut().expect(SPOKEN).leave();
        self.room.counters.tls_handshake(TlsHandshake::Failed);
    }
}

/// Gives a handshake up if it has taken longer than a head may. True if that is so.
pub(super) fn end_if_overdue(connection: &mut Connection, head_ms: u64, now: Now) -> bool {
    let Some(secured) = &mut connection.secured else { return false };
    let deadline_ms = secured.handshake_began_ms.saturating_add(head_ms);
    if !secured.session.is_in_handshake() || now.monotonic_ms() < deadline_ms {
        return false;
    }
    tracing::debug!("a TLS handshake has taken too long");
    secured.session.fail();
    connection.http.finish();
    true
}

/// Whether a first byte is one of plain HTTP. A handshake begins with 22.
fn begins_http(first: u8) -> bool {
    first.is_ascii_alphabetic() || matches!(first, b'\r' | b'\n')
}

/// Answers plain HTTP as plainly.
fn refuse_plain(connection: &mut Connection, now: Now) {
    let Some(secured) = connection.secured.take() else { return };
    connection.http.receive(secured.session.unread(), now.monotonic_ms());
    connection.http.refuse(Reject::PlainHttp);
}

fn begin(secured: &mut Secured, handshakes: &mut Handshakes, key: ConnectionKey, now: Now) {
    secured.session.begin(handshakes.config());
    secured.is_due = true;
    handshakes.due.push_back(key);
    secured.handshake_began_ms = now.monotonic_ms();
}

/// Goes on with a handshake, by at most so many steps, which are counted down.
fn go_on(connection: &mut Connection, steps_left: &mut usize, now: Now) -> Turned {
    let secured = connection.secured.as_mut().expect("handshakes are those of secured connections");
    // It may have taken too long since it was put into the list.
    if !secured.session.is_in_handshake() {
        return Turned::Waits;
    }
    for _ in 0..RECORDS_A_TURN {
        match secured.session.next(|_| unreachable!("there is no plaintext before the handshake is done")) {
            Progress::None => {
                if secured.has_ended {
                    connection.http.receive_eof(now.monotonic_ms());
                }
                return Turned::Waits;
            }
            Progress::Handled { computed: false } => {}
            Progress::Handled { computed: true } => {
                *steps_left -= 1;
                if *steps_left == 0 {
                    return Turned::Unfinished;
                }
            }
            Progress::Established { resumed } => {
                *steps_left -= 1;
                // From here on the time of an idle connection counts.
                connection.http.receive(&[], now.monotonic_ms());
                return Turned::Over(if resumed { TlsHandshake::Resumed } else { TlsHandshake::Full });
            }
            Progress::Ended => {
                secured.session.fail();
                connection.http.finish();
                return Turned::Over(TlsHandshake::Failed);
            }
            Progress::Failed(error) => {
                tracing::debug!(%error, "a TLS handshake has failed");
                *steps_left -= 1;
                connection.http.finish();
                return Turned::Over(TlsHandshake::Failed);
            }
        }
    }
    Turned::Unfinished
}
