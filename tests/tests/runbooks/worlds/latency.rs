//! A server whose disk fails once, then one that is asked a little.

use super::{Disk, assertion_count, store};
use crate::installed;
use crate::walk::Walk;

const FAILED: &str = "A write to the log has failed";

#[test]
fn failing_and_slow_disks_are_examined_by_their_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/latency.md", &host);
    let disk = Disk::of_data(&host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 100);
    disk.fails(&host);
    let said = walk.types_next(FAILED);
    assert!(said.contains("} 1\n") && said.contains("ERROR"), "{said}");
    walk.types_next(FAILED);
    disk.is_sound_again(&host);
    walk.types(FAILED);
    assert_eq!(assertion_count(&host), 100);

    // Processes end while it looks at them.
    walk.may_fail("sudo grep -H '^write_bytes'");
    walk.types("The disk is slow");
    walk.types("Slow queries");
    walk.types("Writes are slow and the disk is not");
    walk.ends();
}
