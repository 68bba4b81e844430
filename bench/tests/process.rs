//! Programs are started, watched and ended, with all that they have started, and nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stemedb_bench::process::{Directory, ProcessError, Program};
use stemedb_engine::ring::CpuSet;

const PATIENCE: Duration = Duration::from_secs(20);

fn directory() -> Directory {
    Directory::create_in(&std::env::temp_dir()).expect("there is a temporary directory")
}

fn shell(directory: &Directory, script: &str) -> Program {
    let cpus = CpuSet::of_current_thread().expect("the kernel tells");
    Program::new("sh", directory.path(), cpus).args(["-c", script])
}

/// The processes whose working directory is in `path`, or was before that was removed.
fn processes_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("there is /proc").flatten();
    let is_there =
        |entry: &fs::DirEntry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(path));
    entries.filter(is_there).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What was killed takes a moment to be gone.
fn assert_soon_empty(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !processes_in(path).is_empty() {
        assert!(Instant::now() < deadline, "{:?} still run in {}", processes_in(path), path.display());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_runs_with_its_children_until_it_is_stopped() {
    let directory = directory();
    let ready = directory.path().join("ready");
    let script = "sleep 1000 & sleep 1000 & echo working; : > ready; wait";
    let mut running = shell(&directory, script).start(PATIENCE, || ready.exists()).expect("it starts");
    assert_eq!(processes_in(directory.path()).len(), 3);
    assert!(running.resident_bytes().expect("it runs") > 0);
    assert!(running.strays().is_empty());
    assert_eq!(running.log_end(), "working");
    running.stop();
    assert_soon_empty(directory.path());
    assert!(matches!(running.resident_bytes(), Err(ProcessError::Gone { .. })));
}

#[test]
fn a_program_that_is_killed_gets_no_word() {
    let directory = directory();
    let ready = directory.path().join("ready");
    let script = "trap 'echo asked' TERM; : > ready; while :; do sleep 0.01; done";
    let mut running = shell(&directory, script).start(PATIENCE, || ready.exists()).expect("it starts");
    running.kill();
    assert_eq!(running.log_end(), "");
    assert_soon_empty(directory.path());
}

#[test]
fn a_program_that_ends_before_it_is_ready_says_why() {
    let directory = directory();
    let error = shell(&directory, "echo no such port >&2; exit 3").start(PATIENCE, || false);
    let error = error.expect_err("it is never ready").to_string();
    assert!(error.contains("exit status: 3") && error.contains("no such port"), "{error}");
}

#[test]
fn a_program_that_is_not_ready_in_time_is_ended() {
    let directory = directory();
    let started = shell(&directory, "exec sleep 1000").start(Duration::from_millis(50), || false);
    assert!(matches!(started, Err(ProcessError::TooLate { .. })));
    assert_soon_empty(directory.path());
}

#[test]
fn the_output_of_a_program_is_apart_from_its_log() {
    let directory = directory();
    let output = shell(&directory, "echo result; echo note >&2").run(PATIENCE).expect("it succeeds");
    assert_eq!(output, "result\n");
    let error = shell(&directory, "echo bad >&2; false").run(PATIENCE).expect_err("it fails");
    assert!(error.to_string().contains("bad"), "{error}");
    assert!(Program::new("/no/such", directory.path(), CpuSet::from_iter([0])).run(PATIENCE).is_err());
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_behind() {
    if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: redis-server is not installed");
        return;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let parent = tempfile::tempdir().expect("there is a temporary directory");
        let mut bench = Command::new(env!("CARGO_BIN_EXE_stemedb-bench"))
            .args(["compare", "--only", "redis", "--rounds", "1", "--seconds", "60", "--dir"])
            .arg(parent.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is built");
        let deadline = Instant::now() + PATIENCE;
        while processes_in(parent.path()).is_empty() {
            if bench.try_wait().expect("it is ours").is_some() {
                println!("skipped: it cannot run here");
                return;
            }
            assert!(Instant::now() < deadline, "no server was started");
            thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&bench), signal).expect("it runs");
        let status = bench.wait().expect("it is ours");
        assert_eq!(status.code(), Some(128 + signal.as_raw()));
        assert_soon_empty(parent.path());
        assert_eq!(fs::read_dir(parent.path()).expect("it is there").count(), 0);
    }
}
