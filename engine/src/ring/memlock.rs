//! How much memory this process may lock, of which rings and their buffers take a share.

use std::{fs, io};

/// The memory that a process may lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockableMemory {
    /// As much as there is: the limit is infinite, or the process has `CAP_IPC_LOCK`.
    Unlimited,
    /// So many bytes, which all processes of the user share.
    Bytes(u64),
}

/// What this process may lock: the soft limit `RLIMIT_MEMLOCK`, see getrlimit(2), unless it is privileged.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn lockable_memory() -> io::Result<LockableMemory> {
    if has_ipc_lock(&fs::read_to_string("/proc/self/status")?) {
        return Ok(LockableMemory::Unlimited);
    }
    let bytes = memlock_limit()?;
    Ok(if bytes == libc::RLIM_INFINITY { LockableMemory::Unlimited } else { LockableMemory::Bytes(bytes) })
}

/// The soft limit alone, whether or not it binds this process; `RLIM_INFINITY` is the largest number.
pub(crate) fn memlock_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a `rlimit` and lives through the call, which only writes to it.
    match unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } {
        0 => Ok(limit.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the effective capabilities in a status file of proc(5) contain `CAP_IPC_LOCK`.
fn has_ipc_lock(status: &str) -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> CAP_IPC_LOCK & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_is_bit_14_of_the_effective_set() {
        assert!(has_ipc_lock("Name:\tx\nCapPrm:\t0\nCapEff:\t0000000000004000\n"));
        assert!(has_ipc_lock("CapEff:\t000001ffffffffff\n"));
        assert!(!has_ipc_lock("CapPrm:\t0000000000004000\nCapEff:\t000001ffffffbfff\n"));
        assert!(!has_ipc_lock(""));
    }

    #[test]
    fn the_kernel_tells() {
        lockable_memory().expect("proc(5) is mounted");
    }
}
