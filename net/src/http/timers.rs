//! How long a connection has waited for what.

use super::reader::Waiting;
use super::{Limits, Timeout};

/// After how long without traffic a connection gives its buffers back, in milliseconds.
const RELEASE_MS: u64 = 1_000;

/// The times since which a connection waits.
#[derive(Debug)]
pub(super) struct Timers {
    now_ms: u64,
    /// When bytes last came or went.
    activity_ms: u64,
    /// Since when a head has been incomplete.
    head_ms: Option<u64>,
    body: Option<Window>,
    /// Since when the peer has taken nothing of what is being sent.
    send_ms: Option<u64>,
    /// While something is to be taken that has been begun to be sent.
    taking: Option<Taking>,
    /// Since when all has been said.
    linger_ms: Option<u64>,
}

/// How fast the peer takes what is sent to it.
#[derive(Debug, Clone, Copy)]
struct Taking {
    window: Window,
    /// Its rate in the window before, bytes a second.
    bytes_per_s_before: Option<u64>,
}

/// A stretch of time in which bytes are counted.
#[derive(Debug, Clone, Copy)]
struct Window {
    start_ms: u64,
    bytes: usize,
}

/// How little a connection has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idleness {
    /// Something.
    Busy,
    /// Nothing, but it holds memory.
    Idle,
    /// Nothing, and it holds none.
    Released,
}

impl Timers {
    pub(super) fn new(now_ms: u64) -> Timers {
        Timers {
            now_ms,
            activity_ms: now_ms,
            head_ms: None,
            body: None,
            send_ms: None,
            taking: None,
            linger_ms: None,
        }
    }

    /// Notes what time it is.
    pub(super) fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Notes that bytes came.
    pub(super) fn received(&mut self, bytes: usize, now_ms: u64) {
        self.advance(now_ms);
        self.activity_ms = self.now_ms;
        if let Some(window) = &mut self.body {
            window.bytes += bytes;
        }
    }

    /// Notes that a head is complete: what is waited for next is waited for from then on.
    pub(super) fn begin_request(&mut self) {
        self.head_ms = None;
        self.body = None;
    }

    /// Notes that bytes begin to be sent.
    pub(super) fn sending(&mut self, now_ms: u64) {
        self.advance(now_ms);
        self.send_ms = Some(self.now_ms);
        let window = Window { start_ms: self.now_ms, bytes: 0 };
        self.taking.get_or_insert(Taking { window, bytes_per_s_before: None });
    }

    /// Notes that the peer took bytes, whether it still has to take some of what is being sent, and whether it has taken
    /// all there is.
    pub(super) fn sent(
        &mut self,
        bytes: usize,
        is_sending: bool,
        is_all: bool,
        now_ms: u64,
        limits: &Limits,
    ) {
        self.advance(now_ms);
        self.activity_ms = self.now_ms;
        self.send_ms = is_sending.then_some(self.now_ms);
        if is_all {
            self.taking = None;
        }
        if let Some(Taking { window, bytes_per_s_before }) = &mut self.taking {
            window.bytes += bytes;
            if let Some(bytes_per_s) = window.bytes_per_s(self.now_ms, limits.send_ms) {
                *bytes_per_s_before = Some(bytes_per_s);
                *window = Window { start_ms: self.now_ms, bytes: 0 };
            }
        }
    }

    /// How fast the peer takes what is sent to it, in bytes a second over at least the time in which it must take something, which
    /// may have ended up to that time ago. `None` if it has taken all, or has not had that time yet.
    pub(super) fn taken_bytes_per_s(&self, now_ms: u64, limits: &Limits) -> Option<u64> {
        let Taking { window, bytes_per_s_before } = self.taking?;
        window.bytes_per_s(now_ms, limits.send_ms).or(bytes_per_s_before)
    }

    /// Notes what is being waited for from now on, or still.
    pub(super) fn wait_for(&mut self, waiting: Waiting, is_finished: bool) {
        let now_ms = self.now_ms;
        self.head_ms = (waiting == Waiting::Head).then(|| self.head_ms.unwrap_or(now_ms));
        self.body =
            (waiting == Waiting::Body).then(|| self.body.unwrap_or(Window { start_ms: now_ms, bytes: 0 }));
        self.linger_ms = is_finished.then(|| self.linger_ms.unwrap_or(now_ms));
    }

    /// When something is due next.
    pub(super) fn deadline_ms(&self, limits: &Limits, idleness: Idleness) -> Option<u64> {
        let after = |start_ms: Option<u64>, ms: u64| start_ms.map(|start_ms| start_ms.saturating_add(ms));
        let idle_ms = match idleness {
            Idleness::Busy => None,
            Idleness::Idle => Some(RELEASE_MS.min(limits.idle_ms)),
            Idleness::Released => Some(limits.idle_ms),
        };
        [
            after(self.head_ms, limits.head_ms),
            after(self.body.map(|window| window.start_ms), limits.body_window_ms),
            after(self.send_ms, limits.send_ms),
            after(self.linger_ms, limits.linger_ms),
            idle_ms.map(|ms| self.activity_ms.saturating_add(ms)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Lets time pass, and says which limit has been reached.
    pub(super) fn tick(&mut self, now_ms: u64, limits: &Limits, idleness: Idleness) -> Option<Timeout> {
        self.advance(now_ms);
        let now_ms = self.now_ms;
        let is_over =
            |start_ms: Option<u64>, ms: u64| start_ms.is_some_and(|start_ms| now_ms - start_ms >= ms);
        if is_over(self.send_ms, limits.send_ms) {
            return Some(Timeout::Send);
        }
        if is_over(self.linger_ms, limits.linger_ms) {
            return Some(Timeout::Linger);
        }
        if is_over(self.head_ms, limits.head_ms) {
            self.head_ms = None;
            return Some(Timeout::Head);
        }
        if idleness != Idleness::Busy && is_over(Some(self.activity_ms), limits.idle_ms) {
            return Some(Timeout::Idle);
        }
        self.tick_body(limits)
    }

    /// Whether a connection that is idle has been so for long enough to give its memory back.
    pub(super) fn is_release_due(&self, idleness: Idleness) -> bool {
        idleness == Idleness::Idle && self.now_ms - self.activity_ms >= RELEASE_MS
    }

    fn tick_body(&mut self, limits: &Limits) -> Option<Timeout> {
        let window = self.body?;
        if self.now_ms - window.start_ms < limits.body_window_ms {
            return None;
        }
        if window.bytes < limits.body_window_bytes_min {
            self.body = None;
            return Some(Timeout::Body);
        }
        self.body = Some(Window { start_ms: self.now_ms, bytes: 0 });
        None
    }
}

impl Window {
    /// The rate in this stretch, if it has lasted for at least `ms_min`.
    fn bytes_per_s(self, now_ms: u64, ms_min: u64) -> Option<u64> {
        let ms = now_ms.saturating_sub(self.start_ms);
        (ms >= ms_min).then(|| (self.bytes as u64).saturating_mul(1000) / ms.max(1))
    }
}
