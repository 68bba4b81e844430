//! What `/proc` says of a process and its descendants, see proc(5).

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use stemedb_engine::ring::CpuSet;

/// A process and all its descendants. Those that come or go meanwhile may be missed.
pub(super) fn descendants_and(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while next < tree.len() {
        tree.extend(children.remove(&tree[next]).unwrap_or_default());
        next += 1;
    }
    tree
}

/// The CPU time of these processes, all their threads, and the children they have waited for.
///
/// That of the processes themselves is exact: a server of many processes, each of which rounded down to a tick, would seem to
/// use much less than it does.
pub(super) fn cpu_time(pids: &[u32]) -> Duration {
    let own: Duration = pids.iter().filter_map(|pid| own_cpu_time(*pid)).sum();
    let ticks: u64 = pids.iter().filter_map(|pid| Stat::read(*pid)).map(|stat| stat.children_ticks).sum();
    own + Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The CPU time of a process and all its threads, or `None` when it has ended.
fn own_cpu_time(pid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).ok()?;
    Some(clock.now().ok()?.into())
}

/// The memory of a process that is in RAM, or `None` when it has ended.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: u64 = field(&status, "VmRSS:")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The names of the threads of these processes that may run on other CPUs than `cpus`, sorted.
pub(super) fn strays(pids: &[u32], cpus: &CpuSet) -> Vec<String> {
    let mut names = Vec::new();
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            let allowed = field(&status, "Cpus_allowed_list:").and_then(parse_cpus).unwrap_or_default();
            if allowed.iter().any(|cpu| !cpus.iter().any(|own| own == *cpu)) {
                names.extend(field(&status, "Name:").map(str::to_owned));
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// The value of a line `name value` of a status file.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// A list such as `0,2-3`.
fn parse_cpus(list: &str) -> Option<Vec<u16>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse().ok()?..=last.parse::<u16>().ok()?);
    }
    Some(cpus)
}

struct Stat {
    parent: u32,
    /// CPU time of the children it waited for, in clock ticks.
    children_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Stat> {
        // The name is in parentheses and may hold any character, so what follows begins at the last one.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
        // Fields are numbered from 1 in proc(5), and these begin with the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let children_ticks = field(16)? + field(17)?;
        Some(Stat { parent: u32::try_from(field(4)?).ok()?, children_ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "77 (a) R 1 (b) S 42 77 77 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        let stat = Stat::parse(line).expect("the line is whole");
        assert_eq!((stat.parent, stat.children_ticks), (42, 7));
        assert!(Stat::parse("77 (a) S 42 77").is_none());
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_cpus("0"), Some(vec![0]));
        assert_eq!(parse_cpus("0,2-4"), Some(vec![0, 2, 3, 4]));
        assert_eq!(parse_cpus("x"), None);
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_uses_memory() {
        let own = std::process::id();
        assert!(descendants_and(own).contains(&own));
        assert!(cpu_time(&[own]) > Duration::ZERO);
        assert!(resident_bytes(own).expect("it is running") > 0);
        let everywhere = CpuSet::from_iter(0..1024);
        assert_eq!(strays(&[own], &everywhere), Vec::<String>::new());
        assert!(!strays(&[own], &CpuSet::from_iter([])).is_empty());
    }
}
