//! A server that has lost its disk, has damaged indexes, or is to forget the last minutes.

use stemedb_tests::machine::Host;

use super::{assertion_count, call_this_ten_minutes_ago, store};
use crate::installed;
use crate::walk::Walk;

const LOST: &str = "The disk or the machine is lost";

#[test]
fn disasters_are_overcome_by_their_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/disaster.md", &host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 6_000);
    host.typed("/opt/stemedb/scripts/backup-stemedb.sh");
    let listed = walk.types("First");
    assert!(listed.contains("FULL Backups:"), "{listed}");

    host.typed("systemctl stop stemedb-api && rm -rf /opt/stemedb/data");
    walk.in_directory(Host::checkout());
    walk.types(LOST);
    assert_eq!(assertion_count(&host), 6_000);

    host.typed("install -d -o stemedb -g stemedb /opt/stemedb/data/db/indexes");
    let said = walk.types("Stored data is damaged");
    assert!(said.matches("Validation: PASSED").count() == 2, "{said}");
    // What has gone into tables since the last backup could not be cut, as nothing is archived here.
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
    walk.ends();
}
