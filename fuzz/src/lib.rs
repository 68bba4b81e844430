//! What the fuzz targets do with their input, as plain functions.
//!
//! Each takes any bytes and panics if the code under test breaks a promise. The files in `fuzz_targets/` hand them to
//! libFuzzer; `tests/corpus.rs` hands them the checked-in corpora with a stable toolchain.

mod body;
mod claim;
mod frame;
mod http;
mod json;
mod recovery;

pub use body::{assert_body, json_body};
pub use claim::{assertion, claim, retraction};
pub use frame::{frame, segment_header};
pub use http::http;
pub use json::json;
pub use recovery::recovery;

/// A fuzz target.
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "claim", run: claim },
    Target { name: "assertion", run: assertion },
    Target { name: "retraction", run: retraction },
    Target { name: "json", run: json },
    Target { name: "segment_header", run: segment_header },
    Target { name: "frame", run: frame },
    Target { name: "json_body", run: json_body },
    Target { name: "assert_body", run: assert_body },
    Target { name: "http", run: http },
    Target { name: "recovery", run: recovery },
];
