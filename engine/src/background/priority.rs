//! Giving way to others.

use std::io;

/// Linux's `ioprio_set(2)`, which the C library does not wrap: whose priority, and the class that only uses a disk
/// that nobody else wants.
const WHO_PROCESS: libc::c_long = 1;
const CLASS_IDLE: libc::c_long = 3 << 13;

/// The least that setpriority(2) knows.
const NICE_MOST: libc::c_int = 19;

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

/// Has the calling thread, and the threads that it starts from now on, give way to all others: on the CPU, and on disks
/// whose I/O scheduler knows priorities.
///
/// # Errors
///
/// When the kernel refuses, as some sandboxes have it. Nothing depends on it but who waits for whom.
pub fn give_way() -> io::Result<()> {
    // SAFETY: setpriority(2) takes three numbers and touches no memory; process 0 is the calling thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE_MOST) } != 0 {
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
        let priority = || {
            // SAFETY: as above; the kernel only answers.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        };
        let before = priority();
        std::thread::spawn(move || {
            give_way().expect("lowering is allowed to everybody");
            assert_eq!(priority(), NICE_MOST);
        })
        .join()
        .expect("it does not panic");
        assert_eq!(priority(), before);
    }
}
