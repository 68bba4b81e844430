//! Goal: what is archived survives the loss of everything else, in a directory as in an object store, and whatever the
//! store does meanwhile, nothing is taken for archived that is not.
//!
//! Method: the commands are typed at a real server and, where `moto_server` is installed, at a real S3 server; then the data is
//! removed and restored from the archive.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use stemedb_tests::Installation;
use stemedb_tests::claims::TestClaim;

/// Runs that may find something to archive after the last claim: that and, in each lane, the marker behind the last frame.
const IDLE_RUNS_MAX: u32 = 20;

/// Backups that are taken until one has what is waited for in its tables.
const ROUNDS_MAX: u64 = 100;

/// An S3 server that forgets all when it ends.
struct S3 {
    child: Child,
    endpoint: String,
}

impl S3 {
    /// Starts one, at a port if it was there before; `None`, with a line, where it is not installed.
    fn start(port: u16) -> Option<S3> {
        let port = port.to_string();
        let mut command = Command::new("moto_server");
        command
            .args(["-H", "127.0.0.1", "-p", &port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            stemedb_tests::skip("no moto_server on this machine (pip install 'moto[server]')");
            return None;
        };
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut lines = lines.lines().map_while(Result::ok);
        let endpoint = lines.find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()));
        // It goes on to tell of every request, and would stop if nobody listened.
        thread::spawn(move || lines.for_each(drop));
        let Some(endpoint) = endpoint else {
            let _ = child.kill();
            let _ = child.wait();
            stemedb_tests::skip("moto_server does not start");
            return None;
        };
        Some(S3 { child, endpoint })
    }

    fn port(&self) -> u16 {
        self.endpoint.rsplit(':').next().expect("it has a port").parse().expect("a number")
    }

    /// The settings of whoever uses it.
    fn settings(&self) -> String {
        format!(
            "MINIO_ENDPOINT={} MINIO_ACCESS_KEY=operator MINIO_SECRET_KEY=secret BACKUP_BUCKET=stemedb",
            self.endpoint
        )
    }

    /// Makes the bucket. The server takes requests without a signature.
    fn make_bucket(&self, installation: &Installation) {
        installation.typed(&format!("curl --noproxy '*' -sf -X PUT {}/stemedb", self.endpoint));
    }

    /// The keys of all objects.
    fn keys(&self, installation: &Installation) -> Vec<String> {
        let line = format!("curl --noproxy '*' -sf '{}/stemedb?list-type=2'", self.endpoint);
        let text = installation.typed(&line);
        let keys = text.split("<Key>").skip(1);
        keys.map(|rest| rest.split('<').next().expect("a split has a first part").to_owned()).collect()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_all(installation: &Installation, prefix: &str, count: u64) {
    let mut client = installation.client();
    for number in 0..count {
        let claim = TestClaim::new(format!("{prefix}/{number}"), "is", "x".repeat(3000));
        client.post("/v1/assert", claim.json()).expect("an answer").ok();
    }
}

/// How many claims come back at a moment when all but backups and archive is lost.
fn count_after_loss(installation: &Installation, moment: &str) -> u64 {
    installation.typed("rm -rf data; mkdir data");
    installation.typed(&format!("stemedb-admin restore --store archive --target-time {moment} --yes"));
    installation.start();
    installation.assertion_count()
}

/// A moment that lies between what was acknowledged and what comes.
fn moment(installation: &Installation) -> String {
    installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01").trim().to_owned()
}

#[test]
fn what_is_archived_in_a_directory_survives_the_loss_of_the_data() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 100);
    // From the first run on the log is kept until it is archived; so the backup comes behind it.
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    let mut moments = Vec::new();
    for round in 0..4 {
        // More than a segment each, so that some are whole and some go on from run to run.
        write_all(&installation, &format!("b{round}"), 300);
        moments.push((moment(&installation), 100 + 300 * (round + 1)));
        if round != 1 {
            let output = installation.typed("./scripts/archive-wal.sh");
            assert!(output.starts_with("Archived "), "{output}");
        }
    }
    // So that a restore to the last moment cuts off something that is archived, and the log is another one from then on.
    write_all(&installation, "after", 1);
    // A lane that falls idle writes a marker, once; then there is nothing more.
    let mut runs = 0;
    let output = loop {
        let output = installation.typed("sleep 0.6; ./scripts/archive-wal.sh");
        if !output.starts_with("Archived ") {
            break output;
        }
        runs += 1;
        assert!(runs <= IDLE_RUNS_MAX, "the log goes on, with nothing to write");
    };
    assert!(output.starts_with("Nothing new") && runs > 0, "after {runs} runs: {output}");
    installation.stop();
    for (moment, count) in &moments {
        // With what a restore has left that was killed.
        installation.typed(
            "rm -rf data; mkdir -p data/.archive-1.restoring; touch data/.archive-1.restoring/segment",
        );
        let output = installation
            .typed(&format!("stemedb-admin restore --store archive --target-time {moment} --yes"));
        assert!(output.contains("ready to accept connections"), "{output}");
        installation.start();
        assert_eq!(installation.assertion_count(), *count);
        installation.stop();
        assert_eq!(
            installation.typed("ls -A data | grep -c archive- || true"),
            "0\n",
            "nothing is left behind"
        );
    }
    // A log that was cut back is another one: its archive begins anew, and that of the first stays what it is.
    installation.start();
    write_all(&installation, "c", 10);
    let later = moment(&installation);
    installation.typed("stemedb-admin archive run");
    installation.stop();
    let chains = installation.typed("cat $(find archive -name '*.json') | jq -r .chain | sort -u | wc -l");
    assert_eq!(chains, "2\n");
    for (moment, count) in [(&moments[0].0, 400), (&later, 1310)] {
        installation.typed("rm -rf data; mkdir data");
        installation.typed(&format!("stemedb-admin restore --store archive --target-time {moment} --yes"));
        installation.start();
        assert_eq!(installation.assertion_count(), count);
        installation.stop();
    }
}

/// Goal: what can be lost with the machine is what came since the last archive run was begun. Method: runs follow each other under load, the server is
/// killed, all but backup and archive is removed, and restored.
#[test]
fn what_was_acknowledged_before_the_last_run_survives_the_loss_of_the_machine() {
    let installation = Installation::new();
    installation.start();
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    let acknowledged = AtomicU64::new(0);
    let mut archived = 0;
    thread::scope(|scope| {
        let (mut client, acknowledged) = (installation.client(), &acknowledged);
        scope.spawn(move || {
            loop {
                let number = acknowledged.load(Ordering::SeqCst);
                let claim = TestClaim::new(format!("w/{number}"), "is", "x".repeat(3000));
                // Until the server is gone.
                let Ok(answer) = client.post("/v1/assert", claim.json()) else { break };
                answer.ok();
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        });
        // More than a segment between some of them, so that tables take claims over that are not archived yet.
        for goal in [50, 100, 1500, 1550] {
            while acknowledged.load(Ordering::SeqCst) < goal {
                thread::sleep(Duration::from_millis(1));
            }
            archived = acknowledged.load(Ordering::SeqCst);
            installation.typed("./scripts/archive-wal.sh");
        }
        installation.typed("kill -KILL $(cat server.pid)");
    });
    installation.typed("rm -rf data server.pid; mkdir data");
    installation.typed("stemedb-admin restore --store archive --target-time $(date +%s.%6N) --yes");
    installation.start();
    let there = installation.assertion_count();
    let begun = acknowledged.load(Ordering::SeqCst) + 1;
    assert!((archived..=begun).contains(&there), "{there} of {archived} to {begun}");
    let mut client = installation.client();
    // Lanes are read one after the other: what came during the run may be there in part.
    for number in 0..archived {
        let query = format!(r#"{{"concept_path":"w/{number}"}}"#);
        let found = client.post("/v1/query", query).expect("an answer").ok();
        assert_eq!(found["count"], 1, "w/{number} of {archived}");
    }
}

/// Goal: a moment that the archive has nothing of is refused, and never answered with what was there some time before it. Method: nothing is
/// held for the archive, so that a part of the log goes into tables unarchived, and what comes next is archived again.
#[test]
fn a_moment_that_fell_into_a_gap_of_the_archive_is_refused() {
    let installation = Installation::new();
    installation.typed("STEMEDB_ARCHIVE_HOLD_BYTES=0 systemctl start stemedb-api");
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    write_all(&installation, "a", 100);
    let archived = moment(&installation);
    installation.typed("./scripts/archive-wal.sh");
    write_all(&installation, "b", 10);
    let early_in_gap = moment(&installation);
    let given_up = || installation.log().matches("was removed before it was archived").count();
    let mut rounds = 0;
    while given_up() == 0 {
        write_all(&installation, &format!("c{rounds}"), 300);
        rounds += 1;
    }
    let late_in_gap = moment(&installation);
    write_all(&installation, "d", 10);
    let objects = || installation.typed("find archive -name '*.json' | wc -l").trim().to_owned();
    assert_eq!(objects(), "2");
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.contains("A new chain begins"), "{output}");
    assert_eq!(objects(), "3", "nothing was overwritten");
    installation.stop();
    let refusals = [(&early_in_gap, "the archive has a gap there"), (&late_in_gap, "does not go on where")];
    for (moment, refusal) in [(&archived, "")].into_iter().chain(refusals) {
        installation.typed("rm -rf data; mkdir data");
        let line = format!("stemedb-admin restore --store archive --target-time {moment} --yes");
        if refusal.is_empty() {
            installation.typed(&line);
            installation.start();
            assert_eq!(installation.assertion_count(), 100);
            installation.stop();
        } else {
            let (code, said) = installation.refused(&line);
            assert_eq!(code, 1, "{said}");
            assert!(said.contains(refusal) && said.contains("--backup-id"), "{said}");
            assert_eq!(installation.typed("ls -A data"), "", "nothing was changed");
        }
    }
}

/// Goal: what a backup has is reached, whatever the archive lacks. Method: a moment after the last run on a log that was given up for an older one, which
/// is archived in its turn; a backup was taken between.
#[test]
fn a_backup_reaches_a_moment_that_the_archive_does_not() {
    let installation = Installation::new();
    installation.start();
    installation.typed("./scripts/backup-stemedb.sh");
    let first = installation.backups().remove(0);
    write_all(&installation, "a", 50);
    installation.typed("./scripts/archive-wal.sh");
    write_all(&installation, "b", 10);
    let wanted = moment(&installation);
    write_all(&installation, "c", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    installation.stop();
    installation.typed(&format!("stemedb-admin restore --backup {} --yes", first.display()));
    installation.start();
    write_all(&installation, "d", 5);
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.contains("A new chain begins"), "{output}");
    installation.stop();
    assert_eq!(count_after_loss(&installation, &wanted), 60);
}

/// Goal: of the archive only that is needed which is behind the backup, so that older objects may go. Method: segments that the archive
/// reaches have gone into tables when a backup is taken; then all objects of before are removed. The first object behind begins with
/// segments that the backup has in its tables, which are passed over.
#[test]
fn objects_that_are_older_than_the_backup_are_not_needed() {
    let installation = Installation::new();
    installation.start();
    installation.typed("./scripts/archive-wal.sh");
    write_all(&installation, "a", 100);
    installation.typed("./scripts/archive-wal.sh");
    let reach = "for note in archive/wal/*/*/*/*.json; do jq -r '.reach[] | \"\\(.lane) \\(.segment)\"' $note; done | sort -u | \
                 xargs -n2 printf 'segment-%02d-%010d.log\\n'";
    let reach = installation.typed(reach);
    let mut written = 100;
    // Until tables have all that the archive reaches.
    let newest = loop {
        write_all(&installation, &format!("b{written}"), 700);
        written += 700;
        installation.typed("stemedb-admin backup run");
        let newest = installation.backups().pop().expect("one was made");
        if reach.lines().all(|segment| !newest.join("wal").join(segment).exists()) {
            break newest;
        }
    };
    let old = installation.typed("find archive -type f");
    write_all(&installation, "c", 10);
    let wanted = moment(&installation);
    installation.typed("./scripts/archive-wal.sh");
    installation.stop();
    old.lines().for_each(|file| fs::remove_file(installation.path(file)).expect("it is there"));
    installation.typed("rm -rf data; mkdir data");
    let backup = newest.display();
    installation.typed(&format!(
        "stemedb-admin restore --backup {backup} --store archive --target-time {wanted} --yes"
    ));
    installation.start();
    assert_eq!(installation.assertion_count(), written + 10);
}

/// Goal: of two logs that went on from one backup, the one comes back that was current at the moment. Method: a backup is restored while the archive
/// has more than it, and the server goes on with it, unarchived.
#[test]
fn a_log_that_was_restored_in_between_is_not_taken_for_that_of_the_archive() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    let backup = installation.backups().remove(0);
    write_all(&installation, "b", 20);
    let of_archive = moment(&installation);
    write_all(&installation, "c", 10);
    installation.typed("./scripts/archive-wal.sh");
    installation.stop();
    installation.typed(&format!("stemedb-admin restore --backup {} --yes", backup.display()));
    installation.start();
    write_all(&installation, "d", 5);
    let of_restored = moment(&installation);
    write_all(&installation, "e", 5);
    installation.stop();
    installation.typed("cp -a data data.restored");
    for (moment, count, unused) in [
        (&of_archive, 70, "the log that is in place is not used"),
        (&of_restored, 55, "what is archived is not used"),
    ] {
        installation.typed("rm -rf data; cp -a data.restored data");
        let line = format!("stemedb-admin restore --store archive --target-time {moment} --yes 2>&1");
        let output = installation.typed(&line);
        assert!(output.contains(unused), "{output}");
        installation.start();
        assert_eq!(installation.assertion_count(), count, "{output}");
        installation.stop();
    }
}

/// Goal: a backup whose tables have what a restore gave up is no beginning of what came after that. Method: such a backup is the newest
/// before the moment; everything but backups and archive is lost.
#[test]
fn a_backup_of_a_log_that_was_given_up_is_refused() {
    let (installation, first) = given_up_with_in_tables(1, 1);
    refuses_a_backup_that_was_given_up(&installation, &first);
}

/// Goal: the same where the backup's tables have segments with all the numbers of those that were archived. Method: both lanes have
/// gone on to a second segment on either side of the restore.
#[test]
fn a_backup_that_hides_all_of_the_log_that_went_on_is_refused() {
    let (installation, first) = given_up_with_in_tables(2, 2);
    refuses_a_backup_that_was_given_up(&installation, &first);
}

fn refuses_a_backup_that_was_given_up(installation: &Installation, first: &Path) {
    write_all(installation, "c", 10);
    let wanted = moment(installation);
    installation.typed("./scripts/archive-wal.sh");
    installation.stop();
    installation.typed("rm -rf data; mkdir data");
    let line = format!("stemedb-admin restore --store archive --target-time {wanted} --yes");
    let (code, said) = installation.refused(&line);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another log") && said.contains("--backup-id"), "{said}");
    installation.typed(&format!("{line} --backup {}", first.display()));
    installation.start();
    assert_eq!(installation.assertion_count(), 60);
}

/// Goal: the same where the store does not have the beginning any more by which the logs would be told apart. Method: the object of the first
/// run after the restore goes, the next one stays.
#[test]
fn a_backup_of_a_log_that_was_given_up_is_refused_also_when_old_objects_are_gone() {
    let (installation, _) = given_up_with_in_tables(2, 2);
    let old = installation.typed("find archive -type f");
    write_all(&installation, "c", 10);
    installation.typed("./scripts/archive-wal.sh");
    let beginning = installation.typed("find archive -type f");
    write_all(&installation, "d", 10);
    let wanted = moment(&installation);
    installation.typed("./scripts/archive-wal.sh");
    installation.stop();
    let beginning: Vec<_> = beginning.lines().filter(|file| !old.contains(file)).collect();
    assert_eq!(beginning.len(), 2, "an object and its note");
    beginning.into_iter().for_each(|file| fs::remove_file(installation.path(file)).expect("it is there"));
    installation.typed("rm -rf data; mkdir data");
    let line = format!("stemedb-admin restore --store archive --target-time {wanted} --yes");
    let (code, said) = installation.refused(&line);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has nothing before") && said.contains("--backup-id"), "{said}");
    assert_eq!(installation.typed("ls -A data"), "", "nothing was changed");
}

/// Goal: a moment of a log that was given up later is reached by the backups of that time, whatever was archived since. Method: of the log that
/// was given up nothing is archived behind the place where it was cut.
#[test]
fn backups_reach_a_moment_of_a_log_that_was_given_up_for_one_that_is_archived() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    let cut = moment(&installation);
    let written = write_until_in_tables(&installation, 2, 2);
    write_all(&installation, "c", 5);
    let wanted = moment(&installation);
    write_all(&installation, "d", 5);
    installation.typed("stemedb-admin backup run");
    installation.stop();
    installation.typed(&format!("stemedb-admin restore --target-time {cut} --yes"));
    installation.start();
    assert_eq!(installation.assertion_count(), 50);
    write_all(&installation, "e", 5);
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.contains("A new chain begins"), "{output}");
    installation.stop();
    assert_eq!(count_after_loss(&installation, &wanted), 50 + written + 5);
}

/// Goal: a backup that is taken between a restore and the first run of the archive after it is a beginning of what came then. Method: its tables
/// have segments that both logs have, and that the new chain begins with.
#[test]
fn a_backup_of_a_log_that_was_restored_before_it_was_archived_is_taken() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    let cut = moment(&installation);
    write_all(&installation, "b", 20);
    installation.typed("./scripts/archive-wal.sh");
    installation.stop();
    installation.typed(&format!("stemedb-admin restore --target-time {cut} --yes"));
    // Its segments are of a generation that has ended: tables take them over.
    installation.start();
    let has_in_tables = |_| {
        installation.typed("stemedb-admin backup run");
        let newest = installation.backups().pop().expect("one was made");
        !newest.join("wal/segment-00-0000000001.log").exists()
    };
    assert!((0..ROUNDS_MAX).any(has_in_tables), "there is no checkpoint");
    write_all(&installation, "c", 5);
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.contains("A new chain begins"), "{output}");
    write_all(&installation, "d", 5);
    let wanted = moment(&installation);
    installation.typed("./scripts/archive-wal.sh");
    installation.stop();
    assert_eq!(count_after_loss(&installation, &wanted), 60);
}

/// Goal: a log that somebody puts in place by hand is another one, as one that was restored. Method: it has all that the archive reaches; what tells
/// the two apart is there when it serves, since tables may soon take over what would, and stays as it is.
#[test]
fn a_copy_that_was_put_in_place_by_hand_begins_a_new_chain() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/archive-wal.sh");
    write_all(&installation, "b", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "c", 10);
    installation.stop();
    let backup = installation.backups().remove(0);
    installation.typed(&format!("rm -rf data/wal data/db && cp -a {0}/wal {0}/db data/", backup.display()));
    let mark = || installation.typed("cat data/wal/RESTORED");
    installation.start();
    let restored = mark();
    assert_eq!(installation.assertion_count(), 20);
    write_all(&installation, "d", 10);
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.contains("A new chain begins"), "{output}");
    installation.stop();
    installation.start();
    assert_eq!(mark(), restored, "it is one log, however often it is started");
    write_all(&installation, "e", 10);
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.starts_with("Archived "), "{output}");
}

/// Goal: so is a log that is put beside tables which are newer. Method: the tables are of later generations than the copy.
#[test]
fn a_copy_of_the_log_alone_begins_a_new_chain() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/archive-wal.sh");
    installation.typed("./scripts/backup-stemedb.sh");
    let backup = installation.backups().remove(0);
    for prefix in ["b", "c"] {
        installation.stop();
        installation.start();
        write_all(&installation, prefix, 10);
    }
    let has_in_tables = |_| {
        installation.typed("stemedb-admin backup run");
        let newest = installation.backups().pop().expect("one was made");
        !newest.join("wal/segment-00-0000000002.log").exists()
    };
    assert!((0..ROUNDS_MAX).any(has_in_tables), "there is no checkpoint");
    installation.stop();
    installation.typed(&format!("rm -rf data/wal && cp -a {}/wal data/", backup.display()));
    installation.start();
    installation.typed("cat data/wal/RESTORED");
    write_all(&installation, "d", 10);
    let output = installation.typed("./scripts/archive-wal.sh 2>&1");
    assert!(output.contains("A new chain begins"), "{output}");
}

/// A log that was cut back to 50 claims, and given up behind them, where a backup has so many segments of so many lanes in its tables. Gives the
/// backup of before that, too.
fn given_up_with_in_tables(segments: u64, lanes: u64) -> (Installation, PathBuf) {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    let first = installation.backups().remove(0);
    let given_up_from = moment(&installation);
    write_until_in_tables(&installation, segments, lanes);
    installation.stop();
    let from = first.display();
    installation.typed(&format!("stemedb-admin restore --backup {from} --target-time {given_up_from} --yes"));
    installation.start();
    (installation, first)
}

/// Writes, and takes backups, until one has so many segments of so many lanes in its tables. Gives how many claims that took.
fn write_until_in_tables(installation: &Installation, segments: u64, lanes: u64) -> u64 {
    for round in 1..=ROUNDS_MAX {
        write_all(installation, &format!("b{round}"), 700);
        installation.typed("stemedb-admin backup run");
        let newest = installation.backups().pop().expect("one was made");
        let has_in_tables = |lane: u64| {
            let first = format!("ls {}/wal | grep -o 'segment-0{lane}-[0-9]*' | head -n 1", newest.display());
            installation.typed(&first).trim() > format!("segment-0{lane}-{segments:010}").as_str()
        };
        if (0..lanes).all(has_in_tables) {
            return 700 * round;
        }
    }
    panic!("no checkpoint has come so far in {ROUNDS_MAX} rounds")
}

/// Goal: backups of the log and the archive share a store, and neither takes what is the other's. Method: one is pushed between two runs, and put
/// beside the pieces of the log as well; then all else is removed.
#[test]
fn a_backup_of_the_log_that_is_pushed_is_no_piece_of_the_archive() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    installation.typed("stemedb-admin archive run --store archive && stemedb-admin backup run");
    let full = installation.backups().remove(0);
    write_all(&installation, "b", 20);
    installation.typed("stemedb-admin backup run --type wal");
    let of_log =
        installation.typed("stemedb-admin backup list --type wal --json | jq -r '.backups[0].backup_id'");
    let of_log = of_log.trim();
    let pushed = installation.typed(&format!("stemedb-admin backup push {of_log} --store archive"));
    assert!(pushed.contains(" pushed as wal-backup/"), "{pushed}");
    let objects = "find archive -path '*/wal_*.tar.zst' | wc -l";
    assert_eq!(installation.typed(objects), "1\n");
    installation.typed(
        "cd archive; for file in $(find wal-backup -name 'wal-backup_*'); do old=$(echo $file | sed 's/wal-backup/wal/g'); \
         mkdir -p $(dirname $old); sed 's#\"wal-backup/[^\"]*\"#\"'${old%.json}.tar.zst'\"#' $file > $old; done; \
         cp $(find wal-backup -name '*.zst') $(find wal-backup -name '*.zst' | sed 's/wal-backup/wal/g')",
    );
    assert_eq!(installation.typed(objects), "2\n");
    let mut moments = Vec::new();
    for (prefix, count) in [("c", 90), ("d", 110)] {
        write_all(&installation, prefix, 20);
        moments.push((moment(&installation), count));
        let output = installation.typed("stemedb-admin archive run --store archive 2>&1");
        assert!(output.starts_with("Archived "), "{output}");
    }
    assert_eq!(installation.typed(objects), "4\n", "nothing was overwritten");
    installation.stop();
    let listed =
        installation.typed("stemedb-admin backup list --store archive --json | jq -r '.backups[].backup_id'");
    assert_eq!(listed.trim(), of_log);
    installation.typed(&format!("stemedb-admin backup fetch {of_log} --store archive --local fetched"));
    for (moment, count) in moments {
        installation.typed("rm -rf data; mkdir data");
        let full = full.display();
        let line =
            format!("stemedb-admin restore --backup {full} --store archive --target-time {moment} --yes");
        installation.typed(&line);
        installation.start();
        assert_eq!(installation.assertion_count(), count);
        installation.stop();
    }
}

/// Goal: a store that is misspelt or not mounted is noticed before it matters. Method: one that is not there, an empty one, and some that are none.
#[test]
fn a_store_that_is_not_there_is_told() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/archive-wal.sh && ./scripts/backup-stemedb.sh");
    for store in ["data/wal/archive", "http://x/y", "s3:/b", "s3://", "''"] {
        let (code, said) = installation.refused(&format!("stemedb-admin archive run --store {store}"));
        assert_eq!(code, 2, "{said}");
    }
    installation.stop();
    let line = "stemedb-admin restore --target-time $(date -d tomorrow +%s) --yes";
    let (code, said) = installation.refused(&format!("{line} --store archiv"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the store archiv is no directory that is there"), "{said}");
    assert_eq!(installation.typed("find data -name '*.backup.*'"), "", "nothing was changed");
    let told = installation.typed(&format!("mkdir empty; {line} --store empty --dry-run 2>&1"));
    assert!(told.contains("nothing is archived in empty"), "{told}");
}

#[test]
fn an_archive_that_was_damaged_is_refused() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 10);
    let moment = moment(&installation);
    installation.typed("stemedb-admin archive run");
    installation.stop();
    let object = installation.typed("find archive -name '*.tar.zst'");
    let mut bytes = fs::read(installation.path(object.trim())).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(installation.path(object.trim()), bytes).expect("writable");
    installation.typed("mv data data.lost; mkdir data");
    let line = format!("stemedb-admin restore --store archive --target-time {moment} --yes");
    let (_, text) = installation.refused(&line);
    assert!(text.contains(object.trim().trim_start_matches("archive/")), "{text}");
    assert_eq!(installation.typed("ls -A data | grep -v status || true"), "", "nothing was restored");
}

#[test]
fn backups_and_archives_go_to_an_object_store_and_come_back() {
    let Some(s3) = S3::start(0) else { return };
    let installation = Installation::new();
    s3.make_bucket(&installation);
    let settings = s3.settings();
    installation.start();
    write_all(&installation, "a", 200);
    installation.typed(&format!("{settings} ./scripts/archive-wal.sh"));
    let output = installation.typed(&format!("{settings} ./scripts/backup-stemedb.sh"));
    assert!(output.contains(" pushed as full/"), "{output}");
    // What hardly compresses goes up in several parts.
    installation.typed(&format!(
        "for i in $(seq 400); do echo '{{\"concept_path\":\"r/'$i'\",\"predicate\":\"is\",\"value\":\"'$(openssl rand -base64 45000 | tr -d '\\n')'\"}}'; done \
         | stemedb-admin import - --url {}",
        installation.url()
    ));
    installation.typed("stemedb-admin backup run");
    installation.typed(&format!("{settings} stemedb-admin backup push"));
    let again = installation.typed(&format!("{settings} stemedb-admin backup push"));
    assert!(again.contains("is in the store already"), "{again}");
    write_all(&installation, "b", 800);
    installation.typed(&format!("{settings} ./scripts/archive-wal.sh"));
    let moment = moment(&installation);
    write_all(&installation, "c", 5);
    installation.typed(&format!("{settings} ./scripts/archive-wal.sh"));
    let keys = s3.keys(&installation);
    let shape = |kind: &str, key: &str| {
        let parts: Vec<_> = key.split('/').collect();
        parts.len() == 5
            && parts[0] == kind
            && parts[4].starts_with(&format!("{kind}_{}{}{}_", parts[1], parts[2], parts[3]))
    };
    assert_eq!(keys.iter().filter(|key| shape("full", key)).count(), 4, "{keys:?}");
    assert_eq!(keys.iter().filter(|key| shape("wal", key)).count(), 6, "{keys:?}");
    // Everything on this machine is lost.
    installation.stop();
    installation.typed("rm -rf data backups; mkdir data");
    let list = installation.typed(&format!("{settings} stemedb-admin backup list --store s3://stemedb"));
    assert!(list.starts_with("FULL Backups:\n  full_"), "{list}");
    installation.typed(&format!("{settings} stemedb-admin backup fetch"));
    installation.typed(&format!("{settings} stemedb-admin restore --target-time {moment} --yes"));
    installation.start();
    assert_eq!(installation.assertion_count(), 1400);
}

#[test]
fn a_store_that_refuses_or_is_away_loses_nothing() {
    let Some(s3) = S3::start(0) else { return };
    let installation = Installation::new();
    let settings = s3.settings();
    installation.start();
    write_all(&installation, "a", 20);
    installation.typed("stemedb-admin backup run");
    for command in ["archive run", "backup push"] {
        let (code, text) = installation.refused(&format!("{settings} stemedb-admin {command}"));
        assert_eq!(code, 1);
        assert!(text.contains("NoSuchBucket") && text.contains("s3://stemedb"), "{text}");
    }
    let (code, text) = installation.refused("BACKUP_BUCKET=stemedb stemedb-admin archive run");
    assert_eq!(code, 2);
    assert!(text.contains("MINIO_ACCESS_KEY"), "{text}");
    s3.make_bucket(&installation);
    // Away, and back: what could not be archived is archived then.
    let port = s3.port();
    drop(s3);
    let (_, text) = installation.refused(&format!("{settings} stemedb-admin archive run"));
    assert!(text.contains("no answer") && text.contains("tried 5 times"), "{text}");
    let status = |job: &str| installation.typed(&format!("cat data/status/{job}.json"));
    assert!(status("archive").contains("\"last_run_failed\":true"), "{}", status("archive"));
    assert!(status("push").contains("\"last_run_failed\":true"), "{}", status("push"));
    let Some(s3) = S3::start(port) else { return };
    s3.make_bucket(&installation);
    installation.typed(&format!("{settings} stemedb-admin archive run"));
    assert_eq!(s3.keys(&installation).len(), 2);
    assert!(status("archive").contains("\"last_run_failed\":false"), "{}", status("archive"));
    installation.typed(&format!("{settings} stemedb-admin backup push"));
    assert!(status("push").contains("\"last_run_failed\":false"), "{}", status("push"));
}

/// Goal: what rots of an archive's bookkeeping is told with what to do, and doing it has the archive go on. Method: a digit is changed in the newest
/// note, and, where a chain must begin, in the mark beside the log.
#[test]
fn bookkeeping_that_is_damaged_is_told_with_what_to_do() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin archive run");
    write_all(&installation, "b", 10);
    installation.typed("stemedb-admin archive run");
    let note = installation.typed("find archive -name '*.json' | sort | tail -1").trim().to_owned();
    installation.typed(&format!(r#"sed -i 's/"position": "01/"position": "02/' {note}"#));
    let (_, text) = installation.refused("stemedb-admin archive run");
    let told = format!("{} does not say how far", note.trim_start_matches("archive/"));
    assert!(text.contains(&told) && text.contains("Move it out of the store"), "{text}");
    installation.typed(&format!("mv {note} . && stemedb-admin archive run"));

    installation.typed("rm -r archive; sed -i 's/^01/02/' data/wal/ARCHIVED");
    let (_, text) = installation.refused("stemedb-admin archive run");
    let told = "data/wal/ARCHIVED does not say what of the log was kept";
    assert!(text.contains(told) && text.contains("Remove it"), "{text}");
    installation.typed("rm data/wal/ARCHIVED && stemedb-admin archive run");
    installation.typed("./scripts/backup-stemedb.sh");
    let moment = moment(&installation);
    installation.stop();
    installation.typed("rm -rf data; mkdir data");
    installation.typed(&format!("stemedb-admin restore --store archive --target-time {moment} --yes"));
    installation.start();
    assert_eq!(installation.assertion_count(), 20);
}

#[test]
fn an_object_without_its_note_is_none() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 20);
    installation.typed("./scripts/backup-stemedb.sh");
    write_all(&installation, "b", 20);
    installation.typed("stemedb-admin archive run");
    // As if the run had been killed between the two.
    installation.typed("rm $(find archive -name '*.json')");
    installation.typed("sleep 1; stemedb-admin archive run");
    assert_eq!(installation.typed("find archive -name '*.json' | wc -l"), "1\n");
    let moment = moment(&installation);
    installation.stop();
    installation.typed("rm -rf data; mkdir data");
    installation.typed(&format!("stemedb-admin restore --store archive --target-time {moment} --yes"));
    installation.start();
    assert_eq!(installation.assertion_count(), 40);
}
