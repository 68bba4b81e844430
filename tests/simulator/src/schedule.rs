//! What is going to happen, in the order in which it does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things to come. Those of one moment come in the order in which they were foreseen.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    coming: BinaryHeap<Reverse<Coming<E>>>,
    foreseen: u64,
}

#[derive(Debug)]
struct Coming<E> {
    time_us: u64,
    number: u64,
    event: E,
}

impl<E> Schedule<E> {
    /// Nothing is going to happen.
    pub(crate) fn new() -> Schedule<E> {
        Schedule { coming: BinaryHeap::new(), foreseen: 0 }
    }

    /// Something is going to happen at `time_us`.
    pub(crate) fn add(&mut self, time_us: u64, event: E) {
        self.foreseen += 1;
        self.coming.push(Reverse(Coming { time_us, number: self.foreseen, event }));
    }

    /// The next thing that happens, and when.
    pub(crate) fn next(&mut self) -> Option<(u64, E)> {
        self.coming.pop().map(|Reverse(Coming { time_us, event, .. })| (time_us, event))
    }
}

impl<E> PartialEq for Coming<E> {
    fn eq(&self, other: &Coming<E>) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Coming<E> {}

impl<E> PartialOrd for Coming<E> {
    fn partial_cmp(&self, other: &Coming<E>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Coming<E> {
    fn cmp(&self, other: &Coming<E>) -> std::cmp::Ordering {
        (self.time_us, self.number).cmp(&(other.time_us, other.number))
    }
}
