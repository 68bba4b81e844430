//! A log, then tables, that are damaged in each of the ways that the page tells of.

use stemedb_tests::machine::Host;

use super::{assertion_count, fails, store};
use crate::installed;
use crate::walk::Walk;

const DATA: &str = "/opt/stemedb/data";
const SEGMENT: &str = "/opt/stemedb/data/wal/segment-00-0000000003.log";

/// Stores claims one after another, each durable before the next, so that there are frames behind frames.
fn store_singly(host: &Host) {
    let claim = r#"{"concept_path":"single/'$i'","predicate":"is","value":1}"#;
    host.typed(&format!(
        "for i in $(seq 40); do curl -o /dev/null http://localhost:18180/v1/assert -d '{claim}'; done"
    ));
}

/// Starts the server, which must refuse.
fn refuses(host: &Host) {
    host.output("systemctl reset-failed stemedb-api");
    fails(host, "systemctl start stemedb-api");
}

/// Tries a start while a file is another one, then puts it back.
fn refuses_with(host: &Host, file: &str, change: &str) {
    host.typed(&format!("cp -a {file} /root/whole && {change}"));
    refuses(host);
    host.typed(&format!("cp -a /root/whole {file}"));
}

/// Overwrites a few bytes of a file.
fn overwritten(file: &str, offset: u32) -> String {
    format!("printf 'damage' | dd of={file} bs=1 seek={offset} conv=notrunc")
}

/// A table, if there is one.
fn table(host: &Host) -> String {
    host.typed(&format!("ls {DATA}/db | grep '^assertions-.*kv$' | head -n 1 || true")).trim().to_owned()
}

#[test]
fn damage_is_told_and_overcome_by_its_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/recovery.md", &host);
    walk.in_directory("/opt/stemedb");
    host.edit("Environment=STEMEDB_SEGMENT_BYTES=2MiB STEMEDB_CHECKPOINT_BYTES=4MiB\nRestart=no");

    host.typed("systemctl start stemedb-api");
    store_singly(&host);
    host.typed("systemctl kill --signal=KILL stemedb-api");
    host.wait_until("it is gone", || !host.output("systemctl is-active stemedb-api").status.success());
    host.typed(&format!("mv {DATA}/wal /root/wal"));
    refuses(&host);
    host.typed(&format!("rm -rf {DATA}/wal && mv /root/wal {DATA}/wal"));
    let end = host.typed(&format!(
        "stemedb-admin wal inspect {DATA}/wal --lane 0 --segment 1 --json | jq -r 'select(.found == \"sum\") | .end'"
    ));
    host.typed(&format!(
        "dd if=<(yes unfinished) of={DATA}/wal/segment-00-0000000001.log bs=1 seek={} count=4096 iflag=fullblock conv=notrunc",
        end.trim()
    ));
    host.typed("systemctl reset-failed stemedb-api; systemctl start stemedb-api");
    host.typed("systemctl restart stemedb-api");
    store_singly(&host);
    let count = assertion_count(&host);
    host.typed("systemctl stop stemedb-api");

    refuses_with(&host, SEGMENT, &overwritten(SEGMENT, 0));
    refuses_with(&host, SEGMENT, &format!("rm {SEGMENT}"));
    host.typed(&format!(
        "install -d /path/to/copy && cp -a {SEGMENT} /path/to/copy && {}",
        overwritten(SEGMENT, 8192 + 100)
    ));
    refuses(&host);
    let said = walk.types("When the log does not recover");
    assert!(said.contains("docs/operations/recovery.md"), "{said}");
    walk.types("1 Keep what there is");
    walk.ends_with(1, "sudo -u stemedb stemedb-admin wal inspect data/wal");
    walk.ends_with(1, "sudo -u stemedb stemedb-admin wal inspect data/wal --lane 0");
    let inspected = walk.types("2 Look at the damage");
    assert!(inspected.contains("BAD"), "{inspected}");
    walk.types("3 Put back what is missing");
    assert_eq!(assertion_count(&host), count);

    // With claims in tables, too, the log alone cannot be moved aside.
    host.wait_until("there is a table", || !table(&host).is_empty());
    host.typed("systemctl restart stemedb-api");
    store_singly(&host);
    host.typed("systemctl stop stemedb-api");
    let headers = format!(
        "stemedb-admin wal inspect {DATA}/wal --lane 0 --json | jq -r 'select(.header == \"valid\") | .file'"
    );
    let newest = host.typed(&format!("{headers} | tail -n 1")).trim().to_owned();
    host.typed(&overwritten(&newest, 0));
    refuses(&host);
    walk.types("4 If there is no copy");
    assert_eq!(assertion_count(&host), 0);

    store(&host, "many", 60_000);
    host.wait_until("there is a table again", || !table(&host).is_empty());
    host.typed("systemctl stop stemedb-api");
    let (manifest, table) = (format!("{DATA}/db/MANIFEST"), format!("{DATA}/db/{}", table(&host)));
    refuses_with(&host, &manifest, &overwritten(&manifest, 60));
    refuses_with(&host, &table, &format!("rm {table}"));
    host.typed("systemctl reset-failed stemedb-api; systemctl start stemedb-api");
    assert_eq!(assertion_count(&host), 60_000);

    let snapshot =
        || host.typed(&format!("ls {DATA}/db/indexes/*.snapshot | head -n 1 || true")).trim().to_owned();
    host.wait_until("there is a snapshot", || !snapshot().is_empty());
    host.typed("systemctl stop stemedb-api");
    host.typed(&overwritten(&snapshot(), 200_000));
    host.typed("systemctl start stemedb-api");
    walk.types("Build the indexes anew");
    assert_eq!(assertion_count(&host), 60_000);

    host.typed(&format!("chown root {DATA}/db && chmod 755 {DATA}/db"));
    store(&host, "more", 60_000);
    host.wait_until("a checkpoint fails", || host.log().contains("Checkpoints have failed"));
    host.typed(&format!("chown stemedb {DATA}/db"));
    let after = walk.types("When checkpoints fail");
    assert!(after.ends_with("false\n"), "{after}");
    assert_eq!(assertion_count(&host), 120_000);
    walk.ends();
}
