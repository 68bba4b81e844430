#![no_main]
//! See [`stemedb_fuzz::data_dir`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stemedb_fuzz::data_dir(input));
