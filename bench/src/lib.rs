//! Benchmarks of StemeDB: `cargo bench -p stemedb-bench` runs the microbenchmarks in `benches/`, `python3 bench/quick` the
//! side-by-side run against other stores.
