//! stemedb-api.
fn main() {}
