//! Goal: cores know what is removed, nothing is removed that somebody counts on, and a stop waits for the step at hand, but not for ever. Method: a
//! log of the test's own that upkeep works on, marks of an archive, and a thread whose step ends when the test says so.

use std::path::PathBuf;
use std::sync::Mutex;

use stemedb_engine::checkpoint::{ListedTable, MemoryManifest};
use stemedb_engine::log::covered::CoveredEnd;
use stemedb_engine::log::generation::LaneEnd;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{LogDisk, LogStorage, MemoryStorage};
use stemedb_engine::log::{Generation, Lsn};
use stemedb_engine::snapshots::{MemorySnapshots, SnapshotFacts};
use stemedb_engine::table::{MemoryTables, TableFacts};
use stemedb_engine::time::UnixMicros;

use super::*;

/// A log in a directory that cannot be synchronised: what is removed is gone, which is not durable.
struct UnsyncedLog {
    log: MemoryStorage,
    wal: PathBuf,
    /// For each time that it was listed, whether nobody had the right to remove files.
    was_free: WasFree,
}

type WasFree = Arc<Mutex<Vec<bool>>>;

impl LogStorage for UnsyncedLog {
    fn list(&self) -> io::Result<Vec<SegmentFile>> {
        let right = RemovalRight::on(&self.wal).expect("the lock can be opened");
        self.was_free.lock().expect("no holder of this lock panics").push(right.is_some());
        self.log.list()
    }

    fn read(&self, segment: SegmentId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.log.read(segment, offset, buffer)
    }

    fn path(&self, segment: SegmentId) -> PathBuf {
        self.log.path(segment)
    }
}

impl LogDisk for UnsyncedLog {
    fn prepare(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.log.prepare(segment, bytes)
    }

    fn write(&mut self, segment: SegmentId, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.log.write(segment, offset, bytes)
    }

    fn sync(&mut self, segment: SegmentId) -> io::Result<()> {
        self.log.sync(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    fn truncate(&mut self, segment: SegmentId, bytes: u64) -> io::Result<()> {
        self.log.truncate(segment, bytes)
    }

    fn remove(&mut self, segment: SegmentId) -> io::Result<()> {
        self.log.remove(segment)?;
        self.sync_names()
    }
}

/// What keeps the store in `directory` whose log has one segment, which is covered; cores have `tables`, and are told by `removed`.
fn keeper<R: FnMut(SegmentFile)>(
    directory: &Path,
    tables: TablesInForce,
    removed: R,
) -> (Keeper<R>, SegmentFile, WasFree) {
    let (wal, db) = (directory.join("wal"), directory.join("db"));
    let data = Arc::new(DataDir::open(&wal, &db).expect("writable"));
    let (lane, segment) = (LaneId(0), SegmentNumber::FIRST);
    let covered = SegmentFile { id: SegmentId { lane, number: segment }, bytes: 8192 };
    let mut log = MemoryStorage::new();
    log.prepare(covered.id, covered.bytes).expect("memory");
    let end = LaneEnd { lane, generation: Generation::FIRST, segment, end_offset: 4096, next_lsn: Lsn(7) };
    let mut manifest = Manifest::empty();
    manifest.covered.ends.push(CoveredEnd { end, continues: false });
    let was_free = WasFree::default();
    let store = Store {
        log: Box::new(UnsyncedLog { log, wal, was_free: Arc::clone(&was_free) }),
        tables: Box::new(MemoryTables::new()),
        manifest: Box::new(MemoryManifest::default()),
    };
    let config = UpkeepConfig {
        checkpoint_bytes: 1 << 20,
        sort_bytes_max: 1 << 20,
        step_bytes: 1 << 20,
        tier_bytes: 1 << 20,
        spare_bytes: 0,
        segment_bytes: 8192,
        core_log_bytes_max: u64::MAX,
        archive_hold_bytes_max: 0,
    };
    let writing = BTreeMap::from([(lane, segment.next())]);
    let upkeep = Upkeep::new(store, config, manifest, writing, UpkeepFacts::default());
    let snapshots = SnapshotPlan {
        storage: Box::new(MemorySnapshots::new()),
        slots: Vec::new(),
        cores: Box::new(Announcer::default()),
        opened: UnixMicros(0),
        checkpoints: 0,
        checkpoint_bytes: 1 << 20,
        spare_bytes: 0,
        facts: SnapshotFacts::default(),
    };
    let informed = Informed { removed, tables, announcer: Announcer::default(), at_work: AtWork::default() };
    let snapshots = Snapshots::new(snapshots, Arc::new(|| {}));
    (Keeper::new(upkeep, ScrubPace::new(0), snapshots, data, informed), covered, was_free)
}

/// Goal: the cores' bytes of the log are right whatever becomes of a removal. Method: a covered segment in a directory that cannot be synchronised,
/// which ends upkeep.
#[test]
fn cores_are_told_of_a_segment_that_is_gone_although_that_is_not_durable() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut told = Vec::new();
    let tables = TablesInForce::new(Arc::default());
    let (mut keeper, covered, _) = keeper(directory.path(), tables, |file| told.push(file));
    // It looks what there is, and removes what is needless.
    (0..2).for_each(|_| keeper.keep_up());
    let facts = keeper.upkeep.facts().snapshot();
    assert_eq!((keeper.due, facts.has_ended, facts.failures), (None, true, 1), "it is not tried again");
    drop(keeper);
    assert_eq!(told, [covered]);
}

/// Goal: a backup that wants files held does not wait for a checkpoint, or for all steps of a merge. Method: a segment that may not be removed,
/// since tables could not be opened; the checkpoint looks at the log, and sees whether anybody has the right to remove files.
#[test]
fn nobody_has_the_right_to_remove_files_while_none_is_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut tables = TablesInForce::new(Arc::default());
    let number = TableNumber::FIRST;
    let facts = TableFacts { number, bytes: 4096, entries: 1, retracted: 0, retractions: 0 };
    let gone = ListedTable { facts, checkpoints: 1..=1 };
    let manifest = Manifest { tables: vec![gone], ..Manifest::empty() };
    tables.follow(&manifest, &MemoryTables::new()).expect_err("it is not there");
    let (mut keeper, _, was_free) = keeper(directory.path(), tables, |file| panic!("{} is removed", file.id));
    keeper.step().expect("it is opened");
    let listed_before = was_free.lock().expect("no holder of this lock panics").len();
    // The lane's segment is not there, which ends the checkpoint once it has looked.
    let _ = keeper.step();
    let was_free = was_free.lock().expect("no holder of this lock panics");
    assert!(was_free.len() > listed_before, "no checkpoint was tried");
    assert!(was_free.iter().all(|was_free| *was_free), "{was_free:?}");
}

/// Goal: nothing is removed that an archive which has just been begun counts on. Method: its mark appears between a look at it and a removal.
#[test]
fn nothing_is_removed_before_the_mark_of_the_archive_is_known() {
    let wal = tempfile::tempdir().expect("a directory");
    assert!(removal_right(wal.path(), None).is_some(), "there is no archive");
    archive_mark::write(wal.path(), &Covered::default()).expect("writable");
    assert!(removal_right(wal.path(), None).is_none(), "the mark is news");
    assert!(removal_right(wal.path(), Some(&Covered::default())).is_some());
    std::fs::write(archive_mark::path(wal.path()), "damaged").expect("writable");
    assert!(removal_right(wal.path(), None).is_none(), "there is an archive, whatever it has");
    std::fs::remove_file(archive_mark::path(wal.path())).expect("it is there");
    let _hold = stemedb_engine::data_dir::Hold::on(wal.path()).expect("nobody removes anything");
    assert!(removal_right(wal.path(), None).is_none(), "somebody reads");
}

/// Goal: no server keeps segments for an archive that there is not, since it could not look. Method: what becomes of each way to read its mark.
#[test]
fn a_mark_that_cannot_be_read_is_that_of_an_archive_unless_something_is_short() {
    let wal = Path::new("/wal");
    let read = |errno| archived_by(Err(io::Error::from_raw_os_error(errno)), wal);
    assert_eq!(read(libc::EIO).expect("it is there"), Some(Covered::default()));
    for errno in [libc::EMFILE, libc::ENOMEM] {
        assert_eq!(read(errno).expect_err("it is not known").raw_os_error(), Some(errno));
    }
    assert_eq!(archived_by(Ok(None), wal).expect("it was looked"), None);
}

/// Goal: cores know when the CPU is theirs. Method: while an order is waited for, and after it has come; and a glance without waiting.
#[test]
fn who_waits_for_orders_is_not_at_work() {
    let (at_work, (orders, received)) = (AtWork::default(), channel());
    at_work.set(true);
    let shared = at_work.clone();
    let waiting = thread::spawn(move || {
        assert!(matches!(wait(&received, Duration::from_secs(600), &shared), Ok(Order::Piece)));
        assert!(shared.get(), "the order is being carried out");
        assert!(wait(&received, Duration::ZERO, &shared).is_err());
        assert!(shared.get(), "that was a glance");
    });
    while at_work.get() {
        thread::yield_now();
    }
    orders.send(Order::Piece).expect("it is waited for");
    waiting.join().expect("all of it holds");
}

/// A thread whose step at hand lasts until the sender is dropped.
fn in_a_step() -> (UpkeepThread, Sender<()>) {
    let (release, step) = channel::<()>();
    let keep = move |orders: &Receiver<Order>, _own: Sender<Order>| {
        let _ = step.recv();
        assert!(matches!(orders.recv(), Ok(Order::Stop)));
    };
    (UpkeepThread::running(keep).expect("a thread can be started"), release)
}

#[test]
fn a_stop_waits_for_the_step_at_hand() {
    let (thread, step) = in_a_step();
    thread.stop_soon();
    let (returned, has_returned) = channel();
    let waiting = thread::spawn(move || {
        thread.wait(Instant::now() + Duration::from_secs(600));
        let _ = returned.send(());
    });
    assert!(has_returned.recv_timeout(Duration::from_millis(20)).is_err(), "the step is at hand");
    drop(step);
    waiting.join().expect("it does not panic");
}

#[test]
fn a_step_that_takes_too_long_is_left() {
    let (thread, step) = in_a_step();
    thread.stop_soon();
    thread.wait(Instant::now() + Duration::from_millis(20));
    // It is still at its step.
    step.send(()).expect("somebody listens");
}
