//! Hands every target its checked-in corpus, and what some thousands of seeded changes make of it.
//!
//! No substitute for a fuzzer that sees coverage, but it runs everywhere, and what a fuzzer once found stays found.

use std::path::Path;
use stemedb_fuzz::{TARGETS, Target};

/// How many changed inputs are made of the files of a target.
const CHANGES: usize = 3_000;

/// One test for each target, so that they run side by side.
macro_rules! survives_its_corpus {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            survives(stringify!($name));
        })+

        #[test]
        fn every_target_has_a_test_here_and_a_program() {
            let tested = [$(stringify!($name)),+];
            assert!(TARGETS.iter().map(|target| target.name).eq(tested));
            let manifest = include_str!("../Cargo.toml");
            for name in tested {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
        }
    };
}

survives_its_corpus! {
    claim assertion retraction json segment_header frame json_body assert_body http batch query lens snapshot server recovery table manifest data_dir
}

fn survives(name: &str) {
    let Target { run, .. } =
        TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("a directory that can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    let changes = CHANGES / files.len();
    let mut random = Random(0x5eed);
    for file in files {
        let original = std::fs::read(&file).expect("a file that can be read");
        checked(*run, &original, &file.display().to_string());
        for change in 0..changes {
            let input = changed(&original, &mut random);
            checked(*run, &input, &format!("{} after change {change}", file.display()));
        }
    }
}

/// Runs a target, and says with which input if it panics.
fn checked(run: fn(&[u8]), input: &[u8], what: &str) {
    if let Err(panic) = std::panic::catch_unwind(|| run(input)) {
        eprintln!("{what}\n{}", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

/// `original` after one to four changes: a byte replaced, a piece removed, repeated or moved.
fn changed(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(8)).min(bytes.len());
        match random.below(5) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            _ => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
