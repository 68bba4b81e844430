//! Random numbers from a seed, so that a run that failed can be repeated.

use std::env;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;

/// The variable that repeats a run: the seed that an earlier run printed.
const SEED_VARIABLE: &str = "STEMEDB_TEST_SEED";

/// A sequence of numbers that its seed determines (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A sequence of its own for the test `name`. Its seed is the one in `STEMEDB_TEST_SEED`, or else a new one,
    /// and is printed, which shows when the test fails.
    pub fn for_test(name: &str) -> Random {
        Random::new(seed_for_test(name))
    }

    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// Another sequence, determined by this one's state and `number`; this one does not move.
    pub fn fork(&self, number: u64) -> Random {
        let mut fork = Random { state: self.state ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93) };
        fork.next_u64();
        fork
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of `range`.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        assert!(first <= last && last - first < u64::MAX, "a range of numbers");
        first + self.next_u64() % (last - first + 1)
    }

    /// True once in `times`, on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.within(1..=times) == 1
    }

    /// `bytes` letters and digits.
    pub fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            write!(text, "{:016x}", self.next_u64()).expect("writing to memory does not fail");
        }
        text.truncate(bytes);
        text
    }
}

/// The seed of the test `name`: the one in `STEMEDB_TEST_SEED`, or else a new one. It is printed.
pub fn seed_for_test(name: &str) -> u64 {
    let seed = match env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE}={text} is not a number")),
        Err(_) => fresh_seed(name),
    };
    println!("{name}: {SEED_VARIABLE}={seed} repeats this run");
    seed
}

/// A seed that no other run has.
pub fn fresh_seed(name: &str) -> u64 {
    RandomState::new().hash_one(name)
}
