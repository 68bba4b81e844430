//! A machine on which StemeDB is not installed yet.

use stemedb_tests::machine::Host;
use stemedb_tests::skip;

use crate::walk::Walk;

/// In the place of an editor: writes the settings where systemctl(1) has room for them.
const EDITOR: &str = r#"#!/bin/bash
exec sed -i '/^### Anything between here/r /root/settings' "${!#}"
"#;

#[test]
fn a_service_is_installed_and_set_up_by_its_page() {
    let Some(host) = Host::boot().inspect_err(|lack| skip(lack)).ok() else { return };
    let mut walk = Walk::through("deploy/README.md", &host);
    walk.in_directory(Host::checkout());
    walk.types("Install, upgrade, remove");
    host.typed("curl http://localhost:18180/ready");

    host.write("/usr/local/bin/editor", EDITOR);
    host.write("/root/settings", &walk.settings("Settings"));
    host.typed("chmod +x /usr/local/bin/editor");
    walk.types_next_at_terminal("Settings");
    walk.types("Settings");
    host.typed("curl http://localhost:18280/ready");
    walk.ends();
}
