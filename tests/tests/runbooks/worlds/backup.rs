//! A server that is backed up, first by hand and then by the timer.

use super::store;
use crate::installed;
use crate::walk::Walk;

#[test]
fn backups_are_taken_checked_and_scheduled_by_their_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/backup.md", &host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 1000);
    let taken = walk.types("Backups");
    assert!(taken.contains("FULL Backups:"), "{taken}");
    let scheduled = walk.types("When");
    assert!(scheduled.contains("stemedb-backup.timer"), "{scheduled}");
    host.typed("rm -f /opt/stemedb/data/status/*.json");
    // What root has backed up by hand must not be in the way of the service's user.
    host.typed("systemctl start stemedb-backup.service stemedb-verify.service stemedb-archive.service");
    // Alerts go by what each unit leaves, if it may write there.
    let noted = host.typed("cd /opt/stemedb/data/status && ls *.json");
    assert_eq!(noted.split_whitespace().collect::<Vec<_>>(), ["archive.json", "backup.json", "verify.json"]);
    walk.ends();
}
