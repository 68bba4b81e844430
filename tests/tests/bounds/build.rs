//! What the build promises: a panic ends the process at once, and a number that does not fit is one.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// The value of `key` in the section `name` of the workspace's manifest.
fn setting(name: &str, key: &str) -> Option<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the workspace has a manifest");
    let mut section = "";
    for line in manifest.lines() {
        let line = line.split('#').next().expect("a split has a first part").trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = header;
        } else if section == name
            && let Some((found, value)) = line.split_once('=')
            && found.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[test]
fn a_release_ends_at_a_panic() {
    // A thread that unwinds would leave the others serving with half of what it was doing undone.
    assert_eq!(setting("profile.release", "panic").as_deref(), Some("\"abort\""));
}

#[test]
fn a_release_checks_the_arithmetic_of_the_engine() {
    // What is generic or inlined in the engine becomes code in the crate that uses it, with the checks of that one.
    for package in ["stemedb-engine", "stemedb-net"] {
        let profile = format!("profile.release.package.{package}");
        assert_eq!(setting(&profile, "overflow-checks").as_deref(), Some("true"), "{package}");
    }
    // Nothing takes back what a development build checks by itself.
    for key in ["overflow-checks", "debug-assertions"] {
        assert_eq!(setting("profile.dev", key), None);
        assert_eq!(setting("profile.test", key), None);
    }
}

/// Goal: both hold for what is built, and not only in the manifest: a release is ended by a number that does not fit. Method: a program is built as one,
/// and has the engine add up what no number holds.
#[test]
fn a_release_is_ended_by_arithmetic_in_the_engine_that_does_not_fit() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ended = Command::new(cargo)
        .args(["run", "--release", "--locked", "--package", "stemedb-engine", "--example", "overflow"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    // cargo is replaced by the program that it runs.
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{stdout}{stderr}");
    assert!(stderr.contains("panicked") && stderr.contains("overflow"), "{stderr}");
    assert_eq!(stdout, "", "it has gone on with a wrapped sum");
}
