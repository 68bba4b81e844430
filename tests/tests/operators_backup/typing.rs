//! What is typed is taken for what it means, or refused by its name; and then nothing of it stays.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;
use stemedb_tests::Installation;

use crate::{metadata, move_into_tables, write_all};

/// All that lies in the installation, but for what a server writes.
fn listing(installation: &Installation) -> String {
    installation.typed("find . -not -path './data/*' | sort")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_name_that_is_mistyped_is_told_and_leaves_nothing() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin backup run");
    let before = listing(&installation);
    for (line, told) in [
        ("backup run --data-dir nope --to other", "\"nope/wal\""),
        ("archive run --data-dir nope --store other", "\"nope/wal\""),
        ("backup run --to systemctl.log", "\"systemctl.log\""),
        ("backup run --to nope/deep/down", "is its disk mounted?"),
        ("archive run --store nope/deep/down", "is its disk mounted?"),
        ("backup list --from nope", "\"nope\""),
        ("backup verify --from nope", "\"nope\""),
        ("backup prune --from nope", "\"nope\""),
        ("backup push --local nope --store other", "\"nope\""),
        ("backup verify full_2026", "\"full_2026\" in backups"),
        ("backup verify ''", "\"\" in backups"),
        ("backup push full_2026 --store other", "\"full_2026\" in backups"),
        ("restore --from nope --dry-run", "\"nope\""),
        ("restore --data-dir nope/deep/down --yes", "is its disk mounted?"),
        ("restore --wal-dir nope/wal --dry-run", "is its disk mounted?"),
        ("restore --backup nope --dry-run", "\"nope\" in backups"),
        ("restore --backup-id nope --dry-run", "\"nope\" in backups"),
        ("restore --type wal --dry-run", "no backup of type wal in backups, but 1 of type full"),
    ] {
        let (code, said) = installation.refused(&format!("stemedb-admin {line}"));
        assert_eq!(code, 1, "{line}: {said}");
        assert!(said.contains(told), "{line}: {told} is not in {said}");
        assert!(!said.contains("os error 2"), "{line}: {said}");
    }
    for (line, told) in [
        ("archive run --store s3://bucket/path", "no path behind it"),
        ("archive run --store s3://", "\"\" is no name of a bucket"),
        ("backup schedule --schedule '0 25 * * *'", "`25` is not a hour"),
        ("backup schedule --schedule '0 2 31 2 *'", "names days that never come"),
        ("backup run --to s3://bucket", "this is a URL"),
        ("backup fetch --local s3://bucket --store other", "this is a URL"),
        ("backup run --to ''", "the name is empty"),
        ("backup run --to data/wal/backups", "would go with it"),
        ("archive run --store data/db", "would go with it"),
        ("backup push --store data/db/store", "would go with it"),
        ("restore --backup backups --type wal --dry-run", "--type"),
        ("restore --store other --dry-run", "--target-time"),
        ("restore --validate-only --dry-run", "--dry-run"),
        ("restore --target-time 1795332660000 --dry-run", "is not a time"),
        ("backup list --from backups --store other", "--from"),
    ] {
        let typed = format!("stemedb-admin {line} 2>said; code=$?; cat said >&2; rm said; exit $code");
        let output = installation.output_of(&typed);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {said}");
        assert!(said.contains(told), "{line}: {told} is not in {said}");
    }
    assert_eq!(listing(&installation), before);
    let (code, said) = installation.refused("BACKUP_BUCKET='two words' stemedb-admin archive run");
    assert!(code == 2 && said.contains("BACKUP_BUCKET \"two words\""), "{said}");
    // What would come from an archive does not make the place where it would go.
    installation.typed("stemedb-admin archive run --store archive");
    let before = listing(&installation);
    let line = "restore --data-dir nope --store archive --target-time $(date +%s.%6N) --dry-run";
    installation.typed(&format!("stemedb-admin {line}"));
    assert_eq!(listing(&installation), before);
    // A validation reports what it could not look at.
    let line = format!("stemedb-admin validate --url {} --data-dir nope --to reports", installation.url());
    assert_eq!(installation.refused(&line).0, 1);
    let report = installation.typed("cat reports/validation_report_*.txt && ls reports | wc -l");
    assert!(report.contains("\"nope/wal\"") && report.ends_with("Validation: FAILED\n2\n"), "{report}");
    assert!(!installation.path("nope").exists());
    let line = format!("stemedb-admin diagnose --url {} --to incidents", installation.url());
    installation.typed(&format!("{line} && test -f incidents/incident-*/health.json"));
}

/// Goal: where no backup is named, it is the newest full one that is checked, copied and fetched. Method: one of the log and one of the tables are
/// newer, and only then the full one goes bad.
#[test]
fn a_backup_of_a_part_does_not_stand_for_a_full_one() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin backup run");
    installation.typed("stemedb-admin backup run --type wal && stemedb-admin backup run --type db");
    let full = installation.backups().remove(0);
    let id = metadata(&full)["backup_id"].as_str().expect("an identity").to_owned();
    for line in ["backup verify", "backup push --store store", "backup fetch --store store --local elsewhere"]
    {
        let said = installation.typed(&format!("stemedb-admin {line}"));
        assert!(said.contains(&id), "{line}: {said}");
    }
    let fetched = installation.typed("stemedb-admin backup list --from elsewhere --json");
    assert_eq!(json(&fetched)["backups"][0]["backup_id"], id.as_str(), "{fetched}");
    // By the name of its directory, and where that is.
    let name = full.file_name().expect("it has one").to_string_lossy().into_owned();
    installation.typed(&format!("stemedb-admin backup verify {name}"));
    installation.typed(&format!("cd backups && stemedb-admin backup verify {name}"));
    installation.typed(&format!("stemedb-admin restore --backup {id} --validate-only"));
    let segment = metadata(&full)["files"][0]["path"].as_str().expect("a path").to_owned();
    // One of its own: those that are shared would go bad together.
    fs::remove_file(full.join(&segment)).expect("it is there");
    let (code, said) = installation.refused("stemedb-admin backup verify");
    assert!(code == 3 && said.contains(&segment), "{said}");
    let status = || installation.typed("cat data/status/verify.json");
    assert!(status().contains("\"last_run_failed\":true"));
    // What is watched is that one, neither another nor a copy of it elsewhere.
    let of_wal =
        installation.typed("stemedb-admin backup list --type wal --json | jq -r '.backups[0].backup_id'");
    installation.typed(&format!("stemedb-admin backup verify {of_wal}"));
    installation.typed(&format!("stemedb-admin backup verify elsewhere/{name}"));
    assert!(status().contains("\"last_run_failed\":true"), "{}", status());
    let original = installation.path("elsewhere").join(&name).join(&segment);
    fs::copy(original, full.join(&segment)).expect("writable");
    installation.typed(&format!("stemedb-admin backup verify {id}"));
    assert!(status().contains("\"last_run_failed\":false"), "{}", status());
    // A directory that is called like another backup is not that one.
    installation.typed(&format!("mv elsewhere/{name} {id} && rm -r backups/*"));
    let (code, said) =
        installation.refused(&format!("stemedb-admin restore --backup-id {id} --validate-only"));
    assert!(code == 1 && said.contains("in backups"), "{said}");
    installation.typed(&format!("stemedb-admin restore --backup ./{id} --validate-only"));
    installation.typed("rm -rf backups/* && stemedb-admin backup run --type wal");
    let (code, said) = installation.refused("stemedb-admin backup push --store store");
    assert_eq!(code, 1);
    assert!(said.contains("no backup of type full in backups, but 1 of type wal"), "{said}");
    let (_, said) = installation.refused("stemedb-admin backup fetch wal_20260130_020000 --store store");
    assert!(said.contains("no backup \"wal_20260130_020000\" in store"), "{said}");
}

#[test]
fn tables_are_shared_with_the_last_full_backup_whatever_came_between() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 100);
    move_into_tables(&installation, 100);
    for of in ["full", "wal", "full"] {
        installation.typed(&format!("stemedb-admin backup run --type {of}"));
    }
    let backups = installation.backups();
    let files = metadata(&backups[2])["files"].as_array().expect("it has files").clone();
    let paths = files.iter().map(|file| file["path"].as_str().expect("a path"));
    let tables: Vec<_> = paths.filter(|path| path.ends_with(".kv")).collect();
    assert!(!tables.is_empty());
    for table in tables {
        let inode = |at: usize| fs::metadata(backups[at].join(table)).expect("it is there").ino();
        assert_eq!(inode(0), inode(2), "{table}");
    }
}

/// Goal: where the log's disk is missing nothing is copied that would stand for what is on it. Method: the log is emptied, before and after the
/// tables; and log and tables change places.
#[test]
fn what_is_left_where_a_disk_is_missing_is_not_copied() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin backup run && stemedb-admin archive run");
    installation.stop();
    installation.typed("mv data/wal wal && mkdir data/wal");
    let refuse = |told: &str| {
        for line in ["backup run", "backup run --type db", "archive run"] {
            let (code, said) = installation.refused(&format!("stemedb-admin {line}"));
            assert_eq!(code, 1, "{line}: {said}");
            assert!(said.contains(told) && said.contains("Is the right disk mounted?"), "{line}: {said}");
        }
        assert_eq!(installation.backups().len(), 1);
        for job in ["backup", "archive"] {
            let status = installation.typed(&format!("cat data/status/{job}.json"));
            assert!(status.contains("\"last_run_failed\":true"), "{job}: {status}");
        }
    };
    refuse("there is no log in data/wal");
    // An older log, as another disk may have it.
    installation.typed("mv data/metadata.json metadata.json");
    installation.start();
    installation.stop();
    installation.typed("jq '.generation = 2' metadata.json >data/metadata.json");
    refuse("generation 2 was begun, but the log ends with generation 1");
    let (_, said) = installation.refused("stemedb-admin backup run --wal-dir data/db --db-dir data/wal");
    assert!(said.contains("there is no log in data/db"), "{said}");
}

/// Goal: what is damaged is told of whoever names it, here as in a store. Method: the metadata of the newest of two backups, and its note in the store.
#[test]
fn a_backup_that_says_nothing_of_itself_is_damaged_under_every_name() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    for _ in 0..2 {
        installation.typed("stemedb-admin backup run && stemedb-admin backup push --store store");
    }
    let backups = installation.backups();
    let id = |at: usize| metadata(&backups[at])["backup_id"].as_str().expect("an identity").to_owned();
    let (good, broken) = (id(0), id(1));
    fs::write(backups[1].join("metadata.json"), "{").expect("writable");
    let directory = backups[1].display();
    for line in [
        format!("backup verify {broken}"),
        format!("backup verify {directory}"),
        format!("restore --dry-run --backup-id {broken}"),
        format!("restore --dry-run --backup {directory}"),
        format!("backup push {broken} --store other"),
    ] {
        let (code, said) = installation.refused(&format!("stemedb-admin {line}"));
        assert_eq!(code, 3, "{line}: {said}");
        assert!(said.contains("is none"), "{line}: {said}");
    }
    installation.typed(&format!("note=$(find store -name {broken}.json) && echo '{{' >$note"));
    for line in ["backup list --store store", "backup fetch --store store --local fetched"] {
        let said = installation.typed(&format!("stemedb-admin {line} 2>&1"));
        assert!(
            said.contains(&format!("{broken}.json in store has the name")) && said.contains(&good),
            "{said}"
        );
    }
}

/// Goal: a backup of a part is no full one to those who watch, and is put back only where the other part is. Method: both parts, in both orders, into an
/// empty place.
#[test]
fn a_part_is_put_back_where_the_other_one_is() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 50);
    move_into_tables(&installation, 50);
    let early = installation.typed("date +%s.%6N; sleep 0.01").trim().to_owned();
    write_all(&installation, "b", 10);
    installation.typed("stemedb-admin backup run --type wal && stemedb-admin backup run --type db");
    assert!(!installation.path("data/status/backup.json").exists());
    installation.stop();
    installation.typed("mv data aside; mkdir data");
    let (code, said) = installation.refused("stemedb-admin restore --type wal --yes");
    assert!(code == 1 && said.contains("does not go on behind the tables"), "{said}");
    assert_eq!(installation.typed("ls data | grep -v status || true"), "");
    let told = installation.typed("stemedb-admin restore --type db --yes");
    assert!(told.contains("tables alone"), "{told}");
    installation.typed("stemedb-admin restore --type wal --yes");
    installation.start();
    assert_eq!(installation.assertion_count(), 60);
    // Tables are not cut, and are saved also where the log is damaged.
    move_into_tables(&installation, 60);
    installation.stop();
    let (code, said) =
        installation.refused(&format!("stemedb-admin restore --type wal --yes --target-time {early}"));
    assert!(code == 1 && said.contains("came after the moment, and cannot be cut"), "{said}");
    let segment = installation.typed("ls data/wal/segment-* | tail -n 1");
    installation
        .typed(&format!("dd if=/dev/zero of={} bs=4096 count=1 conv=notrunc status=none", segment.trim()));
    installation.typed("stemedb-admin backup run --type db");
}

/// Goal: what a restore to a moment gives up is told, all of it. Method: the only backup is younger than the moment, and the log in place has more than it.
#[test]
fn what_came_after_the_backup_is_told_among_what_is_dropped() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    let moment = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01").trim().to_owned();
    write_all(&installation, "b", 5);
    installation.typed("stemedb-admin backup run");
    write_all(&installation, "c", 3);
    let line = format!("stemedb-admin restore --json --dry-run --target-time {moment}");
    let dry = json(&installation.typed(&line));
    assert_eq!((&dry["assertion_count"], &dry["cut"]["records_dropped"]), (&10.into(), &8.into()), "{dry}");
    assert_eq!(dry["cut"]["counted_to"], Value::Null);
    // What is beyond the next backup is not looked at: it is not needed, and may be why somebody restores.
    installation.typed("stemedb-admin backup run");
    write_all(&installation, "d", 1);
    installation.stop();
    let second = metadata(&installation.backups()[1])["backup_id"].clone();
    let dry = json(&installation.typed(&line));
    assert_eq!((&dry["cut"]["records_dropped"], &dry["cut"]["counted_to"]), (&8.into(), &second), "{dry}");
    fs::rename(installation.path("data/db/MANIFEST"), installation.path("manifest")).ok();
    fs::write(installation.path("data/db/MANIFEST"), "none").expect("writable");
    let told = installation.typed(&format!("stemedb-admin restore --dry-run --target-time {moment}"));
    assert!(told.contains("as far as full_") && told.contains("set aside with the log"), "{told}");
    fs::remove_file(installation.path("data/db/MANIFEST")).expect("it was written");
    fs::rename(installation.path("manifest"), installation.path("data/db/MANIFEST")).ok();
    let told = installation.typed("stemedb-admin restore --dry-run --target-time 9999-01-01T00:00:00Z 2>&1");
    assert!(told.contains("has not come yet") && told.contains(", 19 assertions"), "{told}");
}

#[test]
fn a_moment_of_which_nothing_is_left_is_refused() {
    let installation = Installation::new();
    installation.start();
    let between = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01").trim().to_owned();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin backup run");
    installation.stop();
    let before = installation.typed("find data -type f -not -path 'data/status/*' | sort");
    let told = "no assertion would be left";
    for (moment, told) in [
        ("0", "nothing had been acknowledged by 1970-01-01T00:00:00Z: no assertion would be left"),
        ("'2026-01-28 14:30:00 UTC'", told),
        // There was a log by then, and nothing in it.
        (&*between, told),
        ("$(date +%F)", "names a day and no time of it; write 2"),
        ("2026-01-28Z", "write 2026-01-28T00:00:00Z"),
    ] {
        let (code, said) =
            installation.refused(&format!("stemedb-admin restore --yes --target-time {moment}"));
        assert_eq!(code, 2, "{moment}: {said}");
        assert!(said.contains(told), "{moment}: {told} is not in {said}");
    }
    let (code, said) = installation.refused("stemedb-admin restore --yes --target-lsn 0:1");
    assert!(code == 2 && said.contains(told), "{said}");
    assert_eq!(installation.typed("find data -type f -not -path 'data/status/*' | sort"), before);
}

/// Goal: a restore says what it does, to people and to programs, no more and no less. Method: one that has nothing to cut off, and one that has.
#[test]
fn a_restore_tells_people_and_programs_what_it_does() {
    let installation = Installation::new();
    installation.start();
    write_all(&installation, "a", 10);
    installation.typed("stemedb-admin backup run");
    let moment = installation.typed("sleep 0.01; date +%s.%6N; sleep 0.01").trim().to_owned();
    write_all(&installation, "b", 5);
    installation.stop();
    let id = metadata(&installation.backups()[0])["backup_id"].clone();
    let valid = json(&installation.typed("stemedb-admin restore --json --validate-only"));
    assert_eq!(
        (&valid["backup_id"], &valid["valid"], &valid["assertion_count"]),
        (&id, &true.into(), &10.into())
    );
    let dry = json(&installation.typed("stemedb-admin restore --json --dry-run"));
    assert_eq!((&dry["backup_id"], &dry["dry_run"], &dry["cut"]), (&id, &true.into(), &Value::Null));
    let line = format!("stemedb-admin restore --json --dry-run --target-time {moment}");
    let dry = json(&installation.typed(&line));
    assert_eq!((&dry["assertion_count"], &dry["cut"]["records_dropped"]), (&10.into(), &5.into()));

    let later = installation.typed("stemedb-admin restore --yes --target-time $(date +%s.%6N)");
    assert!(later.contains("Nothing had to be cut off; a server"), "{later}");
    assert!(later.contains("Keeping existing data/metadata.json as data/metadata.json.backup."), "{later}");
    let line = format!("stemedb-admin restore --json --yes --target-time {moment}");
    let restored = json(&installation.typed(&line));
    assert_eq!((&restored["assertion_count"], &restored["cut"]["records_dropped"]), (&10.into(), &5.into()));
    let aside: Vec<_> =
        restored["kept_aside"].as_array().expect("a list").iter().map(Value::to_string).collect();
    for part in ["data/wal.backup.", "data/db.backup.", "data/metadata.json.backup.", "data/wal.cut-tail."] {
        assert!(aside.iter().any(|path| path.contains(part)), "{part} is not in {aside:?}");
    }
    for path in restored["kept_aside"].as_array().expect("a list") {
        assert!(installation.path(path.as_str().expect("a path")).exists(), "{path}");
    }
    let later = installation.typed(&format!("stemedb-admin restore --yes --target-time {moment}"));
    assert!(later.contains("ready to accept connections"), "{later}");
}
