//! Giving way to others.

use std::io;

/// Linux's `ioprio_set(2)`, which the C library does not wrap: whose priority, and the class that only uses a disk
/// that nobody else wants.
const WHO_PROCESS: libc::c_long = 1;
const CLASS_IDLE: libc::c_long = 3 << 13;

/// The niceness of background work that must get done.
const NICE_BEHIND_CORES: libc::c_int = 10;

/// Puts the calling thread, and the threads that it starts from now on, behind the cores, setpriority(2). Its I/O priority
/// follows from that.
pub fn step_back() {
    // SAFETY: the call takes no memory. On Linux, 0 is the calling thread, not the process.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE_BEHIND_CORES) } != 0 {
        tracing::warn!(error = %io::Error::last_os_error(), "background work keeps its normal priority");
    }
}

/// Has the calling thread, and the threads that it starts from now on, give way to all others: on the CPU by `SCHED_IDLE`, sched(7), and
/// on disks whose I/O scheduler knows priorities.
///
/// The most niceness would not do: a thread that is nice has its time slice to the end, some milliseconds, when a core wakes up that waits for
/// the same CPU; and whenever a core yields, it gets several.
///
/// # Errors
///
/// When the kernel refuses, as some sandboxes have it. Nothing depends on it but who waits for whom.
pub fn give_way() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: sched_setscheduler(2) reads the parameters, which live until it returns; process 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: ioprio_set(2) takes three numbers and touches no memory; process 0 is the calling thread.
    if unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as libc::c_long, CLASS_IDLE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_way_alone() {
        let policy = || {
            // SAFETY: as above; the kernel only answers.
            unsafe { libc::sched_getscheduler(0) }
        };
        let before = policy();
        std::thread::spawn(move || {
            give_way().expect("lowering is allowed to everybody");
            assert_eq!(policy(), libc::SCHED_IDLE);
        })
        .join()
        .expect("it does not panic");
        assert_eq!(policy(), before);
    }
}
