//! Support for the tests that run the real binaries: starting and ending servers, talking to them byte by byte,
//! and looking at what they leave on disk.
//!
//! Whatever goes wrong here is a failure of the test, so most of it panics with all that is known. Errors are
//! returned only where a test may expect them, as when a connection breaks because its server was killed.

pub mod binary;
pub mod campaign;
pub mod claims;
pub mod client;
pub mod control_group;
pub mod data;
pub mod disk;
pub mod faulty_disk;
pub mod held_thread;
pub mod history;
pub mod http;
pub mod installation;
pub mod left_behind;
pub mod listing;
pub mod load;
pub mod machine;
pub mod process;
pub mod random;
pub mod server;
pub mod skip;
pub mod tls;
pub mod transcript;
pub mod wal;
pub mod well_behaved;

pub use client::{Client, Response};
pub use data::Data;
pub use installation::Installation;
pub use random::Random;
pub use server::{Refused, Server, Start};
pub use skip::skip;
pub use well_behaved::WellBehaved;
