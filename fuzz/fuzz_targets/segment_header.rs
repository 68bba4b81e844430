#![no_main]
//! See [`stemedb_fuzz::segment_header`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stemedb_fuzz::segment_header(input));
