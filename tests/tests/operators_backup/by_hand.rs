//! The log of a backup is put in its place by hand, as a runbook types it.

use std::fs;

use stemedb_tests::Installation;

use crate::{move_into_tables, write_all};

/// What is typed to put the log of the only backup in the place of the log.
const LOG_BY_HAND: &str = "BACKUP_DIR=$(ls -d backups/stemedb-backup-*); rm -rf data/wal; cp -r $BACKUP_DIR/wal data/wal; \
                           chown -R $(id -un):$(id -gn) data/wal; chmod -R 755 data/wal";

#[test]
fn a_log_that_is_copied_from_a_backup_by_hand_is_started_from() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 300);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 10);
    installation.stop();
    // A copy that was interrupted is noticed, and so is a log that was lost.
    installation.typed(LOG_BY_HAND);
    let segment = installation.typed("ls data/wal/segment-00-*.log | head -1");
    let file =
        fs::OpenOptions::new().write(true).open(installation.path(segment.trim())).expect("it was copied");
    file.set_len(file.metadata().expect("readable").len() - 8192).expect("writable");
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("is a copy of full_") && text.contains("but not all of it"), "{text}");
    installation.typed("rm -rf data/wal; mkdir data/wal");
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("is not the one that was here"), "{text}");
    installation.typed(LOG_BY_HAND);
    installation.start();
    assert_eq!(installation.assertion_count(), 300);
    write_all(&installation, "c", 5);
    installation.stop();
    installation.start();
    assert_eq!(installation.assertion_count(), 305, "and it goes on");
}

/// Goal: a log that is put back while newer tables are kept takes nothing from them, and what is in both is there once. Method:
/// claims go into tables after the backup, the log is replaced as the runbook types it, and the server is started on it again and
/// again, with other numbers of cores.
#[test]
fn the_log_of_a_backup_goes_below_newer_tables() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 200);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 50);
    move_into_tables(&installation, 250);
    write_all(&installation, "lost with the log", 10);
    installation.stop();
    installation.typed(LOG_BY_HAND);
    for (cores, count) in [(2, 250), (1, 255), (2, 260)] {
        installation.typed(&format!("STEMEDB_CORES={cores} systemctl start stemedb-api"));
        assert_eq!(installation.assertion_count(), count);
        write_all(&installation, &format!("after/{count}"), 5);
        installation.stop();
    }
    // Once more over what has grown since.
    installation.start();
    move_into_tables(&installation, 265);
    installation.stop();
    installation.typed(LOG_BY_HAND);
    installation.start();
    write_all(&installation, "again", 5);
    assert_eq!(installation.assertion_count(), 270);
    installation.typed(
        "stemedb-admin validate --url $(sed -n 's/.*on \\(http:[^ ]*\\).*/\\1/p' server.log | head -1)",
    );
}

#[test]
fn the_log_of_another_history_is_not_taken_for_that_of_the_tables() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 20);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.stop();
    installation.typed("rm -r data; mkdir data");
    installation.start();
    write_all(&installation, "b", 100);
    move_into_tables(&installation, 100);
    installation.stop();
    installation.typed(LOG_BY_HAND);
    let before = installation.typed("find data -type f ! -name LOCK -exec sha256sum {} + | sort");
    let (_, text) = installation.refused("systemctl start stemedb-api");
    assert!(text.contains("have come from another log") && text.contains("stemedb-admin restore"), "{text}");
    assert_eq!(installation.typed("find data -type f ! -name LOCK -exec sha256sum {} + | sort"), before);
}
