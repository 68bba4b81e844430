//! Taking turns with cores on a CPU.

use std::cell::Cell;
use std::thread;

thread_local! {
    static TAKES_TURNS: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread, from now on, lets go of its CPU whenever it can.
///
/// A core that runs for longer than its time slice has to let background work have its own, and then waits until the next tick of Linux, 4 ms
/// on many kernels. Who takes turns gives the CPU back after a fraction of a millisecond. On a CPU that a core never leaves, it gets next to
/// nothing done that way.
pub fn take_turns(takes_turns: bool) {
    TAKES_TURNS.set(takes_turns);
}

/// Lets a core go first that waits for this CPU, if the thread [takes turns](take_turns). To be called several times in a millisecond.
pub(crate) fn offer_turn() {
    if TAKES_TURNS.get() {
        thread::yield_now();
    }
}
