//! Recovery of a log that was damaged: an error or the truth, never a panic and never invented or silently lost records.
//!
//! The input is a little program: its first byte chooses a log that was written without a crash, the rest damages it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use stemedb_engine::log::blocking::drive;
use stemedb_engine::log::frame::Frame;
use stemedb_engine::log::frame::FrameHome;
use stemedb_engine::log::inspect::inspect;
use stemedb_engine::log::lane::{AppendError, Lane, LaneConfig};
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::{Recovered, RecoveryError, recover};
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};
use stemedb_engine::log::storage::MemoryStorage;
use stemedb_engine::log::{BLOCK_BYTES, Generation, SEGMENT_BYTES_MIN};
use stemedb_engine::slot::LaneId;
use stemedb_engine::time::UnixMicros;

/// Each log by the numbers of lanes that its generations had.
const LOGS: [&[u16]; 4] = [&[1], &[2, 1], &[1, 3, 2], &[3, 3]];

/// Where records stand, and what they hold.
type Records = BTreeMap<(Generation, LaneId, u64), Vec<u8>>;

/// Damages a log, recovers it, and opens it again.
pub fn recovery(input: &[u8]) {
    let mut program = Program { rest: input };
    let log = &logs()[program.byte() as usize % LOGS.len()];
    let mut disk = log.disk.clone();
    let mut damage = Damage::default();
    while !program.rest.is_empty() && damage.steps < 8 {
        damage.step(&mut disk, &mut program);
    }
    inspect(&disk).for_each(drop);

    let before = disk.clone();
    let Ok((found, recovered)) = read(&disk) else {
        assert!(damage.steps > 0, "a sound log is recovered");
        assert!(disk == before, "recovery changes nothing");
        return;
    };
    assert!(disk == before, "recovery changes nothing");
    if damage.is_forged {
        return;
    }
    for (place, payload) in &found {
        assert_eq!(log.records.get(place), Some(payload), "a record that nobody wrote, at {place:?}");
    }
    if damage.is_in_one_block() {
        assert_eq!(found.len(), log.records.len(), "acknowledged records are gone without an error");
    }
    // What was recovered once stays, and nothing joins it.
    open(&mut disk, &recovered, 2);
    let (again, _) = read(&disk).expect("a log that was just opened");
    assert_eq!(again, found);
}

/// A log that was written without a crash.
struct Log {
    disk: MemoryStorage,
    records: Records,
}

fn logs() -> &'static [Log] {
    static WRITTEN: OnceLock<Vec<Log>> = OnceLock::new();
    WRITTEN.get_or_init(|| LOGS.iter().map(|lanes| write(lanes)).collect())
}

fn write(generations: &[u16]) -> Log {
    let mut disk = MemoryStorage::new();
    for lanes in generations {
        let (_, recovered) = read(&disk).expect("a log that is being written");
        for (number, lane) in open(&mut disk, &recovered, *lanes).iter_mut().enumerate() {
            // Small records, then, in one lane of the first generation, enough large ones to fill a segment.
            let rolls = number == 0 && recovered.next_generation == Generation::FIRST;
            for record in 0..if rolls { 60_usize } else { 12 } {
                let payload_bytes = if record < 12 { 40 * record } else { 50_000 };
                append(lane, &mut disk, &vec![record as u8 + 1; payload_bytes]);
                if record % 3 == 0 {
                    write_all(lane, &mut disk);
                }
            }
            lane.close();
            write_all(lane, &mut disk);
        }
    }
    let (records, _) = read(&disk).expect("a log that was just written");
    Log { disk, records }
}

fn append(lane: &mut Lane, disk: &mut MemoryStorage, payload: &[u8]) {
    loop {
        match lane.append(RecordKind::Assertion, 0, payload) {
            Ok(_) => return,
            Err(AppendError::Busy) => write_all(lane, disk),
            Err(error) => panic!("{error}"),
        }
    }
}

fn write_all(lane: &mut Lane, disk: &mut MemoryStorage) {
    drive(lane, disk, NOW, 0).expect("memory takes every write");
}

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

fn open(disk: &mut MemoryStorage, recovered: &Recovered, lanes: u16) -> Vec<Lane> {
    let lane = LaneConfig {
        segment_bytes: SEGMENT_BYTES_MIN,
        frame_bytes_max: 16 * BLOCK_BYTES,
        ..LaneConfig::new(LaneId(0), Generation::FIRST)
    };
    let opening = Opening { lanes, lane, now: NOW, monotonic_us: 0 };
    open_generation(disk, recovered, &opening).expect("memory takes every write")
}

fn read(disk: &MemoryStorage) -> Result<(Records, Recovered), RecoveryError> {
    let mut records = Records::new();
    let recovered = recover(disk, &mut |replayed| {
        for record in replayed.iter().filter(|record| record.kind == RecordKind::Assertion) {
            let place = (record.generation, record.lane, record.lsn.0);
            let earlier = records.insert(place, record.payload.to_vec());
            assert!(earlier.is_none(), "{place:?} comes twice");
        }
        Ok(())
    })?;
    Ok((records, recovered))
}

/// What has been done to a log.
#[derive(Default)]
struct Damage {
    steps: usize,
    /// Whether a checksum was made to fit, which no accident does.
    is_forged: bool,
    /// Whether more than the bytes of blocks was changed.
    is_structural: bool,
    /// The blocks that were changed, by segment and number.
    blocks: Vec<(SegmentId, usize)>,
}

impl Damage {
    /// Whether it is what a bad block on a disk does.
    fn is_in_one_block(&self) -> bool {
        !self.is_structural && self.blocks.windows(2).all(|pair| pair[0] == pair[1])
    }

    fn step(&mut self, disk: &mut MemoryStorage, program: &mut Program<'_>) {
        self.steps += 1;
        let what = program.byte();
        let Some(id) = program.segment(disk) else {
            return;
        };
        let file = disk.segments.get_mut(&id).expect("it was just chosen");
        let blocks = file.len() / BLOCK_BYTES;
        if blocks == 0 {
            return;
        }
        let block = program.number() % blocks;
        let bytes = block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES;
        match what % 8 {
            0 => file[bytes].fill(program.byte()),
            1 => file[bytes.start + program.number() % BLOCK_BYTES] ^= program.byte(),
            2 => {
                let begin = bytes.start + program.number() % (BLOCK_BYTES - 8);
                let replacement = program.take(8);
                file[begin..begin + replacement.len()].copy_from_slice(replacement);
            }
            3 => {
                let from = program.number() % blocks * BLOCK_BYTES;
                file.copy_within(from..from + BLOCK_BYTES, bytes.start);
            }
            4 => {
                repair(file, block);
                self.is_forged = true;
            }
            5 => {
                file.truncate(bytes.start + program.number() % BLOCK_BYTES);
                self.is_structural = true;
            }
            6 => {
                disk.segments.remove(&id);
                self.is_structural = true;
            }
            _ => {
                let content = file.clone();
                let other = program.segment(disk).expect("there is one at least");
                let replaced = disk.segments.insert(other, content);
                disk.segments.insert(id, replaced.expect("it was just chosen"));
                self.is_structural = true;
            }
        }
        self.blocks.push((id, block));
    }
}

/// Makes the checksum of the frame or header at a block fit.
fn repair(file: &mut [u8], block: usize) {
    if block == 0 {
        let checksum = crc32c::crc32c(&file[..BLOCK_BYTES - 4]);
        file[BLOCK_BYTES - 4..BLOCK_BYTES].copy_from_slice(&checksum.to_le_bytes());
        return;
    }
    let Ok((header, checksum)) = SegmentHeader::decode(&file[..BLOCK_BYTES]) else {
        return;
    };
    let home = FrameHome::new(&header, checksum);
    let rest = &mut file[block * BLOCK_BYTES..];
    let Ok(frame_bytes) = Frame::bytes_needed(rest) else {
        return;
    };
    if let Some(frame) = rest.get_mut(..frame_bytes) {
        let checksum = crc32c::crc32c_append(home.checksum, &frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The input, read as choices; zeros when it has ended.
struct Program<'i> {
    rest: &'i [u8],
}

impl<'i> Program<'i> {
    fn take(&mut self, bytes: usize) -> &'i [u8] {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    fn segment(&mut self, disk: &MemoryStorage) -> Option<SegmentId> {
        let count = disk.segments.len();
        let chosen = self.byte() as usize;
        disk.segments.keys().nth(if count == 0 { 0 } else { chosen % count }).copied()
    }
}
