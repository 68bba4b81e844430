//! Benchmarks of StemeDB.
