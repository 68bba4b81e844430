//! A server that has just been installed.

use crate::installed;
use crate::walk::Walk;

#[test]
fn the_walk_of_the_readme_shows_what_comes() {
    let Some(host) = installed() else { return };
    let mut walk = Walk::through("README.md", &host);
    host.typed("systemctl start stemedb-api");
    walk.types("A walk in ten lines");
    walk.ends();
}
