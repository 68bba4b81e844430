//! Reads of tables on the ring.

use std::collections::VecDeque;

use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Descriptor, Errno, Full, Ring};
use stemedb_engine::table::TableNumber;

use crate::core::{Core, FetchKey, TableRead};

/// Tables whose descriptors are kept.
const OPEN_MAX: usize = 32;

/// The reads under way, and the tables they are of.
#[derive(Default)]
pub(super) struct Reads {
    /// The one used last comes last.
    open: VecDeque<(TableNumber, Descriptor)>,
    /// Those that found the ring full.
    waiting: VecDeque<TableRead>,
    /// When each began that is under way.
    begun: Vec<(FetchKey, u64)>,
}

impl Reads {
    /// Queues the reads that the core wants. What finds the ring full waits for the next turn.
    pub(super) fn start(&mut self, core: &mut Core, ring: &mut Ring, now_us: u64) {
        self.waiting.append(&mut core.wants().reads);
        while let Some(read) = self.waiting.pop_front() {
            let file = match self.descriptor(&read) {
                Ok(file) => file,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    core.read_done(read.id, read.buffer, Err(errno), 0);
                    continue;
                }
            };
            let TableRead { id, table, offset, bytes, buffer } = read;
            match ring.read(&file, buffer, bytes, offset, id.to_number()) {
                Ok(_) => self.begun.push((id, now_us)),
                Err(Full(buffer)) => {
                    self.waiting.push_front(TableRead { id, table, offset, bytes, buffer });
                    return;
                }
            }
        }
    }

    /// A read is done.
    pub(super) fn done(
        &mut self,
        core: &mut Core,
        number: u64,
        buffer: AlignedBuffer,
        result: Result<usize, Errno>,
        now_us: u64,
    ) {
        let id = FetchKey::from_number(number);
        let place = self.begun.iter().position(|(read, _)| *read == id).expect("a read completes once");
        let (_, began_us) = self.begun.swap_remove(place);
        core.read_done(id, buffer, result.map_err(|errno| errno.0), now_us.saturating_sub(began_us));
    }

    /// Whether some wait for which no completion will come.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The table's file. The set of tables that a core holds keeps it open; so does the descriptor, which is the ring's own.
    fn descriptor(&mut self, read: &TableRead) -> std::io::Result<Descriptor> {
        let number = read.table.facts().number;
        if let Some(at) = self.open.iter().position(|(open, _)| *open == number) {
            let found = self.open.remove(at).expect("it was just found");
            self.open.push_back(found.clone());
            return Ok(found.1);
        }
        let file = read.table.descriptor().expect("the tables of a server are files").try_clone_to_owned()?;
        let file = Descriptor::from(file);
        if self.open.len() == OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back((number, file.clone()));
        Ok(file)
    }
}
