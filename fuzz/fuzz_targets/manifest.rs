#![no_main]
//! See [`stemedb_fuzz::manifest`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stemedb_fuzz::manifest(input));
