use std::thread;

use super::*;

/// Goal: a submission that the kernel does not take now is not lost.
/// Method: the kernel takes submissions only from the thread that made the ring, so every submission from another
/// thread fails.
#[test]
fn what_the_kernel_refuses_waits_in_the_backlog() {
    struct Lent(Ring);
    // SAFETY: the scope below lends the ring to one thread while its own waits, and nothing else of it (the receive
    // buffers' count of references) is touched by either meanwhile.
    unsafe impl Send for Lent {}

    let operations = SUBMISSIONS_MAX + 500;
    let config = RingConfig { operations_max: operations, receive_buffers: 1, receive_buffer_bytes: 16 };
    let mut ring = Lent(Ring::new(&config).expect("this kernel has io_uring"));
    thread::scope(|scope| {
        let lent = &mut ring;
        scope.spawn(move || {
            let Lent(ring) = lent;
            for user in 0..operations {
                ring.timer(Duration::ZERO, u64::from(user)).expect("room for an operation");
            }
            assert_eq!(ring.submit().map_err(|error| error.raw_os_error()), Err(Some(libc::EEXIST)));
        });
    });
    let Lent(ring) = &mut ring;
    assert_eq!(ring.backlog.len(), 500);
    let mut expired = 0;
    while expired < operations {
        ring.submit_and_wait().expect("this is the ring's thread");
        while let Some(completion) = ring.next_completion() {
            assert!(matches!(completion, Completion::Timer { result: Ok(()), .. }), "{completion:?}");
            expired += 1;
        }
    }
    assert!(ring.backlog.is_empty());
}
