//! A random history of a log as a list of what happens to its files, one thing after the other: so that a test can stop
//! anywhere in it, or let it go on between any two reads of whoever looks at the log.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;

use super::history::{Life, Step};
use super::*;
use crate::log::lane::{LaneWrite, WriteOutcome};
use crate::log::storage::SegmentFile;
use crate::log::storage::hooked::{Change, Hook, HookedDisk};

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Prepared(SegmentId, u64),
    /// Some blocks of a write that is under way arrive.
    Arrived(SegmentId, u64, Vec<u8>),
    Truncated(SegmentId, u64),
    Removed(SegmentId),
    /// All records of the lane up to this one are acknowledged, at this time.
    Acknowledged(Generation, LaneId, Lsn, UnixMicros),
}

/// Notes what is done to a disk.
#[derive(Default)]
struct Recorder(Vec<Event>);

impl Event {
    /// Does to the disk what happened to it.
    pub(super) fn happen(&self, disk: &mut MemoryStorage) {
        match self {
            Event::Prepared(segment, bytes) => disk.prepare(*segment, *bytes).unwrap(),
            Event::Arrived(segment, offset, bytes) => {
                let file = disk.segments.get_mut(segment).unwrap();
                file[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
            }
            Event::Truncated(segment, bytes) => disk.truncate(*segment, *bytes).unwrap(),
            Event::Removed(segment) => disk.remove(*segment).unwrap(),
            Event::Acknowledged(..) => {}
        }
    }
}

impl Recorder {
    fn note(&mut self, disk: &mut MemoryStorage, event: Event) {
        event.happen(disk);
        self.0.push(event);
    }
}

impl Hook for Recorder {
    fn change(&mut self, disk: &mut MemoryStorage, change: Change<'_>) -> io::Result<usize> {
        match change {
            Change::Prepare(segment, bytes) => self.note(disk, Event::Prepared(segment, bytes)),
            Change::Write(segment, offset, bytes) => {
                for (block, part) in bytes.chunks(BLOCK_BYTES).enumerate() {
                    let offset = offset + (block * BLOCK_BYTES) as u64;
                    self.note(disk, Event::Arrived(segment, offset, part.to_vec()));
                }
                return Ok(bytes.len());
            }
            Change::Sync(_) | Change::SyncNames => {}
            Change::Truncate(segment, bytes) => self.note(disk, Event::Truncated(segment, bytes)),
            Change::Remove(segment) => self.note(disk, Event::Removed(segment)),
        }
        Ok(0)
    }
}

impl HookedDisk<Recorder> {
    fn note(&mut self, event: Event) {
        self.hook.note(&mut self.disk, event);
    }

    /// Lets those blocks of a write arrive that `bits` says, one at a time.
    fn arrive(&mut self, segment: SegmentId, write: &LaneWrite, bits: u64) {
        for (block, bytes) in write.buffer[..write.bytes].chunks(BLOCK_BYTES).enumerate() {
            if bits >> (block % 64) & 1 != 0 {
                let offset = write.offset + (block * BLOCK_BYTES) as u64;
                self.note(Event::Arrived(segment, offset, bytes.to_vec()));
            }
        }
    }
}

/// All that happens in these lives, one after the other, each ended by a crash. Time goes on by ten microseconds with
/// each step, and stands still while a generation is opened.
pub(super) fn script(lives: &[Life]) -> Vec<Event> {
    let mut recorder = HookedDisk::<Recorder>::default();
    let mut now = NOW;
    for (number, life) in (1..).zip(lives) {
        let (_, recovered) = read(&recorder.disk).unwrap();
        let mut opening = Opening { now, ..opening(life.lanes) };
        opening.lane.frames_in_flight = life.frames_in_flight;
        let lanes = open_generation(&mut recorder, &recovered, &opening).unwrap();
        live(&mut recorder, lanes, life, number, &mut now);
    }
    recorder.hook.0
}

/// All that happens while so many lanes write, one after the other, until each has begun its third segment.
pub(super) fn three_segments_each(lanes: u16) -> Vec<Event> {
    let mut recorder = HookedDisk::<Recorder>::default();
    let (_, recovered) = read(&recorder.disk).unwrap();
    let lanes = open_generation(&mut recorder, &recovered, &small_opening(lanes)).unwrap();
    for mut lane in lanes {
        while lane.writing().expect("it was opened") < SegmentNumber(3) {
            lane.append(RecordKind::Assertion, 0, &[0xCD; 10_000]).unwrap();
            drive(&mut lane, &mut recorder, NOW, 0).unwrap();
        }
    }
    recorder.hook.0
}

/// All that happens to a log that has come to rest when so many lanes go on with it.
pub(super) fn opening_of(disk: &MemoryStorage, lanes: u16) -> Vec<Event> {
    let mut recorder = HookedDisk { disk: disk.clone(), hook: Recorder::default() };
    let (_, recovered) = read(disk).unwrap();
    open_generation(&mut recorder, &recovered, &small_opening(lanes)).unwrap();
    recorder.hook.0
}

fn live(
    recorder: &mut HookedDisk<Recorder>,
    mut lanes: Vec<Lane>,
    life: &Life,
    number: u32,
    now: &mut UnixMicros,
) {
    let mut in_flight: Vec<Vec<LaneWrite>> = lanes.iter().map(|_| Vec::new()).collect();
    for step in &life.steps {
        now.0 += 10;
        let at = |lane: u16| usize::from(lane % life.lanes);
        match *step {
            Step::Append { lane, bytes } => {
                let payload = format!("{number}.{}.{}:", at(lane), lanes[at(lane)].next_lsn()).into_bytes();
                let payload: Vec<_> = payload.iter().copied().cycle().take(payload.len() + bytes).collect();
                // A lane whose frames are all full takes no more.
                let _ = lanes[at(lane)].append(RecordKind::Assertion, 0, &payload);
            }
            Step::Start { lane } => {
                let (lane, id) = (at(lane), |number| SegmentId { lane: LaneId(at(lane) as u16), number });
                if let Some(number) = lanes[lane].stalled_on() {
                    recorder.prepare(id(number), SEGMENT_BYTES_MIN).unwrap();
                    lanes[lane].segment_ready(number);
                }
                if let Some(write) = lanes[lane].next_write(*now) {
                    recorder.arrive(id(write.segment), &write, life.arriving.rotate_left(write.id.0 as u32));
                    in_flight[lane].push(write);
                }
            }
            Step::Complete { lane, which } => {
                let lane = at(lane);
                if in_flight[lane].is_empty() {
                    continue;
                }
                let which = which % in_flight[lane].len();
                let write = in_flight[lane].remove(which);
                let id = SegmentId { lane: LaneId(lane as u16), number: write.segment };
                recorder.arrive(id, &write, u64::MAX);
                lanes[lane].write_done(write.id, write.buffer, Ok(write.bytes), 0);
                while let Some(outcome) = lanes[lane].next_outcome() {
                    if let WriteOutcome::Frame(frame) = outcome {
                        let (generation, lane_id) = (lanes[lane].config().generation, LaneId(lane as u16));
                        recorder.note(Event::Acknowledged(generation, lane_id, frame.last_lsn(), *now));
                        lanes[lane].recycle(frame);
                    }
                }
            }
            Step::Mark { lane } => lanes[at(lane)].mark(),
        }
    }
}

/// The log while the script goes on: a few things happen before each time that somebody looks.
pub(super) struct Racing<'e> {
    state: RefCell<State<'e>>,
}

struct State<'e> {
    disk: MemoryStorage,
    events: &'e [Event],
    /// How many things happen at once, as the digits of this number say.
    pace: u64,
}

impl<'e> Racing<'e> {
    /// The log when `before` of the events have happened.
    pub(super) fn new(events: &'e [Event], before: usize, pace: u64) -> Racing<'e> {
        let mut disk = MemoryStorage::new();
        events[..before].iter().for_each(|event| event.happen(&mut disk));
        Racing { state: RefCell::new(State { disk, events: &events[before..], pace }) }
    }

    fn go_on(&self) {
        let state = &mut *self.state.borrow_mut();
        state.pace = state.pace.rotate_left(3);
        let count = state.events.len().min((state.pace & 7) as usize);
        let (now, later) = state.events.split_at(count);
        now.iter().for_each(|event| event.happen(&mut state.disk));
        state.events = later;
    }
}

impl LogStorage for Racing<'_> {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        self.go_on();
        self.state.borrow().disk.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.go_on();
        self.state.borrow().disk.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        PathBuf::from(segment.to_string())
    }
}
