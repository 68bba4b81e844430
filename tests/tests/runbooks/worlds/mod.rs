//! The worlds of the pages: each brings a machine into the trouble that its page is about, and walks through it.

mod backup;
mod deploy;
mod disaster;
mod full;
mod latency;
mod monitoring;
mod readme;
mod recovery;
mod restore;
mod tls;
mod troubleshooting;
mod upgrade;
mod wont_start;

use stemedb_tests::machine::Host;

/// In a drop-in: ten starts in vain are too many also on a machine on which they take longer than a minute.
const SLOW_STARTS_COUNT: &str = "[Unit]\nStartLimitIntervalSec=3600";

/// Stores so many claims, each about a subject of its own below `path`.
fn store(host: &Host, path: &str, claims: u32) {
    let claim = format!(
        r#"{{\"concept_path\":\"{path}/%d\",\"predicate\":\"is\",\"value\":%d,\"timestamp\":1700000000}}\n"#
    );
    host.typed(&format!("seq {claims} | awk '{{ printf \"{claim}\", $1, $1 }}' | stemedb-admin import -"));
}

/// Types what must fail.
fn fails(host: &Host, line: &str) {
    let output = host.output(line);
    assert!(!output.status.success(), "{line} has not failed:\n{}", String::from_utf8_lossy(&output.stdout));
}

/// How many claims the server says that it has.
fn assertion_count(host: &Host) -> u64 {
    let count = host.typed("curl http://localhost:18180/v1/health | jq .assertion_count");
    count.trim().parse().unwrap_or_else(|_| panic!("{count:?} is no count"))
}

/// Has this moment, which lies between two claims, be what the pages call ten minutes ago: no test waits for so long.
fn call_this_ten_minutes_ago(host: &Host) {
    let next_second = "second=$(date +%s); until [ $(date +%s) -gt $second ]; do sleep 0.02; done";
    host.typed(&format!("{next_second}; date -u '+%Y-%m-%d %H:%M:%S UTC' >/var/moment; {next_second}"));
    let date =
        "#!/bin/sh\ncase \"$*\" in *'10 minutes ago'*) cat /var/moment;; *) exec /bin/date \"$@\";; esac\n";
    host.write("/usr/local/bin/date", date);
    host.typed("chmod +x /usr/local/bin/date");
}

/// A disk of its own for the data, on an image file.
struct Disk;

impl Disk {
    /// Puts the data of a server that was never started on one of 1 GiB, which is sparse.
    fn of_data(host: &Host) -> Disk {
        host.typed(
            "truncate -s 1G /var/disk.img && mkfs.ext4 -q /var/disk.img && mount -o loop /var/disk.img /opt/stemedb/data && \
             chown stemedb:stemedb /opt/stemedb/data",
        );
        Disk
    }

    /// Has every write fail from now on, and the next one be tried.
    fn fails(&self, host: &Host) {
        host.typed("xfs_io -x -c shutdown /opt/stemedb/data");
        let claim = r#"{"concept_path":"never/stored","predicate":"is","value":1}"#;
        let answer = host.typed(&format!("curl http://localhost:18180/v1/assert -d '{claim}'"));
        assert!(answer.contains("storage_failed"), "{answer}");
    }

    /// Has the disk come back with what was durable.
    fn is_sound_again(&self, host: &Host) {
        host.typed("umount -l /opt/stemedb/data && systemctl kill --signal=KILL stemedb-api");
        host.wait_until("nobody holds the disk", || {
            host.output("losetup -j /var/disk.img | grep .").stdout.is_empty()
        });
        host.typed("mount -o loop /var/disk.img /opt/stemedb/data");
    }
}
