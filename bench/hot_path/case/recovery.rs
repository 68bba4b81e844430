//! Recovery of a log whose frames hold 100 claims each, from memory into an index.

use stemedb_engine::checkpoint::OpenTables;
use stemedb_engine::log::lane::LaneConfig;
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::recover;
use stemedb_engine::log::storage::MemoryStorage;
use stemedb_engine::log::{Generation, blocking};
use stemedb_engine::slot::{LaneId, SLOTS};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{AssertContext, ClaimReader};
use stemedb_net::server::recovery::rebuild;

use super::measured;
use crate::claims::claim;
use crate::server::{HASH_SEED, STARTED};

const CLAIMS_A_FRAME: u64 = 100;
const FRAMES: u64 = 400;

pub(super) fn run() -> u64 {
    let disk = log();
    let mut claims = 0;
    measured(&mut || {
        let (_, index) = rebuild(&disk, &OpenTables::none(), 0..SLOTS, HASH_SEED).expect("a sound log");
        claims = index.len();
        // Giving its memory back is no part of recovery.
        std::mem::forget(index);
    });
    assert_eq!(claims, FRAMES * CLAIMS_A_FRAME);
    claims
}

fn log() -> MemoryStorage {
    let mut disk = MemoryStorage::new();
    let recovered = recover(&disk, &mut |_| Ok(())).expect("an empty log");
    let opening = Opening {
        lanes: 1,
        lane: LaneConfig::new(LaneId(0), Generation::FIRST),
        now: STARTED,
        monotonic_us: 0,
    };
    let mut lanes = open_generation(&mut disk, &recovered, &opening).expect("memory takes all writes");
    let mut reader = ClaimReader::new(1 << 20);
    let mut payload = Vec::new();
    for frame in 0..FRAMES {
        for number in frame * CLAIMS_A_FRAME..(frame + 1) * CLAIMS_A_FRAME {
            let now = UnixMicros(STARTED.0 + number as i64);
            let context = AssertContext { now, future_us_max: 0, agent: None };
            let text = claim(number);
            let request = reader.read(text.as_bytes(), &context).expect("a valid claim");
            payload.clear();
            request.encode(&mut payload).expect("not signed");
            lanes[0].append(RecordKind::Assertion, 0, &payload).expect("there is room");
        }
        blocking::drive(&mut lanes[0], &mut disk, STARTED, 0).expect("memory takes all writes");
    }
    disk
}
