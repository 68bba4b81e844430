//! Reads of tables on the ring.

use std::collections::VecDeque;
use std::io;

use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Descriptor, Errno, Full, Ring};
use stemedb_engine::table::Table;

use crate::core::{Core, FetchKey, TableRead};

/// The reads under way.
#[derive(Default)]
pub(super) struct Reads {
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
            let file = match descriptor(&read.table) {
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
}

/// The file of a table, for one read. The ring lets go of it before the core does of the table: a core never is the last to close the file
/// of a table that has been removed, for which the file system would have it wait.
fn descriptor(table: &Table) -> io::Result<Descriptor> {
    let file = table.descriptor().expect("the tables of a server are files");
    Ok(Descriptor::from(file.try_clone_to_owned()?))
}
