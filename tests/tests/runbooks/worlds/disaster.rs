//! A server that has lost its disk, has damaged indexes, or is to forget the last minutes.

use std::env;
use std::process::Command;

use stemedb_tests::machine::Host;

use super::{assertion_count, call_this_ten_minutes_ago, store};
use crate::installed;
use crate::walk::Walk;

const LOST: &str = "The disk or the machine is lost";
const FROM_STORE: &str = "From an object store";

/// Where the machine has its object store, and the settings for it.
const STORE: &str = "http://127.0.0.1:9000";
const STORE_SETTINGS: &str = "MINIO_ENDPOINT=http://127.0.0.1:9000\nMINIO_ACCESS_KEY=operator\nMINIO_SECRET_KEY=secret\nBACKUP_BUCKET=stemedb\n";

/// Starts an object store with an empty bucket; `None` where none is installed.
fn start_store(host: &Host) -> Option<()> {
    let (path, home) = (env::var("PATH").ok()?, env::var("HOME").ok()?);
    Command::new("moto_server").arg("--version").output().ok()?;
    host.typed(&format!(
        "PATH={path} systemd-run --quiet --unit=store --setenv=PATH={path} --setenv=HOME={home} \"$(PATH={path} command -v moto_server)\" -H 127.0.0.1 -p 9000"
    ));
    host.wait_until("there is a bucket", || {
        host.output(&format!("curl -f -X PUT {STORE}/stemedb")).status.success()
    });
    Some(())
}

#[test]
fn disasters_are_overcome_by_their_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/disaster.md", &host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 6_000);
    host.typed("/opt/stemedb/scripts/archive-wal.sh && /opt/stemedb/scripts/backup-stemedb.sh");
    let listed = walk.types("First");
    assert!(listed.contains("FULL Backups:"), "{listed}");
    let incident = format!("{}/incident-*", host.operators_home());
    host.typed(&format!("cd {incident} && ls metadata.json process.txt settings.txt && grep '^/opt/stemedb/data/wal: .* free' disk.txt"));

    // What was archived after the backup comes back; what was not is what may be lost.
    store(&host, "archived", 30);
    host.typed("/opt/stemedb/scripts/archive-wal.sh");
    store(&host, "lost", 5);
    host.typed(
        "systemctl stop stemedb-api && rm -rf /opt/stemedb/data && chown -R root /opt/stemedb/backups",
    );
    walk.in_directory(Host::checkout());
    walk.types_next(LOST);
    walk.types("From a disk");
    walk.types_next(LOST);
    assert_eq!(assertion_count(&host), 6_030);
    walk.types(LOST);
    host.wait_until("the first runs of the timers", || {
        host.output("systemctl is-active stemedb-archive stemedb-backup stemedb-verify | grep -x activating")
            .stdout
            .is_empty()
    });
    host.typed("systemctl disable --now stemedb-archive.timer stemedb-backup.timer stemedb-verify.timer");

    host.typed("install -d -o stemedb -g stemedb /opt/stemedb/data/db/indexes");
    let said = walk.types("Stored data is damaged");
    assert!(said.matches("Validation: PASSED").count() == 2, "{said}");
    // What has gone into tables since the last backup could not be cut, as no archive is named here.
    host.typed("/opt/stemedb/scripts/backup-stemedb.sh");
    call_this_ten_minutes_ago(&host);
    store(&host, "rubbish", 10);
    let told = walk.types("A mistake is to be undone");
    assert!(told.contains("Cutting the log back"), "{told}");
    for section in [
        "A restore takes too long",
        "The backup service fails",
        "A backup has an odd size",
        "The archive lags",
    ] {
        walk.types(section);
    }
    let drilled = walk.types("The drill");
    assert!(drilled.contains(": PASSED ("), "{drilled}");
    // What root has made by hand must not be in the way of the service's user.
    host.typed("systemctl start stemedb-drill.service && systemctl start stemedb-backup.service");

    match start_store(&host) {
        None => walk.skips(FROM_STORE, "no moto_server on this machine (pip install 'moto[server]')"),
        Some(()) => comes_back_from_a_store(&host, &mut walk),
    }
    walk.ends();
}

/// Goal: the machine is lost with all that is on it, and comes back from the bucket, with what was archived last.
fn comes_back_from_a_store(host: &Host, walk: &mut Walk<'_>) {
    host.write("/etc/stemedb/stemedb.env", STORE_SETTINGS);
    host.typed("systemctl start stemedb-archive.service && systemctl start stemedb-backup.service");
    store(host, "archived in the bucket", 20);
    host.typed("systemctl start stemedb-archive.service");
    let count = assertion_count(host);
    store(host, "lost once more", 5);
    host.typed(
        "systemctl stop stemedb-api && rm -rf /opt/stemedb/data /opt/stemedb/backups /opt/stemedb/archive",
    );
    host.typed(&format!("cd {} && deploy/install.sh", Host::checkout().display()));
    let said = walk.types(FROM_STORE);
    assert!(said.contains("FULL Backups:") && said.contains(" fetched from full/"), "{said}");
    assert_eq!(assertion_count(host), count);
}
