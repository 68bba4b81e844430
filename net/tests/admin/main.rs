//! Tests that run `stemedb-admin` itself.

mod doctor;
mod import;
mod query;
mod stand_in;
mod wal;
