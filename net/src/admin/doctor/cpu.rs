//! The CPUs that StemeDB may use, and how they lie.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stemedb_engine::ring::probe::{Finding, State};

/// How many CPUs this process may use, and what would keep cores from having one each. `root` is `/`, or a directory
/// that looks like it.
pub(super) fn examine(root: &Path) -> Finding {
    let (state, text) = judge(root);
    Finding { subject: "CPUs".to_owned(), state, text }
}

fn judge(root: &Path) -> (State, String) {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let status = read("proc/self/status");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = cpu_list(allowed.unwrap_or_default().trim());
    if allowed.is_empty() {
        let text = "cannot tell which ones may be used; set STEMEDB_CORES to the number that shall be";
        return (State::Warning, text.to_owned());
    }
    let online = cpu_list(read("sys/devices/system/cpu/online").trim());
    let first_threads: BTreeSet<u32> = allowed
        .iter()
        .map(|cpu| {
            let siblings = read(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
            // The first sibling that may be used stands for the physical core.
            cpu_list(siblings.trim()).intersection(&allowed).next().copied().unwrap_or(*cpu)
        })
        .collect();
    let found = format!(
        "{} of {} may be used, on {} physical cores",
        allowed.len(),
        online.len().max(allowed.len()),
        first_threads.len()
    );
    if let Some(quota) = quota(root).filter(|&quota| quota < allowed.len() as f64) {
        let cores = (quota.floor() as u64).max(1);
        let text = format!(
            "{found}, but the control group allows only the time of {quota:.1}; set STEMEDB_CORES={cores}, since a core that \
             is out of time keeps its clients waiting"
        );
        return (State::Warning, text);
    }
    if first_threads.len() < allowed.len() {
        let text = format!(
            "{found}, so some share one; compare with STEMEDB_CORES={}, which leaves the other threads to the kernel's I/O \
             workers",
            first_threads.len()
        );
        return (State::Warning, text);
    }
    (State::Good, found)
}

/// The CPU time that the control group of this process allows, in CPUs (cgroup v2, `cpu.max`).
fn quota(root: &Path) -> Option<f64> {
    let membership = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut group = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut least: Option<f64> = None;
    // Every group above limits those below.
    loop {
        if let Some(quota) = quota_of_group(&root.join("sys/fs/cgroup").join(group)) {
            least = Some(least.map_or(quota, |least| least.min(quota)));
        }
        if group.is_empty() {
            return least;
        }
        group = group.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

fn quota_of_group(directory: &Path) -> Option<f64> {
    let text = fs::read_to_string(directory.join("cpu.max")).ok()?;
    let (time_us, period_us) = text.trim().split_once(' ')?;
    Some(time_us.parse::<f64>().ok()? / period_us.parse::<f64>().ok()?)
}

/// Reads a list of CPUs as the kernel writes it: `0-3,8`.
fn cpu_list(text: &str) -> BTreeSet<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn root(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn cpus_of_their_own_are_fine() {
        let root = root(&[
            ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-1\n"),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1\n"),
            ("proc/self/cgroup", "1:cpu:/\n0::/system.slice\n"),
            ("sys/fs/cgroup/system.slice/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(judge(root.path()), (State::Good, "2 of 4 may be used, on 2 physical cores".to_owned()));
    }

    #[test]
    fn threads_of_one_core_are_noticed() {
        let root = root(&[
            ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
            ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n"),
            ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"),
        ]);
        let (state, text) = judge(root.path());
        assert_eq!(state, State::Warning);
        assert!(text.contains("on 2 physical cores") && text.contains("STEMEDB_CORES=2,"), "{text}");
    }

    #[test]
    fn the_tightest_quota_above_counts() {
        let root = root(&[
            ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n"),
            ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
        ]);
        let (state, text) = judge(root.path());
        assert_eq!(state, State::Warning);
        assert!(text.contains("the time of 1.5; set STEMEDB_CORES=1,"), "{text}");
    }

    #[test]
    fn a_machine_that_tells_nothing_is_a_warning() {
        assert_eq!(judge(root(&[]).path()).0, State::Warning);
    }
}
