//! What the kernel knows of this process, for those who watch it.

use std::fs;
use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};

use crate::driver::wall_clock;
use crate::metrics::ProcessFigures;

/// How the process is now. A core asks this between two turns, so it reads one short file of the kernel's and no disk.
pub(super) fn figures() -> ProcessFigures {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    ProcessFigures {
        started_us: started_us(),
        resident_bytes: resident_bytes(),
        cpu_us: cpu.tv_sec.cast_unsigned() * 1_000_000 + cpu.tv_nsec.cast_unsigned() / 1_000,
    }
}

/// When this was first asked, which the server does as it starts. It is kept: a start that moved with the clock would
/// look like a restart.
pub(super) fn started_us() -> i64 {
    static STARTED_US: OnceLock<i64> = OnceLock::new();
    *STARTED_US.get_or_init(|| wall_clock().0)
}

/// Memory that the process occupies, 0 if the kernel does not tell: `VmRSS` of proc_pid_status(5).
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    size.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the figures are those of this process. Method: it occupies and works more, and is asked again.
    #[test]
    fn memory_and_time_that_are_used_show() {
        let before = figures();
        let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = figures();
        assert!(after.resident_bytes >= memory.len() as u64, "{after:?}");
        assert!(after.cpu_us > before.cpu_us, "{before:?} {after:?}");
        assert_eq!(after.started_us, before.started_us);
    }
}
