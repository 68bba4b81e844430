//! Benchmarks of StemeDB: the load generator and what is measured with it. `stemedb-bench --help` says what it can do;
//! `cargo bench -p stemedb-bench` runs the microbenchmarks in `benches/`.

pub mod chart;
pub mod client;
pub mod compare;
pub mod curve;
pub mod load;
pub mod machine;
pub mod process;
pub mod report;
pub mod soak;
pub mod system;
pub mod workload;
