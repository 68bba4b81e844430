//! Reads of tables for single claims, and what a disk makes of them.

use stemedb_net::core::TableRead;
use stemedb_tests::Random;

use crate::server::Happening;
use crate::simulation::{Event, Simulation};

/// What becomes of a read that goes wrong. None of this stays: who reads again may get what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadFault {
    /// The disk says that it cannot.
    Error,
    /// There is no memory to read it.
    NoMemory,
    /// One bit is another.
    Rot,
    /// It ends too early.
    Short,
    /// It is what stands elsewhere in the table.
    Elsewhere,
}

impl ReadFault {
    fn any(random: &mut Random) -> ReadFault {
        match random.within(0..=6) {
            0 => ReadFault::Error,
            1 => ReadFault::Short,
            2 => ReadFault::Elsewhere,
            3 => ReadFault::NoMemory,
            _ => ReadFault::Rot,
        }
    }

    /// Whether what is stored may seem to be damaged.
    fn looks_like_damage(self) -> bool {
        self != ReadFault::NoMemory
    }
}

impl Simulation {
    /// Does the reads of tables that a core wants. Each is told after a while.
    pub(crate) fn do_reads(&mut self, core: usize) {
        let reads = std::mem::take(&mut self.server().cores[core].core.wants().reads);
        for mut read in reads {
            self.totals.reads += 1;
            let fault = self.scenario.read_faults.happens(&mut self.random);
            let fault = fault.then(|| ReadFault::any(&mut self.random));
            if fault.is_some() {
                self.totals.reads_failed += 1;
                self.model.reads_failed |= fault.is_some_and(ReadFault::looks_like_damage);
            }
            let result = self.read(&mut read, fault);
            let elapsed_us = if self.scenario.slow_reads.happens(&mut self.random) {
                self.totals.count_fault("read was slow");
                self.random.within(2_000..=1_500_000)
            } else {
                self.random.within(60..=2_000)
            };
            self.auditor.note(self.time_us, "read", core as u64, read.offset);
            self.auditor.tell(self.time_us, || format!("{:?} for {:?}: {fault:?}", read.table, read.id));
            let done = Happening::Read { id: read.id, buffer: read.buffer, result, elapsed_us };
            self.schedule.add(self.time_us + elapsed_us, Event::Tell(core, Box::new(done)));
        }
    }

    /// How many bytes were read, or the error number.
    fn read(&mut self, read: &mut TableRead, fault: Option<ReadFault>) -> Result<usize, i32> {
        let TableRead { table, offset, bytes, buffer, .. } = read;
        let buffer = &mut buffer[..*bytes];
        match fault {
            Some(ReadFault::Error) => return Err(libc::EIO),
            Some(ReadFault::NoMemory) => return Err(libc::ENOMEM),
            _ => {}
        }
        let from = if fault == Some(ReadFault::Elsewhere) { 0 } else { *offset };
        let result =
            table.read_at(from, buffer).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
        match fault {
            _ if result == 0 => Ok(0),
            Some(ReadFault::Short) => Ok(self.random.within(0..=result as u64 - 1) as usize),
            Some(ReadFault::Rot) => {
                let at = self.random.within(0..=result as u64 - 1) as usize;
                buffer[at] ^= 1 << self.random.within(0..=7);
                Ok(result)
            }
            _ => Ok(result),
        }
    }
}
