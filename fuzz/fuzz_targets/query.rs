#![no_main]
//! See [`stemedb_fuzz::query`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stemedb_fuzz::query(input));
