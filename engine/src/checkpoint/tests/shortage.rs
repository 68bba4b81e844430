//! Goal: upkeep that is short of memory or open files takes nothing for damaged, and goes on when there are some. Method: a store
//! whose files can be neither opened nor read for as long as the test wants it so.

use std::sync::atomic::{AtomicI32, Ordering};

use super::failing_log::FailingLog;
use super::*;

/// The error number that says what is short; 0 if nothing is.
#[derive(Debug, Clone, Default)]
pub(super) struct Shortage(Arc<AtomicI32>);

impl Shortage {
    fn set(&self, errno: i32) {
        self.0.store(errno, Ordering::Relaxed);
    }

    pub(super) fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Files that are open already can be read, only no further ones be opened.
    pub(super) fn is_of_files(&self) -> bool {
        [libc::EMFILE, libc::ENFILE].contains(&self.0.load(Ordering::Relaxed))
    }
}

struct ShortTables {
    tables: MemoryTables,
    shortage: Shortage,
}

impl TableStorage for ShortTables {
    fn free_bytes(&self) -> io::Result<u64> {
        self.tables.free_bytes()
    }

    fn list(&self) -> io::Result<Vec<TableFile>> {
        self.tables.list()
    }

    fn open(&self, number: TableNumber) -> io::Result<Box<dyn TableSource>> {
        if self.shortage.is_of_files() {
            self.shortage.check()?;
        }
        let table = self.tables.open(number)?;
        Ok(Box::new(ShortTable { table, shortage: self.shortage.clone() }))
    }

    fn create(&self, number: TableNumber) -> io::Result<Box<dyn TableSink>> {
        self.tables.create(number)
    }

    fn remove(&self, number: TableNumber) -> io::Result<()> {
        self.tables.remove(number)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        self.tables.remove_unfinished()
    }

    fn path(&self, number: TableNumber) -> PathBuf {
        self.tables.path(number)
    }
}

struct ShortTable {
    table: Box<dyn TableSource>,
    shortage: Shortage,
}

impl TableSource for ShortTable {
    fn bytes(&self) -> io::Result<u64> {
        self.table.bytes()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.shortage.is_of_files() {
            self.shortage.check()?;
        }
        self.table.read(offset, buffer)
    }
}

/// Takes steps until one fails, which is for the shortage and nothing else.
fn run_short(world: &mut World) {
    let error =
        (0..10).find_map(|_| world.upkeep.step(NOW, &mut |_| true).err()).expect("something is short");
    assert!(error.is_shortage() && !error.is_no_space(), "{error:?}");
    assert_eq!(error.damaged_place(), None);
}

/// A world where something is short whenever the test says so.
fn short_world() -> (World, Shortage) {
    let mut world = World::new(1);
    let shortage = Shortage::default();
    let log = FailingLog { log: world.log.clone(), shortage: shortage.clone(), ..FailingLog::default() };
    let store = Store {
        log: Box::new(log),
        tables: Box::new(ShortTables { tables: world.tables.clone(), shortage: shortage.clone() }),
        manifest: Box::new(world.manifest.clone()),
    };
    let (writing, facts) = (writing(&world.lanes), UpkeepFacts::default());
    world.upkeep = Upkeep::new(store, world_config(), Manifest::empty(), writing, facts);
    (world, shortage)
}

/// Goal: no segment is removed that the archive lacks, although it could not be looked which these are. Method: a mark of the archive that is told
/// while files are short, and once more.
#[test]
fn a_mark_of_the_archive_counts_when_what_it_lacks_is_known() {
    let (mut world, shortage) = short_world();
    world.upkeep.config_mut().archive_hold_bytes_max = u64::MAX;
    (0..60).for_each(|at| world.claim(at, None, 4_000));
    world.keep_up(100, None, false);
    let before = world.log.list().unwrap();
    shortage.set(libc::EMFILE);
    world.upkeep.archived(Covered::default()).expect_err("the directory cannot be opened");
    shortage.set(0);
    world.upkeep.archived(Covered::default()).expect("it can");
    work(&mut world);
    assert_eq!(world.log.list().unwrap(), before);
    assert!(world.upkeep.facts().snapshot().segments_held > 0);
}

/// Goal: a segment that was removed while the scrub went over them is no damage, although it could not be looked whether it is there. Method:
/// all that may be removed is, after any number of steps of the scrub, and then files are short.
#[test]
fn a_segment_of_which_it_is_not_known_whether_it_is_there_is_no_damage() {
    let mut skipped = 0;
    for steps in 0..12 {
        let (mut world, shortage) = short_world();
        (0..60).for_each(|at| world.claim(at, None, 4_000));
        world.keep_up(100, None, false);
        (0..steps).for_each(|_| assert!(matches!(world.upkeep.scrub(NOW), Scrubbed::Sound { .. })));
        assert!(work(&mut world).iter().any(|worked| matches!(worked, Worked::RemovedSegment(_))));
        shortage.set(libc::EMFILE);
        loop {
            match world.upkeep.scrub(NOW) {
                Scrubbed::Passed => break,
                Scrubbed::Skipped { .. } => skipped += 1,
                Scrubbed::Sound { .. } => {}
                Scrubbed::Damaged(place) => panic!("after {steps} steps: {place:?}"),
            }
        }
    }
    assert!(skipped > 12, "{skipped} files were passed over");
}

#[test]
fn a_shortage_is_no_damage_and_upkeep_goes_on_after_it() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN] {
        let (mut world, shortage) = short_world();

        // What is to be checkpointed cannot be read.
        (0..60).for_each(|at| world.claim(at, None, 4_000));
        world.upkeep.lane_writes(LaneId(0), world.lanes[0].writing().unwrap());
        shortage.set(errno);
        run_short(&mut world);
        shortage.set(0);
        assert!(work(&mut world).contains(&Worked::Checkpointed));

        // Nor what is to be merged, or checked.
        world.tables.set_free_bytes(0);
        while world.upkeep.manifest().tables.len() < 4 {
            (0..60).for_each(|at| world.claim(at, None, 4_000));
            work(&mut world);
        }
        world.tables.set_free_bytes(u64::MAX);
        shortage.set(errno);
        run_short(&mut world);
        assert!(matches!(world.upkeep.scrub(NOW), Scrubbed::Skipped { .. }));
        assert_eq!(world.upkeep.facts().damage(), []);
        shortage.set(0);
        assert!(work(&mut world).contains(&Worked::Merged));
        let facts = world.upkeep.facts().snapshot();
        assert_eq!((facts.failures, facts.has_ended), (2, false));
        world.check();
    }
}
