//! Runs a core on a ring: the one place where the server meets sockets, files and the clock.
//!
//! Each turn is one `io_uring_enter`: it submits all that is queued and waits for at least one completion.
//! Every completion is told to the [`Core`], then what the core wants is queued for the next turn.

mod at_work;
mod clock;
mod control;
mod heartbeat;
mod peers;
mod pieces;
mod reads;
mod segments;
mod sockets;
#[cfg(test)]
mod tests;
mod turned_away;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::{LaneWrite, WriteId};
use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Completion, Descriptor, Errno, Full, OperationId, Ring};
use stemedb_engine::shard::Shard;

use crate::core::{ConnectionKey, Core, Now};
pub use at_work::AtWork;
use clock::Clock;
pub(crate) use clock::wall_clock;
pub use control::{Control, Report};
pub use heartbeat::Heartbeat;
pub use peers::{Peers, meet};
pub use pieces::{PieceSender, SnapshotPieces};
use reads::Reads;
pub use segments::SegmentSource;
use segments::Segments;
use sockets::Sockets;
pub(crate) use turned_away::TURNED_AWAY_MAX;
use turned_away::TurnedAway;

/// How often connections and the lane are told that time has passed.
const TICK: Duration = Duration::from_millis(100);

/// How long after a failure to accept a connection the next is accepted.
const ACCEPT_AGAIN_US: u64 = 1_000_000;

/// The `user` of operations that belong to no connection.
const NO_CONNECTION: u64 = 0;

/// A core on its ring.
pub struct Driver {
    core: Core,
    ring: Ring,
    clock: Clock,
    sockets: Sockets,
    turned_away: TurnedAway,
    /// The listener, and the standing accept on it, until the core drains.
    listener: Option<Listener>,
    segments: Segments,
    peers: Peers,
    /// The snapshot that is being taken.
    pieces: SnapshotPieces,
    control: Receiver<Control>,
    report: Box<dyn FnMut(Report)>,
    /// Writes on their way, and when they began.
    writes: Vec<(WriteId, u64)>,
    /// Writes that found the ring full, for the next turn.
    writes_waiting: VecDeque<LaneWrite>,
    reads: Reads,
    /// The segment that the lane writes to, as was told last.
    writing: Option<SegmentNumber>,
    timer_wanted: bool,
    /// How long to look for completions before sleeping while a write is in flight.
    spin: Duration,
    upkeep: AtWork,
    heartbeat: Heartbeat,
    stage: Stage,
}

struct Listener {
    socket: Descriptor,
    accept: Option<OperationId>,
    /// After a failure: when to accept again, monotonic microseconds.
    again_us: u64,
}

impl Listener {
    fn new(socket: Descriptor) -> Listener {
        Listener { socket, accept: None, again_us: 0 }
    }

    /// Whether connections are to be accepted from now on that are not yet.
    fn is_due(&self, now_us: u64) -> bool {
        self.accept.is_none() && self.again_us <= now_us
    }

    /// Notes that accepting has failed. What is lacking, files or memory, will be lacking a moment later: at once would be a busy loop.
    fn failed(&mut self, now_us: u64) {
        self.again_us = now_us + ACCEPT_AGAIN_US;
    }
}

/// How far the driver's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// No new requests; not yet reported that all are answered.
    Draining,
    /// Reported.
    Drained,
    /// The lane is being closed.
    Closing,
    Closed,
}

impl Driver {
    /// A driver for `core` on `ring`, which the calling thread has made.
    pub fn new(
        core: Core,
        ring: Ring,
        listener: OwnedFd,
        segments: SegmentSource,
        peers: Peers,
        control: Receiver<Control>,
        report: Box<dyn FnMut(Report)>,
    ) -> Driver {
        Driver {
            core,
            ring,
            clock: Clock::start(),
            sockets: Sockets::new(),
            turned_away: TurnedAway::default(),
            listener: Some(Listener::new(listener.into())),
            segments: Segments::new(segments),
            peers,
            pieces: SnapshotPieces::default(),
            control,
            report,
            writes: Vec::new(),
            writes_waiting: VecDeque::new(),
            reads: Reads::default(),
            writing: None,
            timer_wanted: true,
            spin: Duration::ZERO,
            upkeep: AtWork::default(),
            heartbeat: Heartbeat::default(),
            stage: Stage::Running,
        }
    }

    /// Looks for completions for as long as `spin` before it sleeps while a write is in flight, but sleeps at once while `upkeep` is at work.
    pub fn spinning(self, spin: Duration, upkeep: AtWork) -> Driver {
        Driver { spin, upkeep, ..self }
    }

    /// Counts its turns there.
    pub fn beating(self, heartbeat: Heartbeat) -> Driver {
        Driver { heartbeat, ..self }
    }

    /// Runs until the core is closed.
    ///
    /// # Errors
    ///
    /// When the ring itself fails. Nothing that was acknowledged is lost by that.
    pub fn run(mut self) -> io::Result<()> {
        let mut more = true;
        while self.stage != Stage::Closed {
            if more {
                self.ring.submit()?;
            } else {
                self.ring.submit_and_spin(self.patience())?;
            }
            self.heartbeat.beat();
            let woken = self.clock.now();
            let mut written = false;
            while let Some(completion) = self.ring.next_completion() {
                written |= matches!(completion, Completion::Written { .. });
                self.completed(completion, woken);
            }
            // Frames say when they were begun: no claim may be in one that says an earlier time than the claim came at, however
            // long the core was held up since it looked at the clock.
            let now = self.clock.now();
            if written {
                // The disk works on the next frame while the core makes the last one visible and answers for it.
                self.core.start_writes(now);
                if self.do_writes(now) > 0 {
                    self.ring.submit()?;
                }
            }
            self.take_control();
            self.take_segments(now);
            self.peers.receive(|from, message| self.core.message(from, message, now));
            let now = self.clock.now();
            more = self.core.turn(now);
            more |= self.do_wants(now);
            self.advance_stage();
            self.tell_segment();
            self.core.turn_took(self.clock.now().monotonic_us - woken.monotonic_us);
        }
        Ok(())
    }

    /// How long to look for completions before sleeping.
    fn patience(&self) -> Duration {
        // While a write is in flight, the disk answers soon, and the clients that it has just answered ask again: being woken costs both
        // sides more than looking.
        if self.writes.is_empty() {
            return Duration::ZERO;
        }
        // Who looks yields the CPU each time, and is charged a whole time slice for that by Linux 6.18: another thread that has work there
        // runs for 10 to 50 ms, however nice it is. Who sleeps is woken ahead of it.
        if self.upkeep.get() { Duration::ZERO } else { self.spin }
    }

    fn completed(&mut self, completion: Completion, now: Now) {
        match completion {
            Completion::Accepted { result, more, .. } => self.accepted(result, more, now),
            Completion::Received { user, received, more } => {
                self.sockets.received(&mut self.core, user, received, more, now);
            }
            Completion::Sent { user, buffer, result } => {
                self.sockets.sent(&mut self.core, &mut self.ring, user, buffer, result, now);
            }
            Completion::Written { user, buffer, result } => self.written(WriteId(user), buffer, result, now),
            Completion::Read { user, buffer, result } => {
                self.reads.done(&mut self.core, user, buffer, result, now.monotonic_us);
            }
            Completion::Timer { .. } => {
                self.timer_wanted = true;
                self.core.tick(now);
                self.turned_away.tick(now);
            }
            // The queues of the other cores are looked into in every turn.
            Completion::Message { .. } | Completion::Woken { .. } => {}
            // The message is in its queue, and the other core looks there at its next tick; or it has closed
            // before this one, and nobody waits for an answer of it.
            Completion::MessageFailed { errno, .. } => tracing::debug!(%errno, "a core could not be woken"),
        }
    }

    fn accepted(&mut self, result: Result<Descriptor, Errno>, more: bool, now: Now) {
        if let (false, Some(listener)) = (more, &mut self.listener) {
            listener.accept = None;
        }
        match result {
            Ok(socket) => match self.core.accepted(now) {
                Ok(key) => self.sockets.insert(key, socket),
                // It would not understand a word before a handshake, for which there is no room.
                Err(_) if self.core.speaks_tls() => drop(socket),
                Err(number) => self.turned_away.refuse(socket, number, now),
            },
            Err(Errno::CANCELLED) => {}
            // The client was faster.
            Err(Errno(libc::ECONNABORTED)) => {}
            Err(errno) => {
                tracing::warn!(%errno, "a connection cannot be accepted, trying again in a second");
                if let Some(listener) = &mut self.listener {
                    listener.failed(now.monotonic_us);
                }
            }
        }
    }

    fn written(&mut self, id: WriteId, buffer: AlignedBuffer, result: Result<usize, Errno>, now: Now) {
        let place = self.writes.iter().position(|(write, _)| *write == id).expect("a write completes once");
        let (_, began_us) = self.writes.swap_remove(place);
        let result = result.map_err(|errno| errno.0);
        self.core.write_done(id, buffer, result, now.monotonic_us.saturating_sub(began_us), now);
    }

    fn take_control(&mut self) {
        while let Ok(control) = self.control.try_recv() {
            match control {
                Control::Open(shard, log) => {
                    self.writing = shard.lane().writing();
                    self.core.open(*shard, log);
                    self.tell(Report::Opened);
                }
                Control::Tables(tables) => self.core.set_tables(tables),
                Control::SegmentRemoved(bytes) => self.core.segment_removed(bytes),
                Control::TakeSnapshot(order, pieces) => self.pieces.begin(&mut self.core, order, pieces),
                Control::Serve => self.core.serve(),
                Control::RenewTls(credentials) => self.core.renew_tls(&credentials),
                Control::TlsRenewalFailed => self.core.tls_renewal_failed(),
                Control::Drain => {
                    if let Some(accept) = self.listener.take().and_then(|listener| listener.accept) {
                        self.ring.cancel(accept);
                    }
                    self.core.drain();
                    self.stage = Stage::Draining;
                }
                Control::Close => {
                    self.core.close();
                    self.stage = Stage::Closing;
                }
            }
        }
    }

    fn take_segments(&mut self, now: Now) {
        while let Some((number, prepared)) = self.segments.next_prepared() {
            match prepared {
                Ok(()) => self.core.segment_ready(number),
                Err(error) => {
                    tracing::error!(segment = %number, %error, "a log segment cannot be prepared, trying again in a second");
                    self.core.segment_failed(error.no_space, now);
                }
            }
        }
    }

    /// Does what the core wants. True if something is left for which no completion will come.
    fn do_wants(&mut self, now: Now) -> bool {
        // First of all, before many answers take their time in the kernel.
        self.do_writes(now);
        self.reads.start(&mut self.core, &mut self.ring, now.monotonic_us);
        let wants = self.core.wants();
        self.sockets.do_wants(&mut self.ring, wants);
        if let Some(number) = wants.segment.take() {
            self.segments.prepare(number);
        }
        let left = self.peers.send(&mut self.ring, &mut wants.messages);
        let left = self.pieces.hand_over(&mut self.core) || left;
        if self.timer_wanted {
            self.timer_wanted = self.ring.timer(TICK, NO_CONNECTION).is_err();
        }
        if let Some(listener) = &mut self.listener
            && listener.is_due(now.monotonic_us)
        {
            listener.accept = self.ring.accept_multishot(&listener.socket, NO_CONNECTION).ok();
        }
        left || !self.writes_waiting.is_empty() || self.reads.has_waiting()
    }

    /// Queues the writes that the lane wants. Gives their number; what finds the ring full waits for the next turn.
    fn do_writes(&mut self, now: Now) -> usize {
        self.writes_waiting.append(&mut self.core.wants().writes);
        let mut queued = 0;
        while let Some(write) = self.writes_waiting.pop_front() {
            if let Err(write) = self.write(write, now) {
                self.writes_waiting.push_front(write);
                break;
            }
            queued += 1;
        }
        queued
    }

    fn write(&mut self, write: LaneWrite, now: Now) -> Result<(), LaneWrite> {
        let LaneWrite { id, segment, offset, buffer, bytes } = write;
        let file = match self.segments.file(segment) {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(%segment, %error, "a prepared log segment cannot be opened");
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                self.core.write_done(id, buffer, Err(errno), 0, now);
                return Ok(());
            }
        };
        match self.ring.write_durable(file, buffer, bytes, offset, id.0) {
            Ok(_) => {
                self.writes.push((id, now.monotonic_us));
                self.segments.reached(segment, offset + bytes as u64);
                Ok(())
            }
            Err(Full(buffer)) => Err(LaneWrite { id, segment, offset, buffer, bytes }),
        }
    }

    /// Tells when the lane has gone over to another segment.
    fn tell_segment(&mut self) {
        let Some(lane) = self.core.shard().map(Shard::lane) else { return };
        let (id, writing) = (lane.config().lane, lane.writing());
        if let Some(number) = writing.filter(|_| writing != self.writing) {
            self.writing = writing;
            // Before those are told who remove them.
            self.segments.close_before(number);
            self.tell(Report::LaneWrites(id, number));
        }
    }

    fn advance_stage(&mut self) {
        if self.stage == Stage::Draining && self.core.is_drained() {
            self.stage = Stage::Drained;
            self.tell(Report::Drained);
        }
        if self.stage == Stage::Closing && self.writes.is_empty() && self.core.is_closed() {
            self.stage = Stage::Closed;
            self.tell(Report::Closed { claims: self.core.shard().map_or(0, |shard| shard.index().len()) });
        }
    }

    fn tell(&mut self, report: Report) {
        (self.report)(report);
    }
}

/// The number by which a ring names a connection.
fn user_of(key: ConnectionKey) -> u64 {
    slotmap::Key::data(&key).as_ffi()
}

/// The connection that a ring names by this number.
fn key_of(user: u64) -> ConnectionKey {
    slotmap::KeyData::from_ffi(user).into()
}
