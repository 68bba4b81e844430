use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;
use std::{fs, io};

use super::*;
use crate::log::SegmentNumber;

fn start(directory: &Path) -> Background {
    let config = BackgroundConfig { directory: directory.to_owned(), jobs_max: 4 };
    Background::start(&config).expect("direct I/O works in the directory for temporary files")
}

/// Submits a job and waits for its outcome.
fn prepare(background: &Background, path: PathBuf, bytes: u64) -> Result<(), BackgroundError> {
    let (done, outcome) = mpsc::channel();
    background
        .handle()
        .prepare_segment(PrepareSegment::new(path, bytes, LaneProgress::waiting()), move |result| {
            done.send(result).expect("the test waits");
        })
        .expect("the queue has room");
    outcome.recv().expect("the callback is called")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it exists");
    let name =
        |entry: io::Result<fs::DirEntry>| entry.expect("readable").file_name().into_string().expect("UTF-8");
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_prepared_segment_is_all_zeros_and_allocated() {
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    // Not a multiple of what is written at a time.
    let bytes = (2 << 20) + 3 * 4096;
    let path = directory.path().join("segment-00-0000000001.log");
    prepare(&background, path.clone(), bytes).expect("room on the disk");
    assert_eq!(names(directory.path()), ["segment-00-0000000001.log"]);
    assert!(fs::read(&path).expect("readable") == vec![0; bytes as usize]);
    let metadata = fs::metadata(&path).expect("it exists");
    assert!(metadata.blocks() * 512 >= bytes, "{} blocks are allocated", metadata.blocks());
    assert_eq!(background.stalls(), 0);
}

#[test]
fn a_segment_is_never_replaced_but_an_unfinished_one_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    let (taken, free) = (directory.path().join("1.log"), directory.path().join("2.log"));
    fs::write(&taken, "acknowledged").expect("room on the disk");
    let unfinished = directory.path().join("2.log.prepare");
    fs::write(&unfinished, "left behind by a crash").expect("room on the disk");
    let unfinished = fs::File::open(unfinished).expect("it was written");
    let error = prepare(&background, taken.clone(), 8192).expect_err("the name is taken");
    assert_eq!(error.errno(), Some(libc::EEXIST));
    assert!(error.to_string().contains("1.log"), "{error}");
    assert_eq!(fs::read(&taken).expect("readable"), b"acknowledged");
    prepare(&background, free.clone(), 8192).expect("room on the disk");
    assert_eq!(fs::read(&free).expect("readable"), vec![0; 8192]);
    assert_eq!(unfinished.metadata().expect("it is open").len(), 0, "it was cut down");
    assert_eq!(names(directory.path()), ["1.log", "2.log"]);
}

#[test]
fn a_failure_is_an_outcome_and_the_next_job_works() {
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    let nowhere = directory.path().join("missing").join("1.log");
    let error = prepare(&background, nowhere, 4096).expect_err("there is no such directory");
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert!(error.to_string().contains("missing"), "{error}");
    prepare(&background, directory.path().join("1.log"), 4096).expect("room on the disk");
}

/// A disk without enough room shows at once, by its error number, and nothing is left behind.
#[test]
fn a_full_disk_is_told_before_anything_is_written() {
    // A file system in memory knows its bound, and refuses without filling up first.
    let directory = tempfile::tempdir_in("/dev/shm").expect("Linux has a tmpfs there");
    let background = start(directory.path());
    let error =
        prepare(&background, directory.path().join("1.log"), 1 << 50).expect_err("no machine has this much");
    assert_eq!(error.errno(), Some(libc::ENOSPC));
    assert!(error.to_string().contains("free or add disk space"), "{error}");
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn a_start_in_a_missing_directory_fails() {
    let config = BackgroundConfig { directory: PathBuf::from("/nonexistent/data"), jobs_max: 1 };
    let error = Background::start(&config).err().expect("there is no such directory");
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert!(error.to_string().contains("/nonexistent/data"), "{error}");
}

/// Several start side by side, as several servers of one user or several tests do.
#[test]
fn several_start_side_by_side() {
    let directory = tempfile::tempdir().expect("a directory");
    let backgrounds: Vec<Background> = (0..3).map(|_| start(directory.path())).collect();
    for (number, background) in backgrounds.iter().enumerate() {
        prepare(background, directory.path().join(format!("{number}.log")), 4096).expect("room on the disk");
    }
}

/// What waits when the background stops ends with `Stopped`, exactly once, and later jobs are refused. A queue that is
/// full refuses as well, and does not call back.
#[test]
fn every_accepted_job_has_exactly_one_outcome() {
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    let handle = background.handle();
    let (done, outcomes) = mpsc::channel();
    // The first job's callback holds the executor up until the others are queued.
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let segment = |number: u32| {
        PrepareSegment::new(directory.path().join(format!("{number}.log")), 4096, LaneProgress::waiting())
    };
    let first_done = done.clone();
    handle
        .prepare_segment(segment(0), move |outcome| {
            entered.send(()).expect("the test waits");
            released.recv().expect("the test releases");
            first_done.send((0, outcome.is_ok())).expect("the test waits");
        })
        .expect("the queue is empty");
    has_entered.recv().expect("the job is done");
    for number in 1..=4 {
        let done = done.clone();
        handle
            .prepare_segment(segment(number), move |outcome| {
                assert!(matches!(outcome, Err(BackgroundError::Stopped)));
                done.send((number, outcome.is_ok())).expect("the test waits");
            })
            .expect("the queue has room");
    }
    let unwanted = |_| panic!("a refused job has no outcome");
    assert_eq!(handle.prepare_segment(segment(5), unwanted), Err(SubmitError::Full { jobs_max: 4 }));
    background.shared.queue.stop();
    assert_eq!(handle.prepare_segment(segment(6), unwanted), Err(SubmitError::Stopped));
    release.send(()).expect("the callback waits");
    drop(background);
    drop(done);
    let mut outcomes: Vec<(u32, bool)> = outcomes.iter().collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(0, true), (1, false), (2, false), (3, false), (4, false)]);
    assert_eq!(names(directory.path()), ["0.log"]);
}

/// A job that is at work when the background stops ends early and leaves nothing behind.
#[test]
fn a_job_at_work_is_abandoned() {
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    background.shared.queue.stop();
    let (shared, segment) = (
        Arc::clone(&background.shared),
        PrepareSegment::new(directory.path().join("1.log"), 4096, LaneProgress::waiting()),
    );
    let at_work = glommio::LocalExecutorBuilder::default()
        .io_memory(0)
        .spawn(|| prepare_segment::prepare(segment, shared))
        .expect("a thread");
    let outcome = at_work.join().expect("the executor works");
    assert!(matches!(outcome, Err(BackgroundError::Stopped)), "{outcome:?}");
    assert_eq!(names(directory.path()), [""; 0]);
}

/// An executor that is held up is noticed.
#[test]
fn the_watchdog_counts_stalls() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = BackgroundConfig { directory: directory.path().to_owned(), jobs_max: 1 };
    let background = Background::start_with(&config, Duration::from_millis(1), Duration::from_millis(50))
        .expect("direct I/O works in the directory for temporary files");
    let shared = Arc::clone(&background.shared);
    let (done, seen) = mpsc::channel();
    background
        .handle()
        .prepare_segment(
            PrepareSegment::new(directory.path().join("1.log"), 4096, LaneProgress::waiting()),
            move |_| {
                // The executor's thread does nothing else until the watchdog has seen it.
                while shared.stalls.load(Ordering::Relaxed) == 0 {
                    thread::yield_now();
                }
                done.send(()).expect("the test waits");
            },
        )
        .expect("the queue is empty");
    seen.recv().expect("the stall is counted");
    assert!(background.stalls() > 0);
}

/// What the lane does not need yet is not hurried: of this segment, all but the last mebibyte takes a second.
#[test]
fn a_segment_that_its_lane_does_not_need_yet_is_not_hurried() {
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    let mut lane = LaneProgress::waiting();
    lane.reached(SegmentNumber::FIRST, 0);
    let (done, outcome) = mpsc::channel();
    let began = Instant::now();
    let segment = PrepareSegment::new(directory.path().join("1.log"), 9 << 20, lane);
    let prepared = move |result: Result<_, _>| done.send(result.is_ok()).expect("the test waits");
    background.handle().prepare_segment(segment, prepared).expect("the queue has room");
    assert_eq!(outcome.recv(), Ok(true));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

/// It holds up nobody, and goes on when its lane does: left alone this segment takes sixteen seconds, at full speed one or two.
#[test]
fn a_segment_is_prepared_as_its_lane_needs_it() {
    const BYTES: u64 = 128 << 20;
    const LEFT_ALONE: Duration = Duration::from_secs(15);
    let directory = tempfile::tempdir().expect("a directory");
    let background = start(directory.path());
    let mut lane = LaneProgress::waiting();
    lane.reached(SegmentNumber::FIRST, 0);
    let (done, outcome) = mpsc::channel();
    let segment = PrepareSegment::new(directory.path().join("1.log"), BYTES, lane.clone());
    let told = done.clone();
    let began = Instant::now();
    let prepared = move |result: Result<_, _>| told.send((1, result.is_ok())).expect("the test waits");
    background.handle().prepare_segment(segment, prepared).expect("the queue has room");
    // Small enough to be first on any disk.
    let other = PrepareSegment::new(directory.path().join("2.log"), 4 << 20, LaneProgress::waiting());
    let prepared = move |result: Result<_, _>| done.send((2, result.is_ok())).expect("the test waits");
    background.handle().prepare_segment(other, prepared).expect("the queue has room");
    assert_eq!(outcome.recv(), Ok((2, true)), "the lane that waits is served first");
    lane.reached(SegmentNumber::FIRST, BYTES / 2);
    assert_eq!(outcome.recv(), Ok((1, true)));
    assert!(began.elapsed() < LEFT_ALONE, "it goes on as if the lane did not need it");
}
