#![no_main]
//! See [`stemedb_fuzz::json_body`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| stemedb_fuzz::json_body(input));
