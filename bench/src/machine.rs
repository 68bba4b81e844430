//! The machine that figures are of, and the moment.

use std::fs;
use std::process::Command;

/// Number and model of the CPUs.
pub fn cpus() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let fields: Vec<_> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let count = fields.iter().filter(|(name, _)| name.trim() == "processor").count();
    let model = fields.iter().find(|(name, _)| name.trim() == "model name");
    format!("{count} × {}", model.map_or("unknown processor", |(_, model)| model.trim()))
}

/// Memory in bytes.
pub fn memory_bytes() -> f64 {
    let info = rustix::system::sysinfo();
    info.totalram as f64 * f64::from(info.mem_unit)
}

/// The version of Linux.
pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The moment, in UTC; empty where there is no `date`.
pub fn utc_now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
