//! A core's turn: what its driver does for it, on the simulated machine.

use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::LaneWrite;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::shard::Shard;
use stemedb_engine::slot::{CoreId, LaneId};

use crate::disk::Crash;
use crate::server::{Happening, NotPrepared, QUEUE_MESSAGES_MAX, Running, Stage, WriteEnd, WriteUnderWay};
use crate::simulation::{Ending, Event, Simulation};

/// Why a core's connection has a link.
const KNOWN: &str = "the links of a core are there as long as it knows them";

impl Simulation {
    /// Tells a core what has happened, and does what it wants.
    pub(crate) fn turn(&mut self, core: usize) {
        let now = self.now();
        let running = &mut self.server().cores[core];
        running.is_called = false;
        let mut inbox = std::mem::take(&mut running.inbox);
        let mut written = false;
        for happening in inbox.drain(..) {
            written |= matches!(happening, Happening::Written { .. });
            self.happened(core, happening);
        }
        let running = &mut self.server().cores[core];
        running.inbox = inbox;
        if written {
            running.core.start_writes(now);
            self.do_writes(core);
        }
        let mut more = self.server().cores[core].core.turn(now);
        more |= self.do_wants(core);
        let Running { core: state, pieces, .. } = &mut self.server().cores[core];
        more |= pieces.hand_over(state);
        self.pass_on_snapshots();
        self.tell_segment(core);
        self.advance(core);
        let cost_us = if self.scenario.core_stalls.happens(&mut self.random) {
            self.totals.count_fault("core stalled");
            self.random.within(1_000..=1_500_000)
        } else {
            self.random.within(1..=30)
        };
        let time_us = self.time_us;
        let Some(server) = &mut self.server else { return };
        server.cores[core].busy_until_us = time_us + cost_us;
        server.cores[core].core.turn_took(cost_us);
        if more {
            self.call(core, 0);
        }
        let server = self.server.as_ref().expect("it was just there");
        server.check_bounds(core, &self.scenario);
    }

    fn happened(&mut self, at: usize, happening: Happening) {
        let now = self.now();
        let server = self.server.as_mut().expect("only a running server has turns");
        let running = &mut server.cores[at];
        let core = &mut running.core;
        match happening {
            Happening::Received(key, bytes) => core.received(key, &bytes, now),
            Happening::ReceivedEnd(key) => core.received_end(key, now),
            Happening::Sent(key, bytes) => core.sent(key, bytes, now),
            Happening::SendDone(key, buffer) => core.send_done(key, buffer),
            Happening::Broken(key) => core.broken(key),
            Happening::Written { id, buffer, result, elapsed_us, has_failed } => {
                if has_failed {
                    self.model.lanes_failed.insert(at);
                }
                core.write_done(id, buffer, result, elapsed_us, now);
            }
            Happening::Read { id, buffer, result, elapsed_us } => {
                core.read_done(id, buffer, result, elapsed_us);
            }
            Happening::Tables(tables) => core.set_tables(tables),
            Happening::Segment(number, outcome) => {
                running.is_preparing = false;
                match outcome {
                    Ok(()) => core.segment_ready(number),
                    Err(why) => core.segment_failed(why.no_space, now),
                }
            }
            Happening::Message(from, message) => core.message(from, message, now),
            Happening::Tick => core.tick(now),
            Happening::SegmentRemoved(bytes) => core.segment_removed(bytes),
            Happening::TakeSnapshot(order, pieces) => running.pieces.begin(core, order, pieces),
            Happening::Open(shard) => {
                running.writing = shard.0.lane().writing();
                running.index_bytes_recovered = shard.0.index().bytes();
                core.open(shard.0, shard.1);
                server.opened += 1;
                if server.opened == server.cores.len() {
                    self.model.is_open = true;
                    let begin_us = self.time_us + self.random.within(0..=5_000);
                    if !self.scenario.upkeep_starves {
                        server.keeper.begin_at(begin_us);
                        self.schedule.add(begin_us, Event::Upkeep);
                    }
                    for core in 0..server.cores.len() {
                        let in_us = self.random.within(0..=500);
                        let serve = Event::Tell(core, Box::new(Happening::Serve));
                        self.schedule.add(self.time_us + in_us, serve);
                    }
                }
            }
            Happening::Serve => {
                core.serve();
                server.serving += 1;
            }
            Happening::Drain => {
                core.drain();
                running.stage = Stage::Draining;
            }
            Happening::Close => {
                core.close();
                running.stage = Stage::Closing;
            }
        }
    }

    /// Does what a core wants. True if something is left for which nothing will call it.
    fn do_wants(&mut self, core: usize) -> bool {
        self.do_writes(core);
        self.do_reads(core);
        let running = &mut self.server.as_mut().expect("it has its turn").cores[core];
        let wants = running.core.wants();
        let sends = std::mem::take(&mut wants.sends);
        let shutdowns = std::mem::take(&mut wants.shutdowns);
        let receives = std::mem::take(&mut wants.receives);
        let closes = std::mem::take(&mut wants.closes);
        let segment = wants.segment.take();
        let mut touched = Vec::new();
        let (links, numbers) = (&mut self.links, &running.links);
        for (key, buffer) in sends {
            let Some(number) = numbers.get(&key) else { continue };
            let link = links.get_mut(number).expect(KNOWN);
            assert!(link.down.is_none(), "a connection sends one buffer at a time");
            assert!(!buffer.is_empty(), "there is something to send");
            link.down = Some((buffer, 0));
            touched.push(*number);
        }
        for key in shutdowns {
            let Some(number) = numbers.get(&key) else { continue };
            links.get_mut(number).expect(KNOWN).down_ends = true;
            touched.push(*number);
        }
        for (key, receive) in receives {
            let Some(number) = numbers.get(&key) else { continue };
            links.get_mut(number).expect(KNOWN).is_receiving = receive;
            touched.push(*number);
        }
        let closed: Vec<_> = closes.iter().filter_map(|key| running.links.remove(key)).collect();
        closed.into_iter().for_each(|number| self.closed(number));
        touched.into_iter().for_each(|number| self.foresee(number));
        if let Some(number) = segment {
            self.prepare_segment(core, number);
        }
        self.do_messages(core)
    }

    /// Begins the writes that the lane wants.
    fn do_writes(&mut self, core: usize) {
        let writes = std::mem::take(&mut self.server().cores[core].core.wants().writes);
        for write in writes {
            self.begin_write(core, write);
        }
    }

    fn begin_write(&mut self, core: usize, write: LaneWrite) {
        let end = if self.scenario.write_errors.happens(&mut self.random) {
            WriteEnd::Failed(if self.random.once_in(3) { libc::ENOSPC } else { libc::EIO })
        } else if self.scenario.short_writes.happens(&mut self.random) {
            let sectors = self.random.within(0..=write.bytes as u64 / 512 - 1);
            WriteEnd::Short(sectors as usize * 512)
        } else {
            WriteEnd::Done
        };
        let takes_us = if self.scenario.slow_writes.happens(&mut self.random) {
            self.totals.count_fault("write was slow");
            self.random.within(1_000..=1_000_000)
        } else {
            self.random.within(60..=300)
        };
        self.auditor.note(self.time_us, "write", core as u64, write.offset);
        self.auditor.bytes(&write.buffer[..write.bytes.min(64)]);
        self.schedule.add(self.time_us + takes_us, Event::Written(core, write.id.0));
        let began = self.disk.get().moment();
        let began_us = self.time_us;
        self.server().cores[core].writes.push(WriteUnderWay { write, began_us, began, end });
        self.totals.writes += 1;
        if let Some(left) = self.writes_until_crash {
            self.writes_until_crash = left.checked_sub(1);
            if left == 0 {
                let ending = self.crash_kind();
                let in_us = self.random.within(0..=takes_us);
                self.schedule.add(self.time_us + in_us, Event::End(ending));
            }
        }
    }

    /// A write is done.
    pub(crate) fn written(&mut self, core: usize, id: u64) {
        let writes = &mut self.server().cores[core].writes;
        let at = writes.iter().position(|under_way| under_way.write.id.0 == id).expect("a write ends once");
        let WriteUnderWay { write, began_us, began, end } = writes.swap_remove(at);
        let segment = SegmentId { lane: LaneId(core as u16), number: write.segment };
        let bytes = &write.buffer[..write.bytes];
        let result = match end {
            WriteEnd::Done => {
                self.disk.get().write_durable(segment, write.offset, bytes, began);
                Ok(write.bytes)
            }
            WriteEnd::Failed(errno) => {
                self.disk.get().write_partly(segment, write.offset, bytes);
                self.totals.writes_failed += 1;
                self.totals.count_fault("write failed");
                Err(errno)
            }
            WriteEnd::Short(written) => {
                self.disk.get().write_partly(segment, write.offset, bytes);
                self.totals.writes_failed += 1;
                self.totals.count_fault("write was short");
                Ok(written)
            }
        };
        let elapsed_us = self.time_us - began_us;
        let has_failed = end != WriteEnd::Done;
        let written =
            Happening::Written { id: write.id, buffer: write.buffer, result, elapsed_us, has_failed };
        self.tell(core, written);
    }

    /// Has a segment prepared, or not.
    fn prepare_segment(&mut self, core: usize, number: SegmentNumber) {
        self.server().cores[core].is_preparing = true;
        let in_us = match self.random.within(0..=5) {
            0 => self.random.within(1_000..=500_000),
            _ => self.random.within(100..=5_000),
        };
        let is_full = self.disk.get().is_full;
        if self.scenario.full_disk.happens(&mut self.random) && !is_full {
            self.disk.get().is_full = true;
            self.totals.count_fault("disk was full");
            let room_in_us = self.random.within(10_000..=5_000_000);
            self.schedule.add(self.time_us + room_in_us, Event::DiskHasRoom);
        }
        let event = if self.disk.get().is_full {
            Event::SegmentFails(core, number, NotPrepared { no_space: true })
        } else if self.scenario.prepare_errors.happens(&mut self.random) {
            self.totals.count_fault("segment was not prepared");
            Event::SegmentFails(core, number, NotPrepared { no_space: false })
        } else {
            Event::SegmentAppears(core, number)
        };
        self.schedule.add(self.time_us + in_us, event);
    }

    /// A prepared segment gets its name.
    pub(crate) fn segment_appears(&mut self, core: usize, number: SegmentNumber) {
        let segment = SegmentId { lane: LaneId(core as u16), number };
        self.disk.get().appear(segment, self.scenario.lane.segment_bytes);
        let log_bytes: u64 = self.files_of(core).iter().map(|file| file.bytes).sum();
        assert!(log_bytes <= self.scenario.wal_bytes_max, "{log_bytes} bytes of segments of core {core}");
        // Until then the name is not durable.
        let in_us = match self.random.within(0..=5) {
            0 => self.random.within(2_000..=500_000),
            _ => self.random.within(50..=2_000),
        };
        self.schedule.add(self.time_us + in_us, Event::SegmentReady(core, number));
        if self.scenario.name_kills.happens(&mut self.random) {
            let in_us = self.random.within(0..=in_us);
            self.schedule.add(self.time_us + in_us, Event::End(Ending::Crash(Crash::Kill)));
            self.totals.count_fault("killed before a name is durable");
        }
    }

    /// Passes messages on to the queues of the other cores. True if some found no room.
    fn do_messages(&mut self, from: usize) -> bool {
        let server = self.server.as_mut().expect("it has its turn");
        let mut left = false;
        for to in 0..server.cores.len() {
            let waiting = &mut server.cores[from].core.wants().messages[to];
            let queue = &mut server.queues[from][to];
            let room = QUEUE_MESSAGES_MAX - queue.len();
            let count = waiting.len().min(room);
            queue.extend(waiting.drain(..count));
            left |= !waiting.is_empty();
            if !queue.is_empty() && !server.deliveries[from][to] {
                server.deliveries[from][to] = true;
                let in_us = if self.scenario.slow_messages.happens(&mut self.random) {
                    self.totals.count_fault("messages between cores were late");
                    self.random.within(100..=50_000)
                } else {
                    self.random.within(1..=20)
                };
                self.schedule.add(self.time_us + in_us, Event::Messages(from, to));
            }
        }
        left
    }

    /// Messages arrive.
    pub(crate) fn messages(&mut self, from: usize, to: usize) {
        let server = self.server();
        server.deliveries[from][to] = false;
        let messages: Vec<_> = server.queues[from][to].drain(..).collect();
        self.totals.messages += messages.len() as u64;
        for message in messages {
            self.tell(to, Happening::Message(CoreId(from as u16), message));
        }
    }

    /// Tells the upkeep when the lane has gone over to another segment.
    fn tell_segment(&mut self, core: usize) {
        let running = &mut self.server().cores[core];
        let Some(lane) = running.core.shard().map(Shard::lane) else { return };
        let (id, writing) = (lane.config().lane, lane.writing());
        if let Some(number) = writing.filter(|_| writing != running.writing) {
            running.writing = writing;
            let in_us = self.random.within(0..=200);
            self.schedule.add(self.time_us + in_us, Event::LaneWrites(id, number));
        }
    }

    /// Sees how far the orderly end has come.
    fn advance(&mut self, core: usize) {
        let server = self.server.as_mut().expect("it has its turn");
        let running = &mut server.cores[core];
        let Running { core, stage, writes, .. } = running;
        match stage {
            Stage::Draining if core.is_drained() => {
                *stage = Stage::Drained;
                if server.all_are(Stage::Drained) {
                    self.close_cores();
                }
            }
            Stage::Closing if writes.is_empty() && core.is_closed() => {
                *stage = Stage::Closed;
                if server.all_are(Stage::Closed) {
                    self.totals.stops += 1;
                    self.has_ended = true;
                }
            }
            _ => {}
        }
    }
}
