//! The disk under the data directory: what file system, written how, and how quickly.

use std::path::Path;
use std::time::Duration;

use stemedb_engine::data_dir::{durable_write_latencies, mount_of, supports_direct_io};
use stemedb_engine::ring::probe::{Finding, State};

/// Enough for a median, and over within seconds even on a slow disk.
const WRITES: usize = 300;

/// A median above this makes every client that waits for its answer feel the disk.
const LATENCY_COMFORTABLE: Duration = Duration::from_millis(2);

/// No disk makes a write durable in less.
const LATENCY_CREDIBLE: Duration = Duration::from_micros(4);

/// Tries out the disk under `directory`, or, while that does not exist, under the nearest directory above it. Leaves
/// nothing behind.
pub(super) fn examine(directory: &Path) -> Vec<Finding> {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    if absolute.exists() && !absolute.is_dir() {
        let text = format!("{} is no directory", absolute.display());
        return vec![finding("data directory", State::Missing, text)];
    }
    let Some(existing) = absolute.ancestors().find(|ancestor| ancestor.is_dir()) else {
        return vec![finding(
            "data directory",
            State::Missing,
            format!("{} is not there", absolute.display()),
        )];
    };
    let direct_io = match supports_direct_io(existing) {
        Ok(direct_io) => direct_io,
        Err(error) => return vec![finding("data directory", State::Missing, error.to_string())],
    };
    let place = if existing == absolute {
        format!("{} is there and can be written", absolute.display())
    } else {
        format!("{} is not there yet; {} can be written", absolute.display(), existing.display())
    };
    vec![
        finding("data directory", State::Good, place),
        file_system(existing),
        judge_direct_io(direct_io),
        durable_writes(existing),
    ]
}

fn file_system(directory: &Path) -> Finding {
    let subject = "file system";
    match mount_of(directory) {
        Ok(mount) => {
            let (state, remark) = judge_file_system(&mount.file_system);
            let found =
                format!("{} ({} on {})", mount.file_system, mount.source, mount.mount_point.display());
            finding(subject, state, found + remark)
        }
        Err(error) => finding(subject, State::Warning, format!("unknown, {error}")),
    }
}

fn judge_file_system(name: &str) -> (State, &'static str) {
    match name {
        "ext4" | "xfs" => (State::Good, ""),
        "tmpfs" | "ramfs" => (
            State::Warning,
            "; it lives in memory and is gone with the power: choose a disk for data that is to stay",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph" => (
            State::Warning,
            "; whether a write is durable is up to another machine: prefer a local ext4 or xfs",
        ),
        "overlay" => (
            State::Warning,
            "; a container's own layer is slow and gone with the container: mount a volume for the data",
        ),
        _ => (State::Warning, "; StemeDB is tried on ext4 and xfs: prefer one of them"),
    }
}

fn judge_direct_io(supported: bool) -> Finding {
    let subject = "writing past the page cache (O_DIRECT)";
    if supported {
        finding(subject, State::Good, "supported".to_owned())
    } else {
        let text = "not supported by this file system; writes go through the page cache and take longer";
        finding(subject, State::Warning, text.to_owned())
    }
}

fn durable_writes(directory: &Path) -> Finding {
    match durable_write_latencies(directory, WRITES) {
        Ok(latencies) => judge_latencies(latencies),
        Err(error) => finding("durable 4 KiB writes", State::Missing, error.to_string()),
    }
}

fn judge_latencies(mut latencies: Vec<Duration>) -> Finding {
    latencies.sort_unstable();
    let median = latencies[latencies.len() / 2];
    let found = format!(
        "median {} µs, p99 {} µs",
        median.as_micros(),
        latencies[latencies.len() * 99 / 100].as_micros()
    );
    let (state, remark) = if median > LATENCY_COMFORTABLE {
        (
            State::Warning,
            "; every write waits as long: a disk with power-loss protection answers in well under 0.1 ms",
        )
    } else if median < LATENCY_CREDIBLE {
        (State::Warning, "; no disk is as quick: whatever this is may forget what it has acknowledged")
    } else {
        (State::Good, "")
    };
    finding("durable 4 KiB writes", state, found + remark)
}

fn finding(subject: &str, state: State, text: String) -> Finding {
    Finding { subject: subject.to_owned(), state, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_tried_out_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let findings = examine(directory.path());
        assert_eq!(findings.len(), 4);
        assert_eq!(findings[0].state, State::Good);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_to_come_is_judged_by_the_one_above() {
        let directory = tempfile::tempdir().unwrap();
        let findings = examine(&directory.path().join("data/wal"));
        assert_eq!(findings.len(), 4);
        assert!(findings[0].text.contains("data/wal is not there yet"), "{}", findings[0]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_written_fails() {
        let findings = examine(Path::new("/proc/self"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].state, State::Missing);
        assert!(findings[0].text.contains("/proc/self"), "{}", findings[0]);
    }

    #[test]
    fn only_disks_of_credible_speed_are_good() {
        for (median_us, expected) in [(1, State::Warning), (98, State::Good), (9_000, State::Warning)] {
            let mut latencies = vec![Duration::from_micros(median_us); 99];
            latencies.push(Duration::from_secs(1));
            let finding = judge_latencies(latencies);
            assert_eq!(finding.state, expected);
            assert!(finding.text.starts_with(&format!("median {median_us} µs, p99 1000000 µs")), "{finding}");
        }
    }

    #[test]
    fn memory_and_other_machines_are_no_place_for_a_log() {
        assert_eq!(judge_file_system("xfs").0, State::Good);
        for name in ["tmpfs", "nfs4", "overlay", "btrfs"] {
            assert_eq!(judge_file_system(name).0, State::Warning, "{name}");
        }
    }
}
