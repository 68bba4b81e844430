//! A server that is not started, restarts, is not ready, and is sound.

use super::{Disk, SLOW_STARTS_COUNT, fails, store};
use crate::installed;
use crate::walk::Walk;

#[test]
fn whoever_does_not_know_what_is_wrong_is_led_on_by_its_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/troubleshooting.md", &host);
    let disk = Disk::of_data(&host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 100);
    let all_is_well = walk.types("Something is wrong: where to begin");
    assert!(all_is_well.starts_with("active\n") && all_is_well.contains("\n200\n"), "{all_is_well}");

    walk.types_next("The server does not answer");
    host.edit(&format!("Environment=STEMEDB_CORES=0\n{SLOW_STARTS_COUNT}"));
    fails(&host, "systemctl restart stemedb-api");
    host.wait_until("systemd gives up", || host.log().contains("Start request repeated too quickly"));
    host.edit("");
    walk.types("The server does not answer");
    host.typed(&format!("cd {}/incident-*/ && grep -F /opt/stemedb/data disk.txt", host.operators_home()));

    let said = walk.types("The server restarts again and again");
    assert!(said.contains("STEMEDB_CORES") || said.contains("status=1"), "{said}");
    disk.fails(&host);
    let why = walk.types("The server is not ready");
    assert!(why.contains("lane"), "{why}");
    let errors = walk.types("Answers are errors");
    assert!(errors.contains("storage_failed"), "{errors}");
    disk.is_sound_again(&host);
    host.typed("systemctl restart stemedb-api");
    let retracted = walk.types("Claims are wrong");
    assert!(retracted.contains("retracted"), "{retracted}");
    walk.ends();
}
