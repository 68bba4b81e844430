//! Goal: a process that may open hardly any more files leaves nothing in doubt: what needs a descriptor to become durable is not begun without
//! one. Method: a test that is alone in its process, and leaves it one descriptor.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stemedb_engine::checkpoint::{DirManifest, ManifestStorage, ReplaceError};
use stemedb_engine::removal::remove_gradually;

/// Does something while only so many further files may be open.
fn with_descriptors<T>(count: u64, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    let free = File::open("/dev/null").expect("the system has it").as_raw_fd() as u64;
    let limit = |current| Rlimit { current, ..before };
    setrlimit(Resource::Nofile, limit(Some(free + count))).expect("it may be lowered");
    let done = work();
    setrlimit(Resource::Nofile, limit(before.current)).expect("it may be raised to what it was");
    done
}

#[test]
fn without_a_descriptor_nothing_is_left_in_doubt() {
    let directory = tempfile::tempdir().expect("a directory");
    let manifest = DirManifest::new(directory.path());
    manifest.replace(b"old").expect("there is room");
    let replaced = with_descriptors(1, || manifest.replace(b"new"));
    let Err(ReplaceError::Kept(error)) = replaced else { panic!("{replaced:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(manifest.read().expect("it is there"), Some(b"old".to_vec()));

    let path = directory.path().join("file");
    fs::write(&path, "bytes").expect("there is room");
    let removed: io::Result<()> = with_descriptors(0, || remove_gradually(&path));
    assert_eq!(removed.expect_err("the directory cannot be opened").raw_os_error(), Some(libc::EMFILE));
    assert_eq!(fs::read(&path).expect("it is there"), b"bytes");
    // Its space is given back at once, since it cannot be opened to be cut down.
    with_descriptors(1, || remove_gradually(&path)).expect("the directory can be synchronised");
    assert!(!path.exists());
}
