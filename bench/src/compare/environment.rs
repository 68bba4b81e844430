//! Where and how a comparison ran.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use crate::machine;
use crate::system::{Name, Site, System};

/// A load average above this says that something else runs on the machine.
pub const BUSY_LOAD: f64 = 0.3;

/// The machine, and how it was used.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// When it began, in UTC.
    pub began: String,
    /// Number and model of the CPUs.
    pub cpus: String,
    /// The version of Linux.
    pub kernel: String,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// What the data is on.
    pub file_system: String,
    /// The load average of the last minute before.
    pub load_average_before: f64,
    /// How many rounds there were.
    pub rounds: u32,
    /// How long each measurement ran before it counted, in seconds.
    pub warm_up_s: f64,
    /// How long each measurement took.
    pub duration_s: f64,
    /// What each system says of its version.
    pub versions: BTreeMap<Name, String>,
}

impl Environment {
    pub(super) fn of(systems: &[Box<dyn System>], site: &Site, rounds: u32) -> Environment {
        Environment {
            began: machine::utc_now(),
            cpus: machine::cpus(),
            kernel: machine::kernel(),
            memory_gib: (machine::memory_bytes() / f64::from(1 << 30) * 10.0).round() / 10.0,
            file_system: site.file_system(),
            load_average_before: load_average(),
            rounds,
            warm_up_s: site.warm_up.as_secs_f64(),
            duration_s: site.duration.as_secs_f64(),
            versions: systems.iter().map(|system| (system.name(), system.version())).collect(),
        }
    }
}

/// The load average of the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}
