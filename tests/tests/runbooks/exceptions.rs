//! The blocks that no test runs, each with its reason.

use crate::document::Block;

/// A page, how a block of it begins, and why nobody runs it.
type Exception = (&'static str, &'static str, &'static str);

const EXCEPTIONS: [Exception; 7] = [
    (
        "README.md",
        "cargo build --release",
        "a release build takes minutes; what it would run is under test anyway",
    ),
    ("README.md", "cargo test --workspace", "it would run this test"),
    (
        "deploy/README.md",
        "cargo build --release",
        "a release build takes minutes; what it would build is under test anyway",
    ),
    (
        "deploy/README.md",
        "cargo deb",
        "a release build takes minutes; the test of the package in tests/service installs one by hand",
    ),
    ("deploy/README.md", "sudo -E cargo test", "it would run this test"),
    (
        "docs/operations/backup.md",
        "cargo build --release",
        "it measures for an hour, what a release build has made; the tests of archives and backups do the same in small",
    ),
    (
        "docs/operations/upgrade.md",
        "cargo test --package stemedb-tests --test upgrade",
        "for those who release: it adds the data of a version to the repository",
    ),
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Exception> {
    EXCEPTIONS.into_iter()
}

/// Whether a block is one of them.
pub(crate) fn has(path: &str, block: &Block) -> bool {
    all().any(|(page, begin, _)| page == path && block.text.starts_with(begin))
}
