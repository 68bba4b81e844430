//! What tests leave out for want of something.

use std::env;
use std::fmt::Display;

/// The variable under which nothing may be left out.
const SKIP_NOTHING: &str = "STEMEDB_TESTS_SKIP_NOTHING";

/// Says that a test is left out, and what this machine lacks for it. Where nothing may be left out, that is a failure: what
/// a passing test says is not shown, so that nobody would know.
pub fn skip(lack: impl Display) {
    assert!(
        env::var_os(SKIP_NOTHING).is_none(),
        "{SKIP_NOTHING} is set, and this machine lacks something: {lack}"
    );
    eprintln!("skipped: {lack}");
}
