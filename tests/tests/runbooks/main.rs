//! Goal: what the documentation tells operators to type can be typed as it stands, and does what is said there.
//!
//! Method: each block of commands is read out of its page and run, by bash, on a machine of its own with a real systemd,
//! where StemeDB is installed and in the trouble that the page is about. How each command ends is looked at; what a page
//! shows of an output or of the server's log must be so, but for what it leaves out with `…`. A block that nobody has
//! tried fails its page, and so does an exception that is not needed any more.

mod document;
mod exceptions;
mod pages;
mod shell;
mod shown;
mod walk;
mod worlds;

use std::path::Path;

use stemedb_tests::machine::Host;
use stemedb_tests::skip;

/// The root of the repository.
fn repository() -> &'static Path {
    Host::checkout()
}

/// A machine with StemeDB installed and not started. `None`, and a word about it, where none can be booted.
fn installed() -> Option<Host> {
    Host::install().inspect_err(|lack| skip(lack)).ok()
}
