//! A server whose data is replaced by that of a backup: all of it, the log alone, and up to a moment.

use super::{assertion_count, call_this_ten_minutes_ago, fails, store};
use crate::installed;
use crate::walk::Walk;

#[test]
fn backups_are_put_back_by_their_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/restore.md", &host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 1000);
    host.typed("/opt/stemedb/scripts/backup-stemedb.sh");
    store(&host, "later", 10);
    walk.types_next("All of it");
    assert_eq!(assertion_count(&host), 1000);
    store(&host, "later", 10);
    walk.types("All of it");
    assert_eq!(assertion_count(&host), 1000);

    host.typed("/opt/stemedb/scripts/backup-stemedb.sh");
    store(&host, "later", 10);
    walk.types("Only the log");
    assert_eq!(assertion_count(&host), 1000);

    // Tables take over what the log has from before this start, and then its segments go, as nothing is archived. Where a
    // backup does not know of that, the log that is in place does not go on from it.
    host.wait_until("there is a checkpoint", || {
        let figure = host.typed("curl http://localhost:18180/metrics | grep '^stemedb_checkpoints_total '");
        figure != "stemedb_checkpoints_total 0\n"
    });
    host.typed("/opt/stemedb/scripts/backup-stemedb.sh");
    store(&host, "kept", 20);
    call_this_ten_minutes_ago(&host);
    store(&host, "dropped", 30);
    walk.types_next("To a moment");
    assert_eq!(assertion_count(&host), 1050);
    walk.types("To a moment");
    assert_eq!(assertion_count(&host), 1020);
    host.typed("/opt/stemedb/scripts/archive-wal.sh && /opt/stemedb/scripts/backup-stemedb.sh");
    store(&host, "archived", 7);
    host.typed(
        "/opt/stemedb/scripts/archive-wal.sh && systemctl stop stemedb-api && rm -rf /opt/stemedb/data/*",
    );
    walk.types("To the last moment of the archive");
    assert_eq!(assertion_count(&host), 1027);
    // As a restore leaves it whose power has failed, the log in its place and the tables not yet.
    host.typed(
        "systemctl stop stemedb-api && cd /opt/stemedb/data && mv wal wal.backup.99990101-000000 && mv db db.backup.99990101-000000 && \
         cp -a wal.backup.99990101-000000 wal && rm wal/segment-00-* && mkdir db.restoring",
    );
    fails(&host, "systemctl start stemedb-api");
    walk.types("A restore that was interrupted");
    assert_eq!(assertion_count(&host), 1027);
    let said = walk.types("Afterwards");
    assert!(said.contains("Validation: PASSED") && said.contains("Smoke test: PASSED"), "{said}");
    walk.ends();
}
