//! stemedb-admin.
fn main() {}
