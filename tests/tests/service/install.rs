//! The installer, on a root of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use stemedb_tests::binary;
use tempfile::TempDir;

use crate::repository;

/// What is installed: mode, whether the service's user owns it, and where.
const INSTALLED: [(u32, bool, &str); 15] = [
    (0o755, false, "opt/stemedb"),
    (0o755, false, "opt/stemedb/bin"),
    (0o755, false, "opt/stemedb/bin/stemedb-api"),
    (0o755, false, "opt/stemedb/bin/stemedb-admin"),
    (0o755, false, "opt/stemedb/scripts"),
    (0o644, false, "opt/stemedb/docs/README.md"),
    (0o644, false, "opt/stemedb/docs/operations/recovery.md"),
    (0o750, true, "opt/stemedb/data"),
    (0o750, true, "opt/stemedb/backups"),
    (0o750, true, "opt/stemedb/archive"),
    (0o750, true, "opt/stemedb/drill"),
    (0o640, false, "etc/stemedb/stemedb.env"),
    (0o644, false, "etc/systemd/system/stemedb-api.service"),
    (0o644, false, "etc/systemd/system/stemedb-backup.timer"),
    (0o644, false, "etc/systemd/system/stemedb-drill.service"),
];

/// A root to install to, and an unpacked package.
struct Site {
    root: TempDir,
    package: TempDir,
}

impl Site {
    /// `None`, and a word about it, for somebody who must not give files to others.
    fn new() -> Option<Site> {
        if !rustix::process::geteuid().is_root() {
            stemedb_tests::skip("only root can install");
            return None;
        }
        let directory = || tempfile::tempdir_in(binary::scratch_directory()).expect("writable");
        let site = Site { root: directory(), package: directory() };
        let package = site.package.path();
        fs::create_dir(package.join("bin")).expect("writable");
        for program in [binary::stemedb_api(), binary::stemedb_admin()] {
            let name = program.file_name().expect("a program has a name");
            symlink(program, package.join("bin").join(name)).expect("writable");
        }
        let deploy = repository().join("deploy");
        for name in ["install.sh", "README.md", "systemd", "scripts"] {
            symlink(deploy.join(name), package.join(name)).expect("writable");
        }
        symlink(repository().join("docs"), package.join("docs")).expect("writable");
        symlink(repository().join(".env.example"), package.join("stemedb.env")).expect("writable");
        Some(site)
    }

    fn install(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = Command::new(self.package.path().join("install.sh"))
            .arg("--root")
            .arg(self.root.path())
            .args(arguments)
            .output()
            .expect("bash is there");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{status}: {text}");
        text
    }

    /// Mode, owner, group and content of everything there.
    fn listing(&self) -> BTreeMap<String, (u32, u32, u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut directories = vec![self.root.path().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("readable") {
                let path = entry.expect("readable").path();
                let file = fs::symlink_metadata(&path).expect("it was just listed");
                let content = if file.is_file() { fs::read(&path).expect("readable") } else { Vec::new() };
                let name = path.strip_prefix(self.root.path()).expect("it is below").display().to_string();
                all.insert(name, (file.mode(), file.uid(), file.gid(), content));
                if file.is_dir() {
                    directories.push(path);
                }
            }
        }
        all
    }

    /// The number of the user that was made, by the root's own passwd(5).
    fn user(&self) -> u32 {
        let passwd = fs::read_to_string(self.root.path().join("etc/passwd")).expect("a user was made");
        let line = passwd.lines().find(|line| line.starts_with("stemedb:")).expect("the user");
        line.split(':').nth(2).and_then(|number| number.parse().ok()).expect("a number")
    }
}

#[test]
fn what_is_installed_has_its_mode_and_owner_and_a_second_time_changes_nothing() {
    let Some(site) = Site::new() else { return };
    site.install(&[]);
    let user = site.user();
    let first = site.listing();
    for (mode, is_users, name) in INSTALLED {
        let Some((its_mode, owner, group, _)) = first.get(name) else { panic!("no {name} was installed") };
        assert_eq!(its_mode & 0o7777, mode, "{name} has mode {its_mode:o}");
        assert_eq!(*owner, if is_users { user } else { 0 }, "the owner of {name}");
        assert_eq!(*group == 0, !is_users && !name.ends_with(".env"), "the group of {name} is {group}");
    }
    let example = fs::read(repository().join(".env.example")).expect("readable");
    assert!(first["etc/stemedb/stemedb.env"].3 == example, "the settings are not those of the example");
    let link = fs::read_link(site.root.path().join("usr/local/bin/stemedb-admin")).expect("a link");
    assert_eq!(link, Path::new("/opt/stemedb/bin/stemedb-admin"));
    site.install(&[]);
    assert!(site.listing() == first, "the second time has changed something");
}

#[test]
fn settings_and_data_outlive_an_upgrade_and_an_uninstallation() {
    let Some(site) = Site::new() else { return };
    site.install(&[]);
    let kept = ["etc/stemedb/stemedb.env", "opt/stemedb/data/metadata.json", "opt/stemedb/backups/one"];
    for name in kept {
        fs::write(site.root.path().join(name), name).expect("writable");
    }
    // Whoever has written them anew has made them unreadable to the scripts, which are the service's user's.
    fs::set_permissions(site.root.path().join(kept[0]), fs::Permissions::from_mode(0o600)).expect("our own");
    // What an earlier version had and this one has not.
    fs::write(site.root.path().join("opt/stemedb/docs/old.md"), "").expect("writable");
    site.install(&[]);
    assert!(!site.root.path().join("opt/stemedb/docs/old.md").exists());
    assert_eq!(site.listing()[kept[0]].0 & 0o7777, 0o640);
    site.install(&["--uninstall"]);
    site.install(&["--uninstall"]);
    let left = site.listing();
    for name in kept {
        assert_eq!(left[name].3, name.as_bytes(), "{name}");
    }
    let gone = ["bin", "scripts", "docs"].map(|name| format!("opt/stemedb/{name}"));
    assert!(gone.iter().all(|name| !left.contains_key(name)), "{:?}", left.keys());
    assert!(
        !left.keys().any(|name| name.ends_with(".service") || name.ends_with(".timer")),
        "{:?}",
        left.keys()
    );
}

#[test]
fn an_argument_that_does_not_exist_installs_nothing() {
    let Some(site) = Site::new() else { return };
    let output = Command::new(site.package.path().join("install.sh"))
        .args(["--rooot", "/"])
        .output()
        .expect("bash is there");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--rooot"));
    assert!(site.listing().is_empty());
}
