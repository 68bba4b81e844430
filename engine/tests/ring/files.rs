//! Durable writes, and timers.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use stemedb_engine::ring::aligned::AlignedBuffer;
use stemedb_engine::ring::{Completion, CpuSet, Descriptor, Errno, Full, Ring, RingConfig};

use crate::{small_ring, wait};

const BLOCK: usize = AlignedBuffer::ALIGNMENT;

fn descriptor(file: File) -> Descriptor {
    Descriptor::from(OwnedFd::from(file))
}

#[test]
fn a_durable_write_lands_where_it_should_and_gives_the_buffer_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("segment");
    fs::write(&path, vec![0; 3 * BLOCK]).expect("room on the disk");
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&path).expect("it exists");
    let file = descriptor(file);
    let mut ring = small_ring();
    ring.bind_workers(&CpuSet::of_current_thread().expect("the kernel tells"))
        .expect("these CPUs are allowed");
    ring.limit_workers(1).expect("one worker is enough");

    let mut buffer = AlignedBuffer::zeroed(2 * BLOCK);
    buffer.fill(7);
    ring.write_durable(&file, buffer, BLOCK, BLOCK as u64, 42).expect("room for an operation");
    let Completion::Written { user: 42, buffer, result } = wait(&mut ring) else { panic!("not the write") };
    assert_eq!(result, Ok(BLOCK));
    assert!(buffer.len() == 2 * BLOCK && buffer.iter().all(|byte| *byte == 7));

    let written = fs::read(&path).expect("it can be read");
    let (sevens, zeros): (Vec<_>, Vec<_>) =
        written.iter().enumerate().partition(|(position, _)| (BLOCK..2 * BLOCK).contains(position));
    assert!(sevens.iter().all(|(_, byte)| **byte == 7) && zeros.iter().all(|(_, byte)| **byte == 0));
}

#[test]
fn a_failed_write_says_why_and_gives_the_buffer_back() {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let read_only = File::open("/dev/zero").expect("Linux has it");
    let mut ring = small_ring();
    for (file, errno) in [(full, libc::ENOSPC), (read_only, libc::EBADF)] {
        ring.write_durable(&descriptor(file), AlignedBuffer::zeroed(BLOCK), BLOCK, 0, 1).expect("room");
        let Completion::Written { buffer, result, .. } = wait(&mut ring) else { panic!("not the write") };
        assert_eq!(result, Err(Errno(errno)));
        assert_eq!(buffer.len(), BLOCK);
    }
}

#[test]
fn a_full_ring_gives_the_buffer_back() {
    let config = RingConfig { operations_max: 1, receive_buffers: 1, receive_buffer_bytes: 16 };
    let mut ring = Ring::new(&config).expect("this kernel has io_uring");
    let file = descriptor(File::open("/dev/null").expect("Linux has it"));
    ring.timer(Duration::from_secs(3600), 1).expect("room for an operation");
    assert_eq!(ring.operations_free(), 0);
    let Err(Full(buffer)) = ring.write_durable(&file, AlignedBuffer::zeroed(BLOCK), BLOCK, 0, 2) else {
        panic!("there is no room")
    };
    assert_eq!(buffer.len(), BLOCK);
    assert_eq!(ring.send(&file, vec![1, 2, 3], 0..3, 3), Err(Full(vec![1, 2, 3])));
    assert_eq!(ring.timer(Duration::ZERO, 4), Err(Full(())));
}

#[test]
fn a_timer_expires_once_and_not_too_early() {
    let mut ring = small_ring();
    let (start, after) = (Instant::now(), Duration::from_millis(5));
    ring.timer(after, 9).expect("room for an operation");
    assert!(matches!(wait(&mut ring), Completion::Timer { user: 9, result: Ok(()) }));
    assert!(start.elapsed() >= after);
    assert_eq!(ring.operations_free(), 8);
}

#[test]
fn a_cancelled_timer_says_so_and_a_stale_cancellation_hits_nobody() {
    let mut ring = small_ring();
    let long = ring.timer(Duration::from_secs(3600), 1).expect("room for an operation");
    ring.cancel(long);
    let Completion::Timer { user: 1, result: Err(Errno::CANCELLED) } = wait(&mut ring) else {
        panic!("not cancelled")
    };
    // The successor has the same place in the table.
    ring.timer(Duration::from_millis(1), 2).expect("room for an operation");
    ring.cancel(long);
    assert!(matches!(wait(&mut ring), Completion::Timer { user: 2, result: Ok(()) }));
}

#[test]
fn a_read_gives_what_is_there_up_to_the_end_and_the_buffer_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("table");
    let written: Vec<u8> = (0..3 * BLOCK).map(|at| (at / 64) as u8).collect();
    fs::write(&path, &written).expect("room on the disk");
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path).expect("it exists");
    let file = descriptor(file);
    let mut ring = small_ring();
    for (offset, bytes, expected) in
        [(BLOCK, BLOCK, BLOCK), (2 * BLOCK, 2 * BLOCK, BLOCK), (3 * BLOCK, BLOCK, 0)]
    {
        ring.read(&file, AlignedBuffer::zeroed(4 * BLOCK), bytes, offset as u64, 7)
            .expect("room for an operation");
        let Completion::Read { user: 7, buffer, result } = wait(&mut ring) else { panic!("not the read") };
        assert_eq!(result, Ok(expected));
        assert_eq!(buffer[..expected], written[offset..offset + expected]);
        assert!(buffer.len() == 4 * BLOCK && buffer[bytes..].iter().all(|byte| *byte == 0));
    }
    let unreadable = descriptor(OpenOptions::new().write(true).open(&path).expect("it exists"));
    ring.read(&unreadable, AlignedBuffer::zeroed(BLOCK), BLOCK, 0, 8).expect("room for an operation");
    let Completion::Read { user: 8, result, .. } = wait(&mut ring) else { panic!("not the read") };
    assert_eq!(result, Err(Errno(libc::EBADF)));

    let config = RingConfig { operations_max: 1, receive_buffers: 1, receive_buffer_bytes: 16 };
    let mut full = Ring::new(&config).expect("this kernel has io_uring");
    full.timer(Duration::from_secs(3600), 1).expect("room for one operation");
    let Full(buffer) =
        full.read(&file, AlignedBuffer::zeroed(BLOCK), BLOCK, 0, 9).expect_err("no room for two");
    assert_eq!(buffer.len(), BLOCK);
}

/// More submissions than the kernel's queue holds, without entering the kernel in between: none is lost.
#[test]
fn a_full_submission_queue_is_flushed() {
    let config = RingConfig { operations_max: 5000, receive_buffers: 1, receive_buffer_bytes: 16 };
    let mut ring = Ring::new(&config).expect("this kernel has io_uring");
    for user in 0..5000 {
        ring.timer(Duration::from_micros(user % 100), user).expect("room for an operation");
    }
    let mut expired: Vec<u64> = (0..5000)
        .map(|_| match wait(&mut ring) {
            Completion::Timer { user, result: Ok(()) } => user,
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    expired.sort_unstable();
    assert!(expired.into_iter().eq(0..5000));
    assert_eq!(ring.operations_free(), 5000);
}
