//! The operators' tool: import, query, health, and looks at what is on disk. `stemedb-admin --help` says more.

use std::process::ExitCode;

fn main() -> ExitCode {
    stemedb_net::admin::run()
}
