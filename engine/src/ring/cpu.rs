//! Which CPUs threads run on.

use std::{fmt, io, mem};

/// A set of CPUs, by the kernel's numbers, each below 1024.
#[derive(Clone, Copy)]
pub struct CpuSet(libc::cpu_set_t);

impl CpuSet {
    /// The CPUs that the calling thread may run on, see sched_getaffinity(2).
    ///
    /// # Errors
    ///
    /// When the machine has a CPU with a number beyond 1023.
    pub fn of_current_thread() -> io::Result<CpuSet> {
        let mut set = CpuSet::from_iter([]);
        // SAFETY: `set` has the given size and lives through the call, which writes nothing beyond that size.
        match unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set.0), &mut set.0) } {
            0 => Ok(set),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Binds the calling thread to these CPUs, see sched_setaffinity(2).
    ///
    /// # Errors
    ///
    /// When none of them is there or allowed for this process.
    pub fn bind_current_thread(&self) -> io::Result<()> {
        // SAFETY: the set has the given size and lives through the call, which only reads it.
        match unsafe { libc::sched_setaffinity(0, mem::size_of_val(&self.0), &self.0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The CPUs' numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        // SAFETY: `CPU_ISSET` reads one bit of the set, and all of `0..CPU_SETSIZE` are within it.
        (0..libc::CPU_SETSIZE as u16).filter(|cpu| unsafe { libc::CPU_ISSET(usize::from(*cpu), &self.0) })
    }

    /// The set as the kernel takes it.
    pub(super) fn raw(&self) -> &libc::cpu_set_t {
        &self.0
    }
}

impl FromIterator<u16> for CpuSet {
    fn from_iter<I: IntoIterator<Item = u16>>(cpus: I) -> CpuSet {
        // SAFETY: a set is an array of integers, for which all zeros is a value: the empty set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        for cpu in cpus {
            assert!(i32::from(cpu) < libc::CPU_SETSIZE, "CPU {cpu} is beyond what a set can hold");
            // SAFETY: `CPU_SET` writes one bit of the set, and the assertion keeps it within.
            unsafe { libc::CPU_SET(usize::from(cpu), &mut set) };
        }
        CpuSet(set)
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_where_it_was_bound() {
        let allowed = CpuSet::of_current_thread().expect("the kernel tells");
        let last = allowed.iter().last().expect("a thread runs somewhere");
        let bound = std::thread::spawn(move || {
            CpuSet::from_iter([last]).bind_current_thread().expect("the CPU is allowed");
            CpuSet::of_current_thread().expect("the kernel tells").iter().collect::<Vec<u16>>()
        });
        assert_eq!(bound.join().expect("no panic"), [last]);
    }
}
