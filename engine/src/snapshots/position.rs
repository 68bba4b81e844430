//! Which part of history a snapshot holds, and whether that is the history that is there.
//!
//! ```text
//! 0         4      6      8       16            24           28       32       40
//! ├─────────┼──────┼──────┼───────┼─────────────┼────────────┼────────┼────────┼─────┐
//! │ version │ lane │ 0    │ taken │ checkpoints │ generation │ 0      │ opened │ LSN │
//! ```

use crate::checkpoint::Manifest;
use crate::log::generation::GenerationRecord;
use crate::log::recovery::Recovered;
use crate::log::{Generation, Lsn};
use crate::order::WriteOrder;
use crate::slot::LaneId;
use crate::time::UnixMicros;

const VERSION: u32 = 1;
const BYTES: usize = 48;

/// What a part of a snapshot holds all of: what happened to its slots up to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When the snapshot was begun.
    pub taken: UnixMicros,
    /// How many checkpoints had been made. All that their tables say of the slots is in the part.
    pub checkpoints: u64,
    /// The generation in which it was taken.
    pub generation: Generation,
    /// When that generation was opened. Tells it from another one with the same number, in a log that was put in the place of
    /// this one.
    pub opened: UnixMicros,
    /// The lane that the slots lived in.
    pub lane: LaneId,
    /// The last record of the lane that is in the part: a claim, or a retraction and all that it takes back.
    pub lsn: Lsn,
}

/// Why bytes are no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// Another version.
    #[error("it says in version {actual} what it holds, expected version {VERSION}")]
    Version {
        /// The version.
        actual: u32,
    },
    /// They are too few or too many.
    #[error("{actual} bytes say what it holds, expected {BYTES}")]
    Length {
        /// How many there are.
        actual: usize,
    },
    /// A number is beyond what can be.
    #[error("what it says of what it holds cannot be")]
    Impossible,
}

/// Why a position is not one of the history that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// There are fewer checkpoints than it holds.
    #[error("it holds {expected} checkpoints, and the manifest has {actual}")]
    Checkpoints {
        /// How many it holds.
        expected: u64,
        /// How many there were.
        actual: u64,
    },
    /// Its generation is not there, or is another one.
    #[error("it was taken in a generation {generation} that is not the log's")]
    Generation {
        /// Its generation.
        generation: Generation,
    },
    /// The log ends before it.
    #[error("it holds lane {} up to record {lsn}, and the log's next one is {next_lsn}", .lane.0)]
    Log {
        /// The lane.
        lane: LaneId,
        /// Its last record in the snapshot.
        lsn: Lsn,
        /// The record that would come next in the log, at the end of the snapshot's generation or later.
        next_lsn: Lsn,
    },
}

impl Position {
    /// When its last record was written.
    pub fn order(&self) -> WriteOrder {
        WriteOrder::new(self.generation.0, self.lsn.0)
    }

    /// The bytes that say it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.lane.0.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(self.taken.0.to_le_bytes());
        bytes.extend(self.checkpoints.to_le_bytes());
        bytes.extend(self.generation.0.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.opened.0.to_le_bytes());
        bytes.extend(self.lsn.0.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] gave.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Position, PositionError> {
        if let Some(version) = bytes.first_chunk().map(|version| u32::from_le_bytes(*version))
            && version != VERSION
        {
            return Err(PositionError::Version { actual: version });
        }
        if bytes.len() != BYTES {
            return Err(PositionError::Length { actual: bytes.len() });
        }
        let position = Position {
            lane: LaneId(u16::from_le_bytes(array(bytes, 4))),
            taken: UnixMicros(i64::from_le_bytes(array(bytes, 8))),
            checkpoints: u64::from_le_bytes(array(bytes, 16)),
            generation: Generation(u32::from_le_bytes(array(bytes, 24))),
            opened: UnixMicros(i64::from_le_bytes(array(bytes, 32))),
            lsn: Lsn(u64::from_le_bytes(array(bytes, 40))),
        };
        let Position { generation, lsn, .. } = position;
        let is_possible = (Generation::FIRST.0..=WriteOrder::GENERATION_MAX).contains(&generation.0)
            && lsn.0 <= WriteOrder::LSN_MAX
            && bytes[6..8].iter().chain(&bytes[28..32]).all(|zero| *zero == 0);
        is_possible.then_some(position).ok_or(PositionError::Impossible)
    }

    /// Refuses a position that holds more than tables and log do, or another history.
    ///
    /// A snapshot that was refused must be removed before the log goes on: it might fit a later end of it by chance.
    ///
    /// # Errors
    ///
    /// When what it says cannot have been taken from this store.
    pub fn check(&self, manifest: &Manifest, recovered: &Recovered) -> Result<(), Mismatch> {
        if self.checkpoints > manifest.checkpoints {
            return Err(Mismatch::Checkpoints { expected: self.checkpoints, actual: manifest.checkpoints });
        }
        let Position { generation, lane, lsn, .. } = *self;
        let is_other =
            |known: &GenerationRecord| known.generation == generation && known.opened != self.opened;
        if generation >= recovered.next_generation || recovered.generations.iter().any(is_other) {
            return Err(Mismatch::Generation { generation });
        }
        let later = recovered.generations.iter().find(|known| known.generation > generation);
        let ends = later.map_or(&recovered.lane_ends, |later| &later.ends);
        let next_lsn = ends.iter().find(|end| end.lane == lane).map_or(Lsn::ZERO, |end| end.next_lsn);
        match lsn < next_lsn {
            true => Ok(()),
            false => Err(Mismatch::Log { lane, lsn, next_lsn }),
        }
    }
}

/// The `N` bytes at `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::SegmentNumber;
    use crate::log::generation::LaneEnd;

    const POSITION: Position = Position {
        taken: UnixMicros(1_700_000_000_000_000),
        checkpoints: 5,
        generation: Generation(3),
        opened: UnixMicros(1_600_000_000_000_000),
        lane: LaneId(1),
        lsn: Lsn(40),
    };

    #[test]
    fn a_position_is_these_very_bytes() {
        let bytes = POSITION.encode();
        assert_eq!(bytes.len(), BYTES);
        assert_eq!(bytes[..8], [1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!((bytes[16], bytes[24], bytes[40]), (5, 3, 40));
        assert_eq!(Position::decode(&bytes), Ok(POSITION));
        assert_eq!(Position::decode(&bytes[..47]), Err(PositionError::Length { actual: 47 }));
        assert_eq!(Position::decode(&[]), Err(PositionError::Length { actual: 0 }));
        let with = |at: usize, byte: u8| {
            let mut changed = bytes.clone();
            changed[at] = byte;
            Position::decode(&changed)
        };
        assert_eq!(with(0, 2), Err(PositionError::Version { actual: 2 }));
        for (at, byte) in [(6, 1), (24, 0), (27, 1), (28, 1), (47, 1)] {
            assert_eq!(with(at, byte), Err(PositionError::Impossible), "byte {at}");
        }
    }

    fn end(next_lsn: u64) -> LaneEnd {
        LaneEnd {
            lane: LaneId(1),
            generation: Generation(3),
            segment: SegmentNumber(2),
            end_offset: 4096,
            next_lsn: Lsn(next_lsn),
        }
    }

    fn recovered(generations: Vec<GenerationRecord>, next_lsn: u64) -> Recovered {
        Recovered {
            next_generation: Generation(5),
            lane_ends: vec![end(next_lsn)],
            generations,
            covered: Vec::new(),
            tails_dropped: Vec::new(),
            records: 0,
            bytes: 0,
            unfinished_retractions: Vec::new(),
            prepared: Vec::new(),
            abandoned: Vec::new(),
            untrimmed: Vec::new(),
        }
    }

    fn record(generation: u32, opened: UnixMicros, ends: Vec<LaneEnd>) -> GenerationRecord {
        GenerationRecord { generation: Generation(generation), lanes: 2, opened, ends }
    }

    #[test]
    fn only_a_position_of_this_history_is_believed() {
        let manifest = Manifest { checkpoints: 5, ..Manifest::empty() };
        let check = |position: Position, recovered| position.check(&manifest, &recovered);
        let own = || record(3, POSITION.opened, Vec::new());
        assert_eq!(check(POSITION, recovered(Vec::new(), 41)), Ok(()));
        assert_eq!(check(POSITION, recovered(vec![own()], 41)), Ok(()));

        let ahead = Position { checkpoints: 6, ..POSITION };
        assert_eq!(
            check(ahead, recovered(Vec::new(), 41)),
            Err(Mismatch::Checkpoints { expected: 6, actual: 5 })
        );
        let other = recovered(vec![record(3, UnixMicros(1), Vec::new())], 41);
        assert_eq!(check(POSITION, other), Err(Mismatch::Generation { generation: Generation(3) }));
        let future = Position { generation: Generation(5), ..POSITION };
        let refused = Err(Mismatch::Generation { generation: Generation(5) });
        assert_eq!(check(future, recovered(Vec::new(), 41)), refused);

        let short = |next_lsn| Err(Mismatch::Log { lane: LaneId(1), lsn: Lsn(40), next_lsn: Lsn(next_lsn) });
        assert_eq!(check(POSITION, recovered(vec![own()], 40)), short(40));
        // The lane is longer by now, but not by what its generation wrote.
        let later = vec![own(), record(4, UnixMicros(2), vec![end(30)])];
        assert_eq!(check(POSITION, recovered(later, 41)), short(30));
        let elsewhere = Position { lane: LaneId(2), ..POSITION };
        let refused = Err(Mismatch::Log { lane: LaneId(2), lsn: Lsn(40), next_lsn: Lsn(0) });
        assert_eq!(check(elsewhere, recovered(Vec::new(), 41)), refused);
    }
}
