//! Goal: backups and restores do what the runbooks say, to servers under load as to stopped ones.
//!
//! Method: the commands are typed as they stand there, in an installation whose systemctl is a stand-in, and the claims
//! that clients know to be acknowledged are looked for in what comes out.

mod by_hand;
mod diagnosing;
mod keeping;
mod moments;
mod restoring;
mod taking;
mod typing;
mod validating;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use serde_json::Value;
use stemedb_engine::checkpoint::{DirManifest, OpenTables, ReadError};
use stemedb_engine::claim::Assertion;
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::recover_after;
use stemedb_engine::log::storage::DirStorage;
use stemedb_engine::table::DirTables;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Installation};

/// The subjects of all claims that a log holds, and the tables beside it.
fn subjects(wal: &Path) -> BTreeSet<String> {
    let mut subjects = BTreeSet::new();
    let mut count = 0;
    let db = wal.with_file_name(wal.file_name().expect("a name").to_string_lossy().replace("wal", "db"));
    let tables =
        OpenTables::open(&DirManifest::new(&db), &DirTables::new(&db)).expect("the tables are sound");
    let read = tables.read_after(0, &(0..1024), &mut |claims| {
        subjects.extend(claims.iter().map(|claim| claim.assertion.claim.subject.as_str().to_owned()));
        count += claims.len();
        Ok::<_, ReadError>(())
    });
    read.expect("the tables are sound");
    let recovered = recover_after(&DirStorage::new(wal), tables.covered(), &mut |records| {
        for record in records.iter().filter(|record| record.kind == RecordKind::Assertion) {
            let assertion = Assertion::decode(record.payload).expect("a record that recovery gives is sound");
            subjects.insert(assertion.claim.subject.as_str().to_owned());
            count += 1;
        }
        Ok(())
    });
    recovered.expect("the log is sound");
    assert_eq!(count, subjects.len(), "no claim is there twice");
    subjects
}

fn write(client: &mut Client, subject: &str) {
    let claim = TestClaim::new(subject, "is", "x".repeat(200));
    client.post("/v1/assert", claim.json()).expect("an answer").ok();
}

fn write_all(installation: &Installation, prefix: &str, count: u64) {
    let mut client = installation.client();
    (0..count).for_each(|number| write(&mut client, &format!("{prefix}/{number}")));
}

/// What is in `metadata.json` of a directory.
fn metadata(directory: &Path) -> Value {
    let text = fs::read(directory.join("metadata.json")).expect("there is metadata");
    serde_json::from_slice(&text).expect("it is JSON")
}

/// Clients that write claims of ever new subjects `w/<client>/<number>` and know how many are acknowledged.
fn under_load<T>(installation: &Installation, clients: u64, act: impl FnOnce(&[AtomicU64]) -> T) -> T {
    let acknowledged: Vec<_> = (0..clients).map(|_| AtomicU64::new(0)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, count) in acknowledged.iter().enumerate() {
            let mut client = installation.client();
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let next = count.load(Ordering::Relaxed);
                    write(&mut client, &format!("w/{number}/{next}"));
                    count.store(next + 1, Ordering::SeqCst);
                }
            });
        }
        let result = act(&acknowledged);
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

fn counts(acknowledged: &[AtomicU64]) -> Vec<u64> {
    acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect()
}

fn wait_for_progress(acknowledged: &[AtomicU64], more: u64) {
    let goal: u64 = counts(acknowledged).iter().sum::<u64>() + more;
    while counts(acknowledged).iter().sum::<u64>() < goal {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Starts the service again, and waits until all claims are in tables that were in the log before.
fn move_into_tables(installation: &Installation, claims: u64) {
    installation.stop();
    installation.start();
    let figure = |name: &str| {
        let line = format!("curl --noproxy '*' -s {}/metrics | sed -n 's/^{name} //p'", installation.url());
        installation.typed(&line).trim().parse::<u64>().expect("a figure")
    };
    while figure("stemedb_tables_assertions") < claims {
        assert_eq!(figure("stemedb_upkeep_failed"), 0, "{}", installation.log());
        thread::sleep(Duration::from_millis(20));
    }
}
