//! Disks that find no space, wherever that shows.

use super::failing_log::FailingLog;
use super::*;

/// A disk that is full once so many more changes are made, for tables and manifest alike.
#[derive(Clone)]
struct FullDisk {
    tables: MemoryTables,
    manifest: MemoryManifest,
    errno: i32,
    changes_left: Arc<Mutex<u64>>,
    /// How often its tables cannot be listed.
    lists_failing: Arc<Mutex<u64>>,
}

impl FullDisk {
    fn change(&self) -> io::Result<()> {
        let mut left = self.changes_left.lock().expect("no holder of this lock panics");
        *left = left.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(self.errno))?;
        Ok(())
    }
}

impl TableStorage for FullDisk {
    fn free_bytes(&self) -> io::Result<u64> {
        self.tables.free_bytes()
    }

    fn list(&self) -> io::Result<Vec<TableFile>> {
        let mut failing = self.lists_failing.lock().expect("no holder of this lock panics");
        match failing.checked_sub(1) {
            None => self.tables.list(),
            Some(left) => {
                *failing = left;
                Err(io::Error::from_raw_os_error(libc::ENOMEM))
            }
        }
    }

    fn open(&self, number: TableNumber) -> io::Result<Box<dyn TableSource>> {
        self.tables.open(number)
    }

    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>> {
        self.change()?;
        Ok(Box::new(FullSink { disk: self.clone(), sink: self.tables.create(number)? }))
    }

    fn remove(&self, number: TableNumber) -> io::Result<()> {
        self.change()?;
        self.tables.remove(number)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        self.change()?;
        self.tables.remove_unfinished()
    }

    fn path(&self, number: TableNumber) -> PathBuf {
        self.tables.path(number)
    }
}

impl ManifestStorage for FullDisk {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        self.manifest.read()
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), ReplaceError> {
        self.change()?;
        self.manifest.replace(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.manifest.sync()
    }

    fn path(&self) -> PathBuf {
        self.manifest.path()
    }
}

struct FullSink {
    disk: FullDisk,
    sink: Box<dyn TableSink>,
}

impl TableSink for FullSink {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.change()?;
        self.sink.append(bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.disk.change()?;
        self.sink.finish()
    }
}

/// Goal: whichever layer finds no space, upkeep says that it was that, and nothing else. Method: a disk that is full from each
/// change on, in turn, until all can be done; the log's own error, which no disk of tables can cause, is made by hand.
#[test]
fn no_space_is_recognised_through_every_layer() {
    for (errno, is_no_space) in [(libc::ENOSPC, true), (libc::EDQUOT, true), (libc::EIO, false)] {
        let mut seen = BTreeSet::new();
        for changes in 0.. {
            let mut world = World::new(1);
            (0..100).for_each(|at| world.claim(at % 20, None, 4_000));
            let disk = FullDisk {
                tables: world.tables.clone(),
                manifest: world.manifest.clone(),
                errno,
                changes_left: Arc::new(Mutex::new(changes)),
                lists_failing: Arc::default(),
            };
            let store = Store {
                log: Box::new(world.log.clone()),
                tables: Box::new(disk.clone()),
                manifest: Box::new(disk),
            };
            // Several tables a checkpoint: the first of them are written while the log is read.
            let config = UpkeepConfig {
                checkpoint_bytes: 200_000,
                sort_bytes_max: 40_000,
                step_bytes: STEP_BYTES,
                tier_bytes: TIER_BYTES,
                spare_bytes: 0,
                segment_bytes: SEGMENT_BYTES_LEAST,
                core_log_bytes_max: u64::MAX,
                archive_hold_bytes_max: 0,
            };
            let Err(error) = work_all(store, config, writing(&world.lanes)) else { break };
            assert_eq!(error.is_no_space(), is_no_space, "{error:?}");
            seen.insert(match error {
                UpkeepError::Log(RecoveryError::Replay { .. }) => "a table, while the log is read",
                UpkeepError::Log(_) => "the log",
                UpkeepError::Table(_) => "a table",
                UpkeepError::Manifest { .. } => "the manifest",
                UpkeepError::SyncManifest { .. } => "the manifest's name",
                UpkeepError::List { .. } => "a list",
                UpkeepError::RemoveSegment { .. } | UpkeepError::SyncRemoval { .. } => "a segment's removal",
                UpkeepError::RemoveTable { .. } => "a table's removal",
            });
        }
        let all =
            ["a list", "a table", "a table's removal", "a table, while the log is read", "the manifest"];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
        let source = || io::Error::from_raw_os_error(errno);
        let read = RecoveryError::Read { path: PathBuf::new(), offset: 0, source: source() };
        let segment = SegmentId { lane: LaneId(0), number: crate::log::SegmentNumber::FIRST };
        let by_hand = [
            UpkeepError::from(RecoveryError::List { source: source() }),
            UpkeepError::from(read),
            UpkeepError::RemoveSegment { segment, source: source() },
        ];
        assert!(by_hand.iter().all(|error| error.is_no_space() == is_no_space), "{by_hand:?}");
        assert!(!by_hand.iter().any(UpkeepError::is_shortage), "{by_hand:?}");
    }
}

/// Goal: a server that starts where there is no room keeps its store in order as soon as there is some, and an operator is told of
/// the tables that it removes. Method: a disk on which the first changes find no space, and a table that no manifest lists.
#[test]
fn upkeep_that_finds_no_space_at_its_start_begins_when_there_is_some() {
    let mut world = World::new(1);
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    work(&mut world);
    let listed = world.upkeep.manifest().tables[0].facts.number;
    let unlisted = TableNumber(listed.0 + 70);
    world.tables.insert(unlisted, world.tables.bytes(listed).expect("it is listed"));
    let changes_left = Arc::new(Mutex::new(0));
    let disk = FullDisk {
        tables: world.tables.clone(),
        manifest: world.manifest.clone(),
        errno: libc::ENOSPC,
        changes_left: Arc::clone(&changes_left),
        lists_failing: Arc::default(),
    };
    let store =
        Store { log: Box::new(world.log.clone()), tables: Box::new(disk.clone()), manifest: Box::new(disk) };
    let manifest = Manifest::open(&world.manifest, &world.tables).expect("the store is sound");
    let facts = UpkeepFacts::default();
    world.upkeep = Upkeep::new(store, world_config(), manifest, writing(&world.lanes), facts);
    for failures in 1..4 {
        let error = world.upkeep.step(NOW, &mut |_| true).expect_err("there is no room");
        assert!(error.is_no_space(), "{error:?}");
        assert_eq!(world.upkeep.facts().snapshot().failures, failures);
    }
    *changes_left.lock().expect("no holder of this lock panics") = u64::MAX;
    let opened = world.upkeep.step(NOW, &mut |_| true).expect("there is room");
    assert_eq!(opened, Worked::Opened { unlisted: vec![unlisted] });
    assert!(work(&mut world).contains(&Worked::RemovedTable(unlisted)));
    assert!(!world.upkeep.facts().snapshot().has_ended);
    world.check();
}

/// Goal: what a step that failed has finished is removed, although it could not be looked for at once. Method: disks with space for so
/// many changes, up to the one that has none left for the manifest behind the table; the list of tables fails once besides.
#[test]
fn a_table_that_is_left_behind_is_removed_although_it_was_not_found_at_once() {
    for changes in 1.. {
        let mut world = World::new(1);
        (0..60).for_each(|at| world.claim(at, None, 4_000));
        let disk = FullDisk {
            tables: world.tables.clone(),
            manifest: world.manifest.clone(),
            errno: libc::ENOSPC,
            changes_left: Arc::new(Mutex::new(u64::MAX)),
            lists_failing: Arc::default(),
        };
        let set = |what: &Mutex<u64>, to| *what.lock().expect("no holder of this lock panics") = to;
        let (changes_left, lists_failing) = (Arc::clone(&disk.changes_left), Arc::clone(&disk.lists_failing));
        let store = Store {
            log: Box::new(world.log.clone()),
            tables: Box::new(disk.clone()),
            manifest: Box::new(disk),
        };
        let (writing, facts) = (writing(&world.lanes), UpkeepFacts::default());
        world.upkeep = Upkeep::new(store, world_config(), Manifest::empty(), writing, facts);
        world.upkeep.step(NOW, &mut |_| true).expect("there is room to begin");
        set(&changes_left, changes);
        set(&lists_failing, 1);
        let error = world.upkeep.step(NOW, &mut |_| true).expect_err("there is no room for a checkpoint");
        assert!(error.is_no_space(), "{error:?}");
        set(&changes_left, u64::MAX);
        let left = world.tables.list().expect("it is memory");
        if let [left] = left[..] {
            assert!(matches!(error, UpkeepError::Manifest { .. }), "{error:?}");
            assert!(work(&mut world).contains(&Worked::RemovedTable(left.number)));
            world.check();
            return;
        }
    }
}

/// Goal: merges leave the log the room that it needs, and wait for more. Method: room for a byte less than four tables and what is
/// to spare, then for that byte too.
#[test]
fn a_merge_waits_until_there_is_room_for_what_it_writes_and_for_the_log() {
    let mut world = World::new(1);
    world.tables.set_free_bytes(0);
    while world.upkeep.manifest().tables.len() < 4 {
        (0..60).for_each(|at| world.claim(at, None, 4_000));
        world.upkeep.lane_writes(LaneId(0), world.lanes[0].writing().expect("it was opened"));
        while world.upkeep.step(NOW, &mut |_| true).unwrap() != Worked::Idle {}
    }
    let merges = |world: &World| world.upkeep.facts().snapshot().merges;
    let tables = &world.upkeep.manifest().tables;
    let merged = pick(
        &tables.iter().map(|table| TableSize { bytes: table.facts.bytes }).collect::<Vec<_>>(),
        TIER_BYTES,
    )
    .expect("there are as many as are merged");
    let bytes =
        tables[merged].iter().map(|table| table.facts.bytes).sum::<u64>() + world_config().spare_bytes;
    world.tables.set_free_bytes(bytes - 1);
    assert_eq!((world.upkeep.step(NOW, &mut |_| true).unwrap(), merges(&world)), (Worked::Idle, 0));
    world.tables.set_free_bytes(bytes);
    while world.upkeep.step(NOW, &mut |_| true).unwrap() != Worked::Idle {}
    assert!(merges(&world) > 0);
    world.check();
}

/// Goal: upkeep goes on after a removal of which the directory found no space to take note, and whoever counts the bytes of segments is told
/// of each one that is gone, once. Method: such a log; the server tries on after each error that says so, until there is nothing left to do.
#[test]
fn a_segment_that_is_gone_is_not_removed_again() {
    let mut world = World::new(1);
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    let log = FailingLog { log: world.log.clone(), unnoted_removals_left: 2, ..FailingLog::default() };
    let store = Store {
        log: Box::new(log),
        tables: Box::new(world.tables.clone()),
        manifest: Box::new(world.manifest.clone()),
    };
    let (writing, facts) = (writing(&world.lanes), UpkeepFacts::default());
    world.upkeep = Upkeep::new(store, world_config(), Manifest::empty(), writing, facts);
    let before = world.log.list().unwrap();
    let (mut failures, mut told) = (0, Vec::new());
    loop {
        let done = match world.upkeep.step(NOW, &mut |_| true) {
            Ok(Worked::Idle) => break,
            Ok(worked) => Some(worked),
            Err(error) => {
                assert!(error.is_no_space(), "{error:?}");
                failures += 1;
                error.done().cloned()
            }
        };
        told.extend(done.into_iter().filter_map(|worked| match worked {
            Worked::RemovedSegment(file) => Some(file),
            _ => None,
        }));
    }
    assert_eq!(failures, 2);
    let there = world.log.list().unwrap();
    let mut gone: Vec<_> = before.into_iter().filter(|file| !there.contains(file)).collect();
    assert!(gone.len() > failures, "{gone:?}");
    gone.sort_unstable_by_key(|file| file.id);
    told.sort_unstable_by_key(|file| file.id);
    assert_eq!(told, gone);
    let facts = world.upkeep.facts().snapshot();
    let bytes = gone.iter().map(|file| file.bytes).sum();
    assert_eq!((facts.segments_removed, facts.segment_bytes_removed), (gone.len() as u64, bytes));
    world.check();
}

/// Does all that there is to do in a store, or as much as can be done.
fn work_all(
    store: Store,
    config: UpkeepConfig,
    writing: BTreeMap<LaneId, crate::log::SegmentNumber>,
) -> Result<(), UpkeepError> {
    let mut upkeep = Upkeep::new(store, config, Manifest::empty(), writing, UpkeepFacts::default());
    while upkeep.step(NOW, &mut |_| true)? != Worked::Idle {}
    Ok(())
}
