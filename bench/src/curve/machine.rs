//! The machine and the moment that figures are of.

use std::fs;
use std::process::Command;

use crate::chart::Unit;

/// Processor, CPUs, memory and kernel of this machine.
pub fn machine() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cpus = cpu_info.lines().filter(|line| line.starts_with("processor")).count();
    let info = rustix::system::sysinfo();
    let memory = Unit::Bytes.label(info.totalram as f64 * f64::from(info.mem_unit));
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    format!("{cpus} × {model}, {memory}, Linux {kernel}")
}

/// The moment, in UTC; empty where there is no `date`.
pub fn utc_now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
