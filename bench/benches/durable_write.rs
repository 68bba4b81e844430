//! How long a durable write takes: one 4 KiB or 64 KiB `O_DIRECT` write with `RWF_DSYNC` after the other, through a ring
//! whose thread is bound to one CPU, with the kernel's workers on the same CPU, on another, and wherever.
//!
//! `cargo bench -p stemedb-bench --bench durable_write [-- <directory>]`; the directory defaults to the working
//! directory. It writes one file of 64 MiB there and removes it. With `--test` it only shows that it works.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Completion, CpuSet, Descriptor, Ring, RingConfig};

const FILE_BYTES: usize = 64 << 20;
const WRITES: usize = 1000;

/// Writes of each kind when it is only to be shown that they work.
const TEST_WRITES: usize = 3;

fn main() {
    let writes = if std::env::args().any(|argument| argument == "--test") { TEST_WRITES } else { WRITES };
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let path = directory.unwrap_or_default().join("durable_write.scratch");
    write_zeros(&path);
    let allowed: Vec<u16> = CpuSet::of_current_thread().expect("the kernel tells").iter().collect();
    let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
    let everywhere: CpuSet = allowed.iter().copied().collect();
    println!("ring on CPU {first}, {writes} writes each, µs");
    println!("{:>9}  {:<18}{:>8}{:>8}{:>8}{:>8}", "bytes", "workers", "p10", "p50", "p99", "max");
    for bytes in [4 << 10, 64 << 10] {
        for (name, workers) in [
            ("same CPU", CpuSet::from_iter([first])),
            ("other CPU", CpuSet::from_iter([last])),
            ("any CPU", everywhere),
        ] {
            let path = path.clone();
            let measure = move || measure(&path, bytes, writes, first, &workers);
            let mut latencies = std::thread::spawn(measure).join().expect("the measurement works");
            latencies.sort_unstable();
            let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e6;
            println!("{bytes:>9}  {name:<18}{:>8.0}{:>8.0}{:>8.0}{:>8.0}", at(10), at(50), at(99), at(100));
        }
    }
    std::fs::remove_file(&path).expect("it is ours");
}

/// Fills the file, so that no write has to allocate or convert blocks.
fn write_zeros(path: &Path) {
    let mut file = File::create(path).expect("a directory to write in");
    let zeros = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES / zeros.len() {
        file.write_all(&zeros).expect("room on the disk");
    }
    file.sync_all().expect("the disk works");
}

fn measure(path: &Path, bytes: usize, writes: usize, cpu: u16, workers: &CpuSet) -> Vec<Duration> {
    CpuSet::from_iter([cpu]).bind_current_thread().expect("the CPU is allowed");
    let config = RingConfig { operations_max: 4, receive_buffers: 1, receive_buffer_bytes: 4096 };
    let mut ring = Ring::new(&config).expect("io_uring");
    ring.bind_workers(workers).expect("the CPUs are allowed");
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).expect("it exists");
    let file = Descriptor::from(OwnedFd::from(file));
    let mut spare = Some(AlignedBuffer::zeroed(bytes));
    let mut write = |offset: u64| {
        let buffer = spare.take().expect("it came back");
        let start = Instant::now();
        ring.write_durable(&file, buffer, bytes, offset, 0).expect("room for an operation");
        loop {
            ring.submit_and_wait().expect("the ring works");
            match ring.next_completion() {
                Some(Completion::Written { buffer, result, .. }) => {
                    let elapsed = start.elapsed();
                    assert_eq!(result, Ok(bytes));
                    spare = Some(buffer);
                    return elapsed;
                }
                Some(other) => panic!("unexpected {other:?}"),
                None => {}
            }
        }
    };
    let offset = |turn: usize| (turn * bytes % FILE_BYTES) as u64;
    (0..writes.div_ceil(10)).map(offset).for_each(|offset| {
        write(offset);
    });
    (0..writes).map(|turn| write(offset(turn))).collect()
}
