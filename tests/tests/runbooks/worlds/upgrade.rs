//! A server that is replaced by the same version, which is as good as any other, and one that meets newer data.

use stemedb_tests::machine::Host;

use super::{SLOW_STARTS_COUNT, assertion_count, fails, store};
use crate::installed;
use crate::walk::Walk;

#[test]
fn a_server_is_upgraded_and_brought_back_by_its_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/upgrade.md", &host);
    walk.in_directory(Host::checkout());
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 1000);
    let counts = walk.types("Upgrade");
    assert!(counts.ends_with("1000\n1000\n"), "{counts}");

    host.typed("systemctl stop stemedb-api");
    let metadata = "/opt/stemedb/data/metadata.json";
    host.typed(&format!("jq '.format_version = 2' {metadata} >/root/newer && cat /root/newer >{metadata}"));
    host.edit(SLOW_STARTS_COUNT);
    fails(&host, "systemctl start stemedb-api");
    host.wait_until("systemd gives up", || host.log().contains("Start request repeated too quickly"));
    host.edit("");
    walk.types("Back");
    assert_eq!(assertion_count(&host), 1000);
    walk.ends();
}
