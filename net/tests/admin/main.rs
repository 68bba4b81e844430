//! Tests that run `stemedb-admin` itself.

mod import;
mod query;
mod stand_in;
