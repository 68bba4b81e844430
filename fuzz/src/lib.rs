//! What the fuzz targets do with their input, as plain functions.
//!
//! Each takes any bytes and panics if the code under test breaks a promise. The files in `fuzz_targets/` hand them to
//! libFuzzer; `tests/corpus.rs` hands them the checked-in corpora with a stable toolchain.
//!
//! A campaign with libFuzzer, which keeps what it finds apart from the checked-in corpora:
//!
//! ```text
//! fuzz/campaign --seconds-cpu 3600 recovery
//! ```
//!
//! An input that broke a promise joins the corpus of its target under a name that says what it is. `docs/reliability/fuzzing.md`
//! has the promises.

mod batch;
mod body;
mod claim;
mod data_dir;
mod frame;
mod http;
mod json;
mod lens;
mod manifest;
// The list of claims that the tests of the index hold against it: written once, it is right or wrong for both.
#[path = "../../engine/tests/index_model/model.rs"]
mod model;
mod plain;
mod program;
mod query;
mod recovery;
mod refusal;
mod server;
mod snapshot;
mod table;
mod world;

pub use batch::batch;
pub use body::{assert_body, json_body};
pub use claim::{assertion, claim, retraction};
pub use data_dir::data_dir;
pub use frame::{frame, segment_header};
pub use http::http;
pub use json::json;
pub use lens::lens;
pub use manifest::manifest;
pub use query::query;
pub use recovery::recovery;
pub use server::server;
pub use snapshot::snapshot;
pub use table::table;

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
    Target { name: "batch", run: batch },
    Target { name: "query", run: query },
    Target { name: "lens", run: lens },
    Target { name: "snapshot", run: snapshot },
    Target { name: "server", run: server },
    Target { name: "recovery", run: recovery },
    Target { name: "table", run: table },
    Target { name: "manifest", run: manifest },
    Target { name: "data_dir", run: data_dir },
];

/// A checked-in input.
#[cfg(test)]
fn corpus_file(target: &str, name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
