//! What a claim costs in memory.
//!
//! Goal: at most 200 bytes a claim for data shaped like a package archive's, at most 230 where each claim has
//! a subject of its own, an account of it that is true, and no allocation that grows with the index, for
//! moving what it holds would stall whoever waits; and all that is true of one restored from a snapshot, once it
//! is. Method: a global allocator that counts what is allocated. One index after the other, in one function, so
//! that nothing else is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufReader, Seek, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use stemedb_engine::claim::{Claim, ClaimHash, ConceptPath, Predicate, Timestamp, Value};
use stemedb_engine::index::{Index, IndexConfig, IndexLoader, SnapshotCursor};
use stemedb_engine::order::WriteOrder;
use stemedb_engine::slot::SLOTS;
use stemedb_engine::time::UnixMicros;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes allocated and not freed.
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the largest allocation.
static LARGEST_BYTES: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_claim_takes_few_bytes_and_all_are_accounted() {
    let packages = bytes_a_claim("package fields", 1_000_000, |number, index| {
        // 60 thousand packages, 16 or 17 fields each, from three suites.
        let (package, field) = (number % 60_000, number / 60_000);
        let subject = format!("debian/package/lib{package:05}-dev");
        let predicate = format!("field-{field}");
        let source = format!("source/debian/bookworm-{}", package % 3);
        let value = value(number);
        let mut claim = claim(&subject, &predicate, &value, number);
        claim.source = Some(ConceptPath::new(&source).expect("valid"));
        insert(index, &claim, number);
    });
    assert!(packages <= 200.0, "{packages:.1} bytes a claim");

    let own_subjects = bytes_a_claim("own subjects", 1_000_000, |number, index| {
        // A permutation, so that subjects do not come in the order of their names.
        let subject = format!("debian/package/lib{:07}-dev", number * 7_919 % 1_000_000);
        insert(index, &claim(&subject, "version", &value(number), number), number);
    });
    assert!(own_subjects <= 230.0, "{own_subjects:.1} bytes a claim");

    let one_series = bytes_a_claim("one series", 200_000, |number, index| {
        let timestamp = number * 7_919 % 200_000;
        insert(index, &claim("debian/package/libc6", "version", &value(number), timestamp), number);
    });
    assert!(one_series <= 200.0, "{one_series:.1} bytes a claim");

    // Just too many for the shortest form of a series.
    let short_series = bytes_a_claim("series of 17", 200_000, |number, index| {
        let subject = format!("debian/package/lib{:05}-dev", number % (200_000 / 17));
        insert(index, &claim(&subject, "version", &value(number), number), number);
    });
    assert!(short_series <= 200.0, "{short_series:.1} bytes a claim");
}

/// Builds an index of so many claims; answers what it allocated for each, and checks that it says so itself.
fn bytes_a_claim(name: &str, claims: u64, insert: impl Fn(u64, &mut Index)) -> f64 {
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let mut index = Index::new(IndexConfig { bytes_max: 1 << 30, hash_seed: 3 });
    let mut live = 0;
    for number in 0..claims {
        insert(number, &mut index);
        if (number + 1).is_multiple_of(claims / 10) {
            live = LIVE_BYTES.load(Ordering::Relaxed) - before;
            let claims = index.len();
            println!("{name}: {claims} claims, {:.1} bytes a claim", live as f64 / claims as f64);
            let accounted = index.bytes() as f64;
            assert!(
                (accounted / live as f64 - 1.0).abs() < 0.01,
                "{accounted} of {live} bytes accounted for"
            );
        }
    }
    assert_eq!(index.len(), claims);
    let largest = LARGEST_BYTES.load(Ordering::Relaxed);
    assert!(largest <= 1 << 20, "{largest} bytes were allocated at once");
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let mut restored = restored(&index);
    let live_restored = LIVE_BYTES.load(Ordering::Relaxed) - before;
    println!("{name}: {:.1} bytes a claim when restored", live_restored as f64 / claims as f64);
    let accounted = restored.bytes() as f64 / live_restored as f64;
    assert!((accounted - 1.0).abs() < 0.01, "{accounted:.3} of the bytes accounted for when restored");
    assert!(live_restored as f64 <= 1.03 * live as f64, "{live_restored} bytes when restored, {live} before");
    // A restore sorts what it puts into its tables; nobody waits for that. Afterwards somebody does.
    LARGEST_BYTES.store(0, Ordering::Relaxed);
    (claims..claims + claims / 10).for_each(|number| insert(number, &mut restored));
    let largest = LARGEST_BYTES.load(Ordering::Relaxed);
    assert!(largest <= 1 << 20, "{largest} bytes were allocated at once when restored");
    live as f64 / claims as f64
}

/// The index that a snapshot of `index` gives.
fn restored(index: &Index) -> Index {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let (mut cursor, mut piece) = (SnapshotCursor::new(index, 0..SLOTS, Vec::new()), Vec::new());
    while !cursor.step(index, 64 << 10, &mut piece) {
        file.write_all(&piece).expect("room for the snapshot");
        piece.clear();
    }
    file.write_all(&piece).expect("room for the snapshot");
    file.rewind().expect("a file has a beginning");
    let config = IndexConfig { bytes_max: 1 << 30, hash_seed: 4 };
    let restored = IndexLoader::restore(&mut BufReader::new(file), config, 0..SLOTS);
    restored.expect("an undamaged snapshot").0.finish()
}

/// 30 bytes, no two the same.
fn value(number: u64) -> String {
    format!("{number:09} (>= 2:1.18.4-3+deb12)")
}

fn insert(index: &mut Index, claim: &Claim<'_>, number: u64) {
    // Any hash that is even does; the real one would take longer.
    let mut hash = [0; 32];
    for (part, chunk) in (0..).zip(hash.chunks_exact_mut(8)) {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ part).rotate_left(29);
        chunk.copy_from_slice(&mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93).to_le_bytes());
    }
    index.insert(&ClaimHash(hash), claim, WriteOrder::new(1, number)).expect("there is room");
}

fn claim<'a>(subject: &'a str, predicate: &'a str, value: &'a str, timestamp: u64) -> Claim<'a> {
    Claim::new(
        ConceptPath::new(subject).expect("valid"),
        Predicate::new(predicate).expect("valid"),
        Value::text(value).expect("valid"),
        Timestamp::new(UnixMicros(timestamp as i64)).expect("valid"),
    )
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every request goes to the system's allocator as it came, and what that answers is passed on; the
// count beside it has no influence on either.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        LARGEST_BYTES.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to this method's contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to this method's contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        LIVE_BYTES.fetch_add(new_size, Ordering::Relaxed);
        LARGEST_BYTES.fetch_max(new_size, Ordering::Relaxed);
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to this method's contract, which is the same.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
