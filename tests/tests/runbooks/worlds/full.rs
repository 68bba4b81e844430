//! A server whose disk is full, then one whose memory is.

use stemedb_tests::machine::Host;

use super::{assertion_count, fails, store};
use crate::installed;
use crate::walk::Walk;

/// The data on a disk of its own, of 64 MiB, with room for a lane of small segments or two.
const SMALL_DISK: &str = "truncate -s 64M /var/disk.img && mkfs.ext4 -q /var/disk.img && \
    mount -o loop /var/disk.img /opt/stemedb/data && chown stemedb:stemedb /opt/stemedb/data";

const FILL: &str =
    "dd if=/dev/zero of=/opt/stemedb/data/filler bs=64k; dd if=/dev/zero bs=512 >>/opt/stemedb/data/filler";

/// Prints more claims than fit 32 MiB.
const FILL_MEMORY: &str = r#"awk 'BEGIN { value = sprintf("%1000s", ""); for (number = 1; number <= 40000; number++)
    printf "{\"concept_path\":\"memory/%d\",\"predicate\":\"is\",\"value\":\"%s\"}\n", number, value }'"#;

/// What the server answers to a claim with a large value: the answer and its status.
fn answer(host: &Host) -> String {
    host.typed("curl -w ' %{http_code}' http://localhost:18180/v1/assert -d @/root/large.json")
}

#[test]
fn a_full_disk_and_full_memory_are_overcome_by_their_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/full.md", &host);
    host.typed(SMALL_DISK);
    host.edit(
        "Environment=STEMEDB_SEGMENT_BYTES=2MiB STEMEDB_INDEX_BYTES_MAX=32MiB STEMEDB_FRAME_BYTES_MAX=128KiB",
    );
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 100);
    host.output(FILL);
    // A lane takes claims until the segment is full that was prepared for it.
    let value = "x".repeat(50_000);
    host.write(
        "/root/large.json",
        &format!(r#"{{"concept_path":"large","predicate":"is","value":"{value}"}}"#),
    );
    host.wait_until("a lane is full", || answer(&host).ends_with(" 503"));
    let refused = answer(&host);
    assert!(refused.contains("disk_full") && refused.ends_with(" 503"), "{refused}");
    for _ in 0..3 {
        walk.types_next("The disk");
    }
    host.typed("rm /opt/stemedb/data/filler");
    host.wait_until("writes are taken", || answer(&host).ends_with(" 201"));
    walk.types("The disk");
    let count = assertion_count(&host);

    // The last start used the segments that were prepared; there must be too many lanes for those.
    host.typed("systemctl stop stemedb-api && rm -f /opt/stemedb/data/wal/*.prepare");
    host.output(FILL);
    fails(&host, "systemctl start stemedb-api");
    host.typed(
        "rm /opt/stemedb/data/filler; systemctl reset-failed stemedb-api; systemctl start stemedb-api",
    );
    assert_eq!(assertion_count(&host), count);

    host.typed("umount -l /opt/stemedb/data; systemctl restart stemedb-api");
    let figures = walk.types_next("The log");
    assert!(figures.contains("stemedb_wal_bytes_max "), "{figures}");
    host.write("/etc/stemedb/stemedb.env", &walk.settings("The log"));
    walk.types_next("The log");
    let bound = host.typed("curl http://localhost:18180/metrics | grep '^stemedb_wal_bytes_max '");
    // Each core has an equal share, in whole bytes.
    assert!(bound.starts_with("stemedb_wal_bytes_max 343597383"), "{bound}");
    host.write("/root/fill", FILL_MEMORY);
    host.output("bash /root/fill | stemedb-admin import -");
    host.wait_until("a core is full", || answer(&host).ends_with(" 503"));
    let refused = answer(&host);
    assert!(refused.contains("memory_full") && refused.ends_with(" 503"), "{refused}");
    walk.types_next("The memory");
    host.write("/etc/stemedb/stemedb.env", &walk.settings("The memory"));
    walk.types_next("The memory");
    let taken = answer(&host);
    assert!(taken.ends_with(" 201"), "{taken}");
    host.typed(&format!("kill -9 {}", host.main_pid()));
    host.wait_until("it is back", || host.output("curl http://localhost:18180/ready").status.success());
    walk.types("The memory");
    walk.ends();
}
