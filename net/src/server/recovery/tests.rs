//! Goal: recovery takes back what a retraction took back while it was served, and no more. Method: a log of two
//! lanes in which the retraction reached one of them, recovered, opened and recovered again.

use stemedb_engine::claim::{
    Claim, ConceptPath, Predicate, Reason, Retraction, RetractionId, Timestamp, Value, assertion,
};
use stemedb_engine::log::Generation;
use stemedb_engine::log::blocking::drive;
use stemedb_engine::log::lane::{Lane, LaneConfig};
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::slot::{LaneId, Slot};
use stemedb_engine::time::UnixMicros;

use super::*;

mod snapshots;

const NOW: UnixMicros = UnixMicros(1_700_000_000_000_000);

fn open(disk: &mut DirStorage, recovered: &Recovered) -> Vec<Lane> {
    let lane = LaneConfig { segment_bytes: 2 << 20, ..LaneConfig::new(LaneId(0), Generation::FIRST) };
    open_generation(disk, recovered, &Opening { lanes: 2, lane, now: NOW, monotonic_us: 0 })
        .expect("a working disk")
}

fn assert(lane: &mut Lane, subject: &str, source: &str, value: &str) {
    let mut claim = Claim::new(
        ConceptPath::new(subject).expect("a valid path"),
        Predicate::new("is").expect("a valid predicate"),
        Value::text(value).expect("a valid value"),
        Timestamp::new(UnixMicros(1)).expect("a valid time"),
    );
    claim.source = Some(ConceptPath::new(source).expect("a valid path"));
    let mut payload = Vec::new();
    assertion::encode(&claim, &[], &mut payload);
    lane.append(RecordKind::Assertion, 0, &payload).expect("there is room");
}

/// The payload of a retraction that lane 0 decides.
fn retraction(lanes: &[Lane], path: &str) -> Vec<u8> {
    let (lane, mut payload) = (&lanes[0], Vec::new());
    Retraction {
        id: RetractionId { generation: lane.config().generation.0, lane: LaneId(0), lsn: lane.next_lsn().0 },
        path: ConceptPath::new(path).expect("a valid path"),
        reason: Reason::new("a test").expect("a valid reason"),
        at: NOW,
    }
    .encode(&mut payload);
    payload
}

#[test]
fn an_interrupted_retraction_spares_what_was_written_after_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut disk = DirStorage::new(directory.path());
    let slots = SlotMap::new(2);
    let subject = |core| {
        let owned = |path: &String| slots.owner(Slot::of(path.as_bytes())) == CoreId(core);
        (0..).map(|number| format!("s/{number}")).find(owned).expect("every core owns slots")
    };
    let recovered = recover(directory.path(), directory.path(), None, slots).expect("an empty log").recovered;
    let mut lanes = open(&mut disk, &recovered);
    for core in [0, 1] {
        assert(&mut lanes[usize::from(core)], &subject(core), "source/x", "before");
    }
    let payload = retraction(&lanes, "source/x");
    lanes[0].append(RecordKind::Retraction, 0, &payload).expect("there is room");
    assert(&mut lanes[0], &subject(0), "source/x", "after");
    for lane in &mut lanes {
        drive(lane, &mut disk, NOW, 0).expect("a working disk");
    }
    for start in 0..3 {
        let recovery = recover(directory.path(), directory.path(), None, slots).expect("a sound log");
        let retracted: Vec<_> = recovery.indexes.iter().map(Index::retracted_len).collect();
        assert_eq!((recovery.assertions(), &retracted[..]), (3, &[1, 1][..]), "start {start}");
        open(&mut disk, &recovery.recovered);
    }
}
