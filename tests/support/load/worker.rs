//! One client: where it is in its sequence of claims, and its connections.

use std::io;

use super::Load;
use crate::history::Name;
use crate::{Client, Random};

/// One client of a load.
pub(super) struct Worker<'a> {
    pub(super) load: &'a Load<'a>,
    pub(super) writer: u64,
    pub(super) random: Random,
    next_number: u64,
}

impl<'a> Worker<'a> {
    pub(super) fn new(load: &'a Load<'_>, writer: u64) -> Worker<'a> {
        Worker { load, writer, random: load.random.fork(load.round).fork(writer), next_number: 0 }
    }

    /// Works until it is told to stop, or the connection breaks because the server ends.
    pub(super) fn run(mut self, work: impl FnOnce(&mut Worker<'a>) -> io::Result<()>) {
        let Err(error) = work(&mut self) else { return };
        if !self.load.is_ending.load(std::sync::atomic::Ordering::SeqCst) {
            self.load.history.unexpected(format!("the connection of client {} broke: {error}", self.writer));
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.load.is_stopped()
    }

    pub(super) fn connect(&self) -> io::Result<Client> {
        Client::connect(self.load.address)
    }

    /// The next claim of this client.
    pub(super) fn next_name(&mut self, group: u64) -> Name {
        self.next_number += 1;
        let (round, writer, number) = (self.load.round, self.writer, self.next_number);
        Name { round, writer, number, group, value_bytes_max: self.load.mix.value_bytes_max }
    }

    /// This client's share of the claims that are to be sent again, and whether each is there.
    pub(super) fn again(&self) -> impl Iterator<Item = (Name, bool)> + use<'a> {
        let (writer, singles) = (self.writer as usize, self.load.mix.singles as usize);
        self.load.again.iter().copied().skip(writer).step_by(singles)
    }
}
