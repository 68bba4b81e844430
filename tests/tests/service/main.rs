//! Goal: the server is a good service: it installs, starts, tells how it is, stops and comes back as an operator expects
//! of a unit of systemd.
//!
//! Method: on a machine of its own with a real systemd, where one can be booted, everything is typed as in the runbooks.
//! What the server tells its manager is also read from a socket in the manager's place, which works everywhere.

mod full_disk;
mod install;
mod manager;
mod notify;
mod package;
mod permissions;
mod scripts;
mod systemd;
mod units;

use std::path::Path;

/// The root of the repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are in the repository")
}
