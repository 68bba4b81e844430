//! A server that is kept from starting in each of the ways that the page tells of.

use stemedb_tests::held_thread::HeldThread;

use super::{SLOW_STARTS_COUNT, assertion_count, fails, store};
use crate::installed;
use crate::walk::Walk;

const TITLE: &str = "When the server does not start";
const RESTARTS: &str = "It starts, and is restarted again and again";

#[test]
fn a_server_that_does_not_start_is_brought_up_by_its_page() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("docs/operations/wont-start.md", &host);
    host.typed("systemctl start stemedb-api");
    store(&host, "stored", 1523);
    host.typed("systemctl restart stemedb-api");

    host.edit(&format!("Environment=STEMEDB_CORES=0\n{SLOW_STARTS_COUNT}"));
    fails(&host, "systemctl restart stemedb-api");
    // Three says systemctl(1) of a unit that does not run.
    walk.ends_with(3, "systemctl status");
    walk.types_next(TITLE);
    let settings = walk.types("Settings");
    assert!(settings.contains("STEMEDB_CORES=0"), "{settings}");
    host.wait_until("systemd gives up", || host.log().contains("Start request repeated too quickly"));
    host.edit("");
    walk.types_next(TITLE);
    assert_eq!(assertion_count(&host), 1523);
    walk.types("The machine");

    host.typed("systemctl stop stemedb-api");
    host.typed("systemd-run --quiet --unit=other python3 -m http.server --bind 127.0.0.1 18180");
    host.wait_until("the port is taken", || host.output("curl http://127.0.0.1:18180").status.success());
    fails(&host, "systemctl start stemedb-api");
    let holder = walk.types_next("The port");
    assert!(holder.contains("python3"), "{holder}");
    host.write("/etc/systemd/system/stemedb-api.service.d/override.conf", &walk.settings("The port"));
    host.typed("systemctl daemon-reload");
    walk.types("The port");
    host.typed("curl http://localhost:18280/ready && systemctl stop other");
    host.edit("");

    host.typed(
        "systemctl stop stemedb-api && chown root $(ls /opt/stemedb/data/wal/segment-00-*.log | tail -n 1)",
    );
    fails(&host, "systemctl start stemedb-api");
    walk.types("Permissions");
    assert_eq!(assertion_count(&host), 1523);
    let taken = walk.types("It takes long");
    assert!(taken.contains("serving 1523 assertions"), "{taken}");

    host.edit("WatchdogSec=3");
    host.typed("systemctl restart stemedb-api");
    let held = HeldThread::named(host.number_here(host.main_pid()), "core-0");
    host.wait_until("the watchdog fires", || host.log().contains("Watchdog timeout"));
    held.ended();
    // So short a time ends also a server that this machine holds up.
    host.edit("");
    walk.types(RESTARTS);
    walk.ends();
}
