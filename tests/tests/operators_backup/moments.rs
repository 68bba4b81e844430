//! A restore goes back to a moment, or to a record, of the log that was current then.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use stemedb_tests::Installation;

use crate::{counts, metadata, move_into_tables, subjects, under_load, wait_for_progress, write_all};

#[test]
fn a_log_goes_back_to_any_moment() {
    let installation = Installation::new();
    installation.start();
    // Where there is an archive, the log is kept for it; and the first moments need a backup whose tables do not go beyond them.
    installation.typed("stemedb-admin archive run && stemedb-admin backup run");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    let moments = under_load(&installation, 4, |acknowledged| {
        let mut moments = Vec::new();
        for round in 0..10 {
            wait_for_progress(acknowledged, 150);
            // Whatever is acknowledged before the time is taken is there; what is not yet begun afterwards is not.
            let before = counts(acknowledged);
            let time = now();
            moments.push((time, before, counts(acknowledged)));
            if round == 5 {
                installation.typed("./scripts/backup-stemedb.sh");
            }
        }
        moments
    });
    installation.stop();
    installation.typed("cp -a data data.all");
    for (time, before, after) in moments {
        let seconds = format!("{}.{:06}", time / 1_000_000, time % 1_000_000);
        installation.typed("rm -rf data && cp -a data.all data");
        let dry = installation.typed(&format!("stemedb-admin restore --target-time {seconds} --dry-run"));
        assert!(dry.contains("lane 0: ") && dry.contains(" dropped"), "{dry}");
        assert_eq!(
            installation.typed("ls data"),
            installation.typed("ls data.all"),
            "a dry run changes nothing"
        );
        let output = installation.typed(&format!("stemedb-admin restore --target-time {seconds} --yes 2>&1"));
        assert!(
            output.trim_end().lines().last().is_some_and(|line| line.contains("ready to accept connections")),
            "{output}"
        );
        let found = subjects(&installation.path("data/wal"));
        for (client, (&acknowledged, &begun)) in before.iter().zip(&after).enumerate() {
            let of_client = format!("w/{client}/");
            let there = found.iter().filter(|subject| subject.starts_with(&of_client)).count() as u64;
            assert!(
                (acknowledged..=begun + 1).contains(&there),
                "{there} of {acknowledged} to {begun}: {output}"
            );
            assert!((0..there).all(|number| found.contains(&format!("w/{client}/{number}"))), "no gap");
        }
        installation.start();
        assert_eq!(installation.assertion_count(), found.len() as u64);
        installation.stop();
    }
}

#[test]
fn a_log_that_was_given_up_is_not_mixed_with_the_one_that_went_on() {
    let installation = Installation::new();
    let now = || installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01").trim().to_owned();
    let back_to =
        |time: &str| installation.typed(&format!("stemedb-admin restore --target-time {time} --yes"));
    installation.start();
    write_all(&installation, "a", 10);
    // Where there is an archive, the log is kept for it.
    installation.typed("stemedb-admin archive run && stemedb-admin backup run");
    write_all(&installation, "b", 10);
    let branch = now();
    write_all(&installation, "given-up", 100);
    let given_up = now();
    installation.typed("stemedb-admin backup run");
    installation.stop();
    back_to(&branch);
    installation.start();
    write_all(&installation, "c", 10);
    let later = now();
    installation.stop();
    // Once the log that went on is only in its place, once it is also in a backup.
    for _ in 0..2 {
        installation.typed("rm -rf data.kept; cp -a data data.kept");
        for (time, count) in [(&later, 30), (&given_up, 120), (&branch, 20)] {
            installation.typed("rm -rf data; cp -a data.kept data");
            back_to(time);
            installation.start();
            assert_eq!(installation.assertion_count(), count);
            installation.stop();
        }
        installation.typed("rm -rf data; mv data.kept data; stemedb-admin backup run");
    }
}

/// Goal: a log that was given up does not come back for want of another one. Method: a restore to before the only backup's end, and another one to
/// a moment after that.
#[test]
fn the_only_backup_is_not_taken_for_one_of_another_log() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    let first = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01");
    write_all(&installation, "b", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.stop();
    installation.typed(&format!("stemedb-admin restore --target-time {} --yes", first.trim()));
    installation.start();
    assert_eq!(installation.assertion_count(), 50);
    write_all(&installation, "c", 5);
    let second = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01");
    write_all(&installation, "d", 5);
    installation.stop();
    let line = format!("stemedb-admin restore --target-time {} --yes", second.trim());
    let (code, said) = installation.refused(&line);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no backup in backups is of the log that was current"), "{said}");
    installation.start();
    assert_eq!(installation.assertion_count(), 60, "nothing was changed");
}

/// Goal: a record that the newest backup has in its tables, which cannot be cut, is reached from an older one, or refused in a line that says so.
/// Method: claims go into tables between two backups, while the log is kept for an archive.
#[test]
fn a_record_that_tables_hold_is_reached_from_an_older_backup() {
    let installation = Installation::new();
    installation.start();
    installation.typed("stemedb-admin archive run && stemedb-admin backup run");
    write_all(&installation, "a", 40);
    move_into_tables(&installation, 40);
    installation.typed("stemedb-admin backup run");
    write_all(&installation, "b", 10);
    installation.stop();
    let newest = metadata(&installation.backups()[1])["backup_id"].as_str().expect("an identity").to_owned();
    let line = format!("stemedb-admin restore --backup-id {newest} --target-lsn 0:4 --yes");
    let (_, text) = installation.refused(&line);
    let expected = format!("the tables of {newest} may hold record 4 of lane 0");
    assert!(text.contains(&expected) && text.contains("take an older backup"), "{text}");
    installation.typed("stemedb-admin restore --target-lsn 0:4 --yes");
    let found = subjects(&installation.path("data/wal"));
    let first: BTreeSet<_> = (0..found.len()).map(|number| format!("a/{number}")).collect();
    assert_eq!(found, first, "one client wrote them, one after the other");
    assert!((3..40).contains(&found.len()), "record 1 is the generation's: {}", found.len());
    installation.start();
    assert_eq!(installation.assertion_count(), found.len() as u64);
}
