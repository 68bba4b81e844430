//! `stemedb-admin wal inspect` on logs that the engine wrote, whole and damaged.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use stemedb_engine::claim::{Claim, ConceptPath, Predicate, Timestamp, assertion};
use stemedb_engine::data_dir::RemovalRight;
use stemedb_engine::log::blocking::drive;
use stemedb_engine::log::lane::LaneConfig;
use stemedb_engine::log::opening::{Opening, open_generation};
use stemedb_engine::log::record::RecordKind;
use stemedb_engine::log::recovery::recover;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::log::storage::{DirStorage, LogDisk as _};
use stemedb_engine::log::{Generation, SEGMENT_BYTES_MIN, SegmentNumber};
use stemedb_engine::slot::LaneId;
use stemedb_engine::time::UnixMicros;
use tempfile::TempDir;

use crate::stand_in::StandIn;

/// Two lanes. Lane 0: the opening (4096), its marker (8192), a frame of two claims (12288), one of one (16384), and a
/// prepared segment. Lane 1: only the opening.
fn log() -> TempDir {
    log_of(&[&["5.9-4", "5.9\u{1b}[2J"], &["5.9-5"]])
}

/// The same with other frames.
fn log_of(frames: &[&[&str]]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let now = UnixMicros(1_769_610_600_000_000);
    let mut disk = DirStorage::new(directory.path());
    let recovered = recover(&disk, &mut |_| Ok(())).unwrap();
    let lane =
        LaneConfig { segment_bytes: SEGMENT_BYTES_MIN, ..LaneConfig::new(LaneId(0), Generation::FIRST) };
    let mut lanes =
        open_generation(&mut disk, &recovered, &Opening { lanes: 2, lane, now, monotonic_us: 0 }).unwrap();
    for values in frames {
        for value in *values {
            lanes[0].append(RecordKind::Assertion, 0, &payload(value, now)).unwrap();
        }
        drive(&mut lanes[0], &mut disk, now, 0).unwrap();
    }
    disk.prepare(SegmentId { lane: LaneId(0), number: SegmentNumber(2) }, SEGMENT_BYTES_MIN).unwrap();
    directory
}

fn payload(value: &str, now: UnixMicros) -> Vec<u8> {
    let claim = Claim::new(
        ConceptPath::new("debian/package/zsh").unwrap(),
        Predicate::new("version").unwrap(),
        stemedb_engine::claim::Value::text(value).unwrap(),
        Timestamp::new(now).unwrap(),
    );
    let mut payload = Vec::new();
    assertion::encode(&claim, &[], &mut payload);
    payload
}

fn segment(log: &TempDir) -> PathBuf {
    log.path().join("segment-00-0000000001.log")
}

fn overwrite(log: &TempDir, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(segment(log)).unwrap().write_all_at(bytes, offset).unwrap();
}

fn inspect(log: &TempDir, options: &[&str]) -> Output {
    let mut arguments = vec!["wal", "inspect", log.path().to_str().expect("the path is ASCII")];
    arguments.extend(options);
    StandIn::start([]).admin(&arguments, "")
}

/// Runs with `--json` and returns what was found: of each thing, the values of these fields.
fn found(log: &TempDir, options: &[&str], fields: &[&str]) -> Vec<Value> {
    let output = inspect(log, &[options, &["--json"]].concat());
    let lines = String::from_utf8(output.stdout).unwrap();
    let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.map(|object| fields.iter().map(|field| object[field].clone()).collect()).collect()
}

/// Goal: nothing is read while its content goes. Method: files are being removed, and an inspection waits for that in the kernel's list of locks.
#[test]
fn an_inspection_waits_while_files_are_removed() {
    let log = log();
    let right = RemovalRight::on(log.path()).unwrap().unwrap();
    let inode = fs::metadata(log.path().join("HOLD")).unwrap().ino();
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|lock| lock.contains("-> FLOCK") && lock.contains(&format!(":{inode} ")))
    };
    std::thread::scope(|scope| {
        let inspecting = scope.spawn(|| inspect(&log, &[]));
        while !waits() && !inspecting.is_finished() {
            std::thread::yield_now();
        }
        assert!(waits(), "it did not wait");
        drop(right);
        assert!(inspecting.join().unwrap().status.success());
    });
}

/// Goal: whoever looks at a log for long does not keep it from getting shorter. Method: output that nobody takes.
#[test]
fn an_inspection_whose_output_waits_holds_no_files() {
    let value = "v".repeat(1000);
    let log = log_of(&[&[value.as_str(); 200]]);
    drop(RemovalRight::on(log.path()).unwrap());
    let mut inspecting = Command::new(env!("CARGO_BIN_EXE_stemedb-admin"))
        .args(["--json", "wal", "inspect", "--records"])
        .arg(log.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(inspecting.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let right = loop {
        if let Some(right) = RemovalRight::on(log.path()).unwrap() {
            break right;
        }
        std::thread::yield_now();
    };
    assert!(inspecting.try_wait().unwrap().is_none(), "more is to come than fits into a pipe");
    drop(right);
    io::copy(&mut output, &mut io::sink()).unwrap();
    assert!(inspecting.wait().unwrap().success());
}

#[test]
fn a_sound_log_is_summed_up_by_segment() {
    let log = log();
    let output = inspect(&log, &[]);
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let path = log.path().display();
    assert_eq!(
        lines[..3],
        [
            format!(
                "{path}/segment-00-0000000001.log: 2,097,152 bytes, generation 1, begun 2026-01-28T14:30:00Z, first LSN 1"
            ),
            "  4 records (LSN 1 to 4) in 3 frames, 1 markers, committed to LSN 3, end at 20480".to_owned(),
            format!("{path}/segment-00-0000000002.log: 2,097,152 bytes, prepared, not begun"),
        ]
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn frames_and_records_are_shown_on_request() {
    let log = log();
    let frames =
        found(&log, &["--lane", "0", "--segment", "1", "--frames"], &["found", "offset", "kind", "records"]);
    let expected = [
        json!(["frame", 4096, "records", 1]),
        json!(["frame", 8192, "marker", 0]),
        json!(["frame", 12288, "records", 2]),
        json!(["frame", 16384, "records", 1]),
        json!(["sum", null, null, 4]),
    ];
    assert_eq!(frames[1..], expected);

    let records = found(&log, &["--lane", "0", "--records"], &["found", "lsn", "predicate", "value"]);
    let assertions: Vec<_> = records.into_iter().filter(|row| row[2] == "version").collect();
    let expected = [(2, "5.9-4"), (3, "5.9\u{1b}[2J"), (4, "5.9-5")]
        .map(|(lsn, value)| json!(["record", lsn, "version", value]));
    assert_eq!(assertions, expected);

    let stdout = String::from_utf8(inspect(&log, &["--records"]).stdout).unwrap();
    assert!(stdout.contains("    LSN 1 generation, "), "{stdout}");
    assert!(stdout.contains("debian/package/zsh version \"5.9-4\"\n"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "values cannot move the cursor");
}

#[test]
fn damage_is_shown_with_what_follows_it() {
    let log = log();
    overwrite(&log, 12288 + 100, b"damage");
    let output = inspect(&log, &[]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("  BAD at 12288, 4,096 bytes: Checksum mismatch in WAL segment"), "{stdout}");
    assert!(stdout.contains(
        "  2 records (LSN 1 to 4) in 2 frames, 1 markers, committed to LSN 3, end at 20480, 1 BAD\n"
    ));
    let kinds = found(&log, &["--lane", "0", "--segment", "1", "--frames"], &["found", "offset"]);
    let expected = [
        json!(["frame", 4096]),
        json!(["frame", 8192]),
        json!(["bad", 12288]),
        json!(["frame", 16384]),
        json!(["sum", null]),
    ];
    assert_eq!(kinds[1..], expected);
}

#[test]
fn a_broken_header_is_shown_and_does_not_hide_the_frames() {
    let log = log();
    overwrite(&log, 0, b"X");
    let output = inspect(&log, &[]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("BAD header: WAL magic byte validation failed"), "{stdout}");
    assert!(stdout.contains("  4 records (LSN 1 to 4)"), "{stdout}");
}

#[test]
fn an_inspection_changes_nothing() {
    let log = log();
    overwrite(&log, 12288, b"damage");
    let before = fs::read(segment(&log)).unwrap();
    inspect(&log, &["--records"]);
    assert!(fs::read(segment(&log)).unwrap() == before);
    assert_eq!(fs::read_dir(log.path()).unwrap().count(), 3);
}

#[test]
fn a_directory_without_segments_is_named_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("wal")).unwrap();
    let output = inspect(&directory, &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("there are no segments") && stderr.ends_with("/wal?\n"), "{stderr}");

    let absent = StandIn::start([]).admin(&["wal", "inspect", "/no/such"], "");
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("/no/such: No such file or directory"));
}
