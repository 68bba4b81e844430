//! Every system that is installed here is started, measured for a moment, and ended; those that are not are skipped with a
//! line. What the figures are is of no interest here, only that all are there and make sense.

use std::path::Path;
use std::time::Duration;

use stemedb_bench::load::LoadError;
use stemedb_bench::system::{Experiment, Name, Programs, Quantity, Record, Site, SystemError};

/// How long a system is measured. A shared disk may be held up for longer than a moment, in which a store that waits for it
/// answers nothing: then it is measured for longer.
const DURATIONS: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(10)];

/// Measures a system for a moment. Gives nothing when it is not installed here.
fn measure(name: Name) -> Vec<Experiment> {
    let bench = Path::new(env!("CARGO_BIN_EXE_stemedb-bench"));
    // The server is of another package: it is there when the whole workspace was built.
    let programs = Programs { stemedb: bench.with_file_name("stemedb-api"), bench: bench.to_owned() };
    let system = name.system(&programs);
    if let Some(reason) = system.missing() {
        println!("skipped {name}: {reason}");
        return Vec::new();
    }
    if let Err(error) = Site::enter() {
        println!("skipped {name}: CPUs 0 and 1 are needed: {error}");
        return Vec::new();
    }
    // On a disk, and where PostgreSQL, which runs as another user, can get to.
    let parent = tempfile::tempdir_in("/var/tmp").expect("there is a directory for tests");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(parent.path(), open).expect("it is ours");
    let mut announce = |_| ();
    let mut record = Record::new(&mut announce);
    let mut durations = DURATIONS.into_iter();
    let mut duration = durations.next().expect("there are some");
    loop {
        let site = Site {
            parent: parent.path().to_owned(),
            warm_up: Duration::from_millis(50),
            duration,
            memory_claims: Some(1000),
        };
        match system.measure(&site, &mut record) {
            Ok(()) => break,
            // Nothing was answered, or what measures was kept from running: that shows nothing.
            Err(error @ (SystemError::Load(LoadError::Stopped(_)) | SystemError::Unanswered)) => {
                println!("{name}, {duration:?}: {error}");
                duration = durations.next().unwrap_or_else(|| panic!("{name}: {error}"));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    for (experiment, measurement) in record.measured() {
        assert!(!measurement.values.is_empty(), "{name}, {experiment}");
        for (quantity, value) in &measurement.values {
            let may_be_zero = matches!(
                quantity,
                Quantity::Unanswered | Quantity::LatenessP99Us | Quantity::ServerCpus | Quantity::ServerCpuUs
            );
            assert!(
                value.is_finite() && (*value > 0.0 || may_be_zero),
                "{name}, {experiment}: {quantity:?} is {value}"
            );
        }
        assert!(!system.version().is_empty());
        assert!(!system.caveats().is_empty());
    }
    let left: Vec<_> = std::fs::read_dir(parent.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{name} left {left:?}");
    record.into_measured().into_keys().collect()
}

fn assert_measured(name: Name, experiments: &[Experiment]) {
    let measured = measure(name);
    assert!(
        measured.is_empty() || experiments.iter().all(|experiment| measured.contains(experiment)),
        "{measured:?}"
    );
}

#[test]
fn stemedb_is_measured() {
    assert_measured(
        Name::StemeDb,
        &[Experiment::Write(64), Experiment::Query(64), Experiment::Recovery, Experiment::MemoryRestarted],
    );
}

#[test]
fn redis_is_measured() {
    assert_measured(Name::Redis, &[Experiment::Write(1), Experiment::Write(256)]);
}

#[test]
fn nginx_is_measured() {
    assert_measured(Name::Nginx, &[Experiment::Empty(1), Experiment::EmptyGet(64), Experiment::File(64)]);
}

#[test]
fn postgres_is_measured() {
    assert_measured(Name::Postgres, &[Experiment::Write(64), Experiment::Batch(8)]);
}

#[test]
fn etcd_is_measured() {
    assert_measured(Name::Etcd, &[Experiment::Write(64)]);
}

#[test]
fn nats_is_measured() {
    assert_measured(Name::Nats, &[]);
}

#[test]
fn sqlite_is_measured() {
    assert_measured(Name::Sqlite, &[Experiment::Write(1)]);
}

#[test]
fn fio_is_measured() {
    assert_measured(Name::Fio, &[Experiment::DiskWrite(4), Experiment::DiskWrite(64)]);
}
