//! Where and how a comparison ran.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

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
        let uname = rustix::system::uname();
        let info = rustix::system::sysinfo();
        Environment {
            began: utc_now(),
            cpus: cpus(),
            kernel: uname.release().to_string_lossy().into_owned(),
            memory_gib: (info.totalram as f64 * f64::from(info.mem_unit) / f64::from(1 << 30) * 10.0).round()
                / 10.0,
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

fn cpus() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let values = text.lines().filter_map(|line| line.split_once(':'));
        values
            .filter(|(field, _)| field.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let (count, models) = (field("processor").len(), field("model name"));
    format!("{count} × {}", models.first().map_or("unknown", String::as_str))
}

fn utc_now() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
