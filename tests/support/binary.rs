//! Finds the binaries under test, and builds them if need be.
//!
//! Cargo tells an integration test where the binaries of its own package are, not those of another one. They lie in
//! the directory above that of the test's own executable, `cargo test --workspace` has built them there; or beside it, if it
//! is a binary itself.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The package that has the binaries.
const PACKAGE: &str = "stemedb-net";

/// The server, as fresh as its sources.
pub fn stemedb_api() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fresh("stemedb-api"))
}

/// The operators' tool, as fresh as its sources.
pub fn stemedb_admin() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| fresh("stemedb-admin"))
}

/// Where tests may put what is too large for memory: on the disk of the build, which `/tmp` may not be on.
pub fn scratch_directory() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = profile_directory().join("tests-scratch");
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    })
}

fn fresh(name: &str) -> PathBuf {
    let path = profile_directory().join(name);
    if !is_fresh(&path) {
        build();
    }
    assert!(path.is_file(), "cargo has built {PACKAGE}, but there is no {}", path.display());
    path
}

/// `target/<profile>`: the running program is there, or, if it is a test, in the directory `deps` below it.
fn profile_directory() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let directory = program.parent().expect("a program is in a directory");
    let profile = match directory.ends_with("deps") {
        true => directory.parent().expect("deps is in the directory of the profile"),
        false => directory,
    };
    profile.to_path_buf()
}

/// Whether the binary is there and none of its sources is newer.
///
/// The sources are those that cargo lists beside the binary, in a makefile of one rule: `binary: source source …`,
/// with a backslash before each blank of a name.
fn is_fresh(binary: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let (Ok(built), Ok(rule)) = (modified(binary), fs::read_to_string(binary.with_extension("d"))) else {
        return false;
    };
    let Some((built_here, sources)) = rule.split_once(": ") else { return false };
    // A target directory that was copied lists the sources of its original.
    if built_here.replace("\\ ", " ") != binary.to_string_lossy() {
        return false;
    }
    let sources = sources.trim_end().replace("\\ ", "\0");
    let is_older = |source: &str| {
        let changed = modified(Path::new(&source.replace('\0', " ")));
        changed.is_ok_and(|changed: SystemTime| changed <= built)
    };
    sources.split(' ').all(is_older)
}

/// Builds the binaries in this test's profile and target directory. Tests that do this at the same time wait for
/// each other by cargo's own lock.
fn build() {
    let directory = profile_directory();
    let profile = directory.file_name().and_then(|name| name.to_str()).expect("a profile's name is ASCII");
    // The one profile whose directory is not called as it is.
    let profile = if profile == "debug" { "dev" } else { profile };
    let target = directory.parent().expect("a profile's directory is in the target directory");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo tells a test of its own package, build scripts take for another environment: TLS would be built anew, and
    // once more by whoever builds next.
    let of_this_package = |name: &str| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this_package)) {
        command.env_remove(name);
    }
    let status = command
        .args(["build", "--package", PACKAGE, "--bins", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap_or_else(|error| panic!("cargo cannot be run to build {PACKAGE}: {error}"));
    assert!(status.success(), "{PACKAGE} does not build");
}
