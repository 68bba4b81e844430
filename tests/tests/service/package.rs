//! The Debian package, on a machine of its own.

use std::fs;
use std::path::PathBuf;

use stemedb_tests::machine::Machine;

use crate::repository;

/// The package that was built last.
fn package() -> PathBuf {
    let entries = fs::read_dir(repository().join("target/debian")).expect("a package was built");
    let packages = entries.map(|entry| entry.expect("readable").path());
    let debs = packages.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).expect("it is there");
    debs.max_by_key(modified).expect("a package was built")
}

#[test]
#[ignore = "needs a package: cargo deb --package stemedb-net"]
fn a_package_is_installed_runs_is_upgraded_and_leaves_the_data() {
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(lack) => return stemedb_tests::skip(lack),
    };
    let install = format!("dpkg --install {}", package().display());
    machine.typed(&install);
    assert!(!machine.output("systemctl is-active stemedb-api").status.success(), "nobody has started it");
    machine.typed("systemctl enable --now stemedb-api");
    machine.typed(
        r#"curl -s --fail -X POST http://localhost:18180/v1/assert -d '{"concept_path":"test/package","predicate":"is","value":true}'"#,
    );
    let modes = machine.typed("stat -c '%a %U %G %n' /opt/stemedb/data /etc/stemedb/stemedb.env");
    assert_eq!(modes, "750 stemedb stemedb /opt/stemedb/data\n640 root stemedb /etc/stemedb/stemedb.env\n");

    machine.typed("echo STEMEDB_LOG=debug >>/etc/stemedb/stemedb.env");
    let before = machine.typed("systemctl show -P MainPID stemedb-api");
    machine.typed(&install);
    assert_ne!(machine.typed("systemctl show -P MainPID stemedb-api"), before, "the new version runs");
    assert!(machine.typed("stemedb-admin health").contains("assertion_count      1\n"));
    machine.typed("grep STEMEDB_LOG=debug /etc/stemedb/stemedb.env");

    machine.typed("dpkg --purge stemedb");
    assert!(!machine.output("systemctl is-active stemedb-api").status.success(), "it is gone");
    machine.typed("test ! -e /opt/stemedb/bin && test ! -e /usr/bin/stemedb-admin");
    assert_eq!(machine.typed("jq .assertion_count /opt/stemedb/data/metadata.json"), "1\n");
}
