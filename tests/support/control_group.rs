//! Control groups that limit memory, of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::left_behind::{self, Held, Leftover};

/// A control group whose processes together may use so much memory, and are killed beyond.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
    _held: Held,
}

/// Where the memory controller is mounted, and what its limit is called.
const VERSIONS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

impl ControlGroup {
    /// Makes a group. `Err` says what this machine lacks for it.
    pub fn with_memory(bytes: u64) -> Result<ControlGroup, String> {
        let mut lacks = Vec::new();
        for version in VERSIONS {
            match make(version, bytes) {
                Ok(group) => return Ok(group),
                Err(lack) => lacks.push(lack),
            }
        }
        Err(lacks.join("; "))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make((root, limit): (&str, &str), bytes: u64) -> Result<ControlGroup, String> {
    // Tests of one process run side by side.
    static GROUPS: AtomicU64 = AtomicU64::new(0);
    let number = GROUPS.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(root).join(format!("stemedb-test-{}-{number}", std::process::id()));
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let held = left_behind::hold(Leftover::ControlGroup(path.clone()));
    let file = path.join(limit);
    fs::write(&file, bytes.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(ControlGroup { path, _held: held })
}
