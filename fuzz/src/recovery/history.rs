//! A log as servers write it, one after the other, and what they have acknowledged.

use std::collections::BTreeMap;

use stemedb_engine::claim::{
    Claim, ConceptPath, Predicate, Reason, Retraction, RetractionId, Timestamp, Value, assertion,
};
use stemedb_engine::log::blocking::drive;
use stemedb_engine::log::lane::{AppendError, Lane, LaneConfig};
use stemedb_engine::log::opening::{OpenError, Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::Recovered;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::{BLOCK_BYTES, Generation, SEGMENT_BYTES_MIN};
use stemedb_engine::slot::{LaneId, Slot, SlotMap};

use super::disk::Disk;
use super::{NOW, Place, Record, Records, read};
use crate::program::Program;

/// The paths of sources, and those that are retracted.
const SOURCES: [&str; 3] = ["source/x", "source/x/1", "source/y"];

/// Bytes of the values of claims.
const VALUE_BYTES: [usize; 4] = [0, 300, 5_000, 30_000];

/// What was written.
pub(super) struct History {
    pub(super) disk: Disk,
    /// What the log holds: all that was acknowledged, and what recovery found of that which was not.
    pub(super) records: Records,
    /// How many lanes each generation has.
    pub(super) lanes: BTreeMap<Generation, u16>,
    /// Claims so far: no two are alike.
    claims: u32,
    /// Whether a segment was filled: that takes time.
    is_filled: bool,
}

/// A server at work.
struct Server {
    generation: Generation,
    lanes: Vec<Lane>,
    slots: SlotMap,
    /// What was appended to each lane and is not durable.
    pending: Vec<Records>,
}

impl History {
    pub(super) fn write(program: &mut Program<'_>) -> History {
        let mut history = History {
            disk: Disk::new(),
            records: Records::new(),
            lanes: BTreeMap::new(),
            claims: 0,
            is_filled: false,
        };
        for _ in 0..1 + program.byte() % 3 {
            let lanes = 1 + u16::from(program.byte()) % 3;
            let flags = program.byte();
            let frames_in_flight = 1 + usize::from(flags & 1);
            for _ in 0..flags >> 2 & 3 {
                history.start_and_crash(lanes, frames_in_flight, program);
            }
            let mut server = history.start(lanes, frames_in_flight).expect("memory takes every write");
            for _ in 0..program.byte() % 24 {
                let (what, which) = (program.byte(), program.byte());
                history.operate(&mut server, what, which);
            }
            if flags & 2 == 0 {
                history.stop(server);
            } else {
                history.crash(server, program);
            }
            if flags & 16 != 0 {
                history.start_and_crash(lanes, frames_in_flight, program);
            }
        }
        let (found, _) = read(&history.disk.memory).expect("no disk was damaged");
        history.settle(found, &Records::new());
        history
    }

    /// A start in which there may be a crash.
    fn start_and_crash(&mut self, lanes: u16, frames_in_flight: usize, program: &mut Program<'_>) {
        let (changes, arriving) = (usize::from(program.byte() % 24), program.byte());
        self.disk.crash_after(changes, arriving);
        drop(self.start(lanes, frames_in_flight));
        self.disk.restart();
    }

    /// Recovers and opens the next generation; `None` if there was a crash before that was done.
    fn start(&mut self, lanes: u16, frames_in_flight: usize) -> Option<Server> {
        let (found, recovered) = read(&self.disk.memory).expect("no disk was damaged");
        self.settle(found, &Records::new());
        let generation = recovered.next_generation;
        self.lanes.insert(generation, lanes);
        let lanes = open(&mut self.disk, &recovered, lanes, frames_in_flight).ok()?;
        if !recovered.unfinished_retractions.is_empty() {
            // Copies that complete them.
            let (found, _) = read(&self.disk.memory).expect("no disk was damaged");
            self.settle(found, &Records::new());
        }
        let slots = SlotMap::new(lanes.len() as u16);
        Some(Server { generation, slots, pending: lanes.iter().map(|_| Records::new()).collect(), lanes })
    }

    /// Takes what recovery found for the truth: all that was acknowledged, and of the rest what was `pending`, or what an
    /// opening writes, which is copies of retractions.
    fn settle(&mut self, found: Records, pending: &Records) {
        for (place, record) in &self.records {
            assert_eq!(found.get(place), Some(record), "{place:?} was acknowledged");
        }
        for (place, record) in found.iter().filter(|(place, _)| !self.records.contains_key(place)) {
            let mut earlier = self.records.range(..(place.0, LaneId(0), 0)).map(|(_, record)| record);
            let is_copy = record.kind == RecordKind::Retraction && earlier.any(|other| other == record);
            assert!(
                is_copy || pending.get(place) == Some(record),
                "a record that nobody wrote, at {place:?}: {record:?}"
            );
        }
        self.records = found;
    }

    fn operate(&mut self, server: &mut Server, what: u8, which: u8) {
        let lane = usize::from(which) % server.lanes.len();
        match what % 8 {
            0..=3 => {
                let bytes = VALUE_BYTES[usize::from(which >> 6)];
                self.claim(server, usize::from(which % 16), which >> 4 & 3, bytes);
            }
            4 => self.retract(server, SOURCES[usize::from(which) % SOURCES.len()], which >> 4),
            5 => self.drive(server, lane),
            6 => {
                self.drive(server, lane);
                server.lanes[lane].mark();
                self.drive(server, lane);
            }
            _ if !self.is_filled => {
                self.is_filled = true;
                let begun = server.lanes[lane].next_lsn().0;
                while server.lanes[lane].next_lsn().0 < begun + SEGMENT_BYTES_MIN / 61_000 + 2 {
                    let subject = subject_of(server, lane);
                    self.claim(server, subject, 0, 60_000);
                    self.drive(server, lane);
                }
            }
            _ => {}
        }
    }

    fn claim(&mut self, server: &mut Server, subject: usize, source: u8, value_bytes: usize) {
        const VALID: &str = "made to be valid";
        self.claims += 1;
        let subject = format!("s/{subject}");
        let value = format!("{} {}", self.claims, "v".repeat(value_bytes));
        let mut claim = Claim::new(
            ConceptPath::new(&subject).expect(VALID),
            Predicate::new("is").expect(VALID),
            Value::text(&value).expect(VALID),
            Timestamp::new(NOW).expect(VALID),
        );
        claim.source = SOURCES.get(usize::from(source)).map(|path| ConceptPath::new(path).expect(VALID));
        let mut payload = Vec::new();
        assertion::encode(&claim, &[], &mut payload);
        let lane = server.slots.owner(Slot::of(subject.as_bytes())).0;
        self.append(server, lane.into(), RecordKind::Assertion, payload);
    }

    /// Retracts a path in the lane that owns it and then, when that is durable, in up to `copies` others.
    fn retract(&mut self, server: &mut Server, path: &str, copies: u8) {
        const VALID: &str = "made to be valid";
        let owner = usize::from(server.slots.owner(Slot::of(path.as_bytes())).0);
        let mut payload = Vec::new();
        // Nothing waits, so the record gets the number that is next.
        self.drive(server, owner);
        Retraction {
            id: RetractionId {
                generation: server.generation.0,
                lane: LaneId(owner as u16),
                lsn: server.lanes[owner].next_lsn().0,
            },
            path: ConceptPath::new(path).expect(VALID),
            reason: Reason::new("withdrawn").expect(VALID),
            at: NOW,
        }
        .encode(&mut payload);
        self.append(server, owner, RecordKind::Retraction, payload.clone());
        if copies > 0 {
            self.drive(server, owner);
        }
        let others = (0..server.lanes.len()).filter(|lane| *lane != owner).take(copies.into());
        for lane in others {
            self.append(server, lane, RecordKind::Retraction, payload.clone());
        }
    }

    fn append(&mut self, server: &mut Server, lane: usize, kind: RecordKind, payload: Vec<u8>) {
        let lsn = match server.lanes[lane].append(kind, 0, &payload) {
            Err(AppendError::Busy) => {
                self.drive(server, lane);
                server.lanes[lane].append(kind, 0, &payload)
            }
            appended => appended,
        };
        let place: Place = (server.generation, LaneId(lane as u16), lsn.expect("it fits a frame").0);
        server.pending[lane].insert(place, Record { kind, payload });
    }

    /// Writes all that waits in a lane: it is acknowledged then.
    fn drive(&mut self, server: &mut Server, lane: usize) {
        drive(&mut server.lanes[lane], &mut self.disk, NOW, 0).expect("memory takes every write");
        self.records.append(&mut server.pending[lane]);
    }

    fn stop(&mut self, mut server: Server) {
        for lane in 0..server.lanes.len() {
            server.lanes[lane].close();
            self.drive(&mut server, lane);
        }
    }

    /// What is under way arrives in part or not at all; what waits in memory is gone.
    fn crash(&mut self, mut server: Server, program: &mut Program<'_>) {
        for lane in &mut server.lanes {
            let mut arriving = program.byte();
            if arriving == 0 {
                continue;
            }
            while let Some(write) = lane.next_write(NOW) {
                let segment = SegmentId { lane: lane.config().lane, number: write.segment };
                self.disk.write_in_part(segment, write.offset, &write.buffer[..write.bytes], arriving);
                // Of a second write other blocks arrive.
                arriving = arriving.rotate_left(3);
            }
        }
        // Of what was pending, nothing but what is found from now on counts.
        let (found, _) = read(&self.disk.memory).expect("no disk was damaged");
        let pending: Records = server.pending.into_iter().flatten().collect();
        self.settle(found, &pending);
    }
}

/// A subject whose slot is in a lane.
fn subject_of(server: &Server, lane: usize) -> usize {
    let is_there = |number: &usize| {
        let slot = Slot::of(format!("s/{number}").as_bytes());
        usize::from(server.slots.owner(slot).0) == lane
    };
    (0..).find(is_there).expect("every lane has slots")
}

pub(super) fn open(
    disk: &mut Disk,
    recovered: &Recovered,
    lanes: u16,
    frames_in_flight: usize,
) -> Result<Vec<Lane>, OpenError> {
    let lane = LaneConfig {
        segment_bytes: SEGMENT_BYTES_MIN,
        frame_bytes_max: 16 * BLOCK_BYTES,
        frames_in_flight,
        frame_buffers: 4,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    let opening = Opening { lanes, lane, now: NOW, monotonic_us: 0 };
    open_generation(disk, recovered, &opening)
}
