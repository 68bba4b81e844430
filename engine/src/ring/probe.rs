//! Whether this machine has what a ring needs, and what to do if not.

use std::fmt;
use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};
use thiserror::Error;

use super::error::advice;
use super::memlock::{self, LockableMemory};
use super::receive_buffers::{self, ReceiveBuffers};

/// The oldest kernel release that will do: the first with `IORING_SETUP_DEFER_TASKRUN`.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Below this, neither rings with many buffers nor background executors have room to move.
const LOCKABLE_COMFORTABLE: u64 = 64 << 20;

/// glommio starts no executor below this, privileged or not.
const MEMLOCK_LIMIT_MIN: u64 = 512 << 10;

/// What the check at start found out about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The kernel's release, as in uname(2).
    pub kernel_release: String,
    /// What works, but not as well as it could.
    pub warnings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// What was found, and what to do if it is not as it should be.
    pub text: String,
}

/// How good a thing is that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// The server runs, but not as well as it could.
    Warning,
    /// The server cannot run.
    Missing,
}

/// What is missing on this machine.
#[derive(Debug, Error)]
#[error("this machine lacks what the server needs: {}", list(.missing))]
pub struct ProbeError {
    /// The findings whose state is [`State::Missing`], at least one.
    pub missing: Vec<Finding>,
}

/// Checks, at the start of a server, that rings will work.
///
/// # Errors
///
/// Everything that is missing, each with what to do about it.
pub fn check() -> Result<Capabilities, ProbeError> {
    let facts = Facts::gather();
    let findings = facts.judge();
    let of_state =
        |state| findings.iter().filter(move |finding| finding.state == state).cloned().collect::<Vec<_>>();
    let missing = of_state(State::Missing);
    if !missing.is_empty() {
        return Err(ProbeError { missing });
    }
    Ok(Capabilities { kernel_release: facts.kernel_release, warnings: of_state(State::Warning) })
}

/// Looks at everything that rings need, one finding each, whether good or not.
pub fn examine() -> Vec<Finding> {
    Facts::gather().judge()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)
    }
}

/// What the machine says, before it is judged.
struct Facts {
    kernel_release: String,
    /// The sysctl `kernel.io_uring_disabled`, which kernels since 6.6 have.
    io_uring_disabled: Option<String>,
    ring: Result<RingFacts, io::Error>,
    memlock_limit: io::Result<u64>,
    lockable: io::Result<LockableMemory>,
}

/// What a ring says of itself.
struct RingFacts {
    /// Each feature needed, and whether it is there.
    features: Vec<(&'static str, bool)>,
    /// Each operation needed, and whether it is there.
    operations: io::Result<Vec<(&'static str, bool)>>,
    /// Whether receive buffers can be registered.
    receive_buffers: io::Result<()>,
}

impl Facts {
    fn gather() -> Facts {
        let read = |path| fs::read_to_string(path).map(|text| text.trim().to_owned());
        Facts {
            kernel_release: read("/proc/sys/kernel/osrelease")
                .unwrap_or_else(|error| format!("unknown ({error})")),
            io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled").ok(),
            ring: super::build(8, 16).map(|io| RingFacts::of(&io)),
            memlock_limit: memlock::memlock_limit(),
            lockable: memlock::lockable_memory(),
        }
    }

    fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![judge_kernel(&self.kernel_release)];
        findings.push(judge_ring(&self.ring, self.io_uring_disabled.as_deref()));
        if let Ok(ring) = &self.ring {
            findings.extend(ring.judge());
        }
        findings.push(judge_memlock(&self.memlock_limit, &self.lockable));
        findings
    }
}

impl RingFacts {
    fn of(io: &IoUring) -> RingFacts {
        let params = io.params();
        let mut probe = Probe::new();
        let operations = io.submitter().register_probe(&mut probe).map(|()| {
            let needed = [
                ("accept", opcode::AcceptMulti::CODE),
                ("receive", opcode::RecvMulti::CODE),
                ("send", opcode::Send::CODE),
                ("write", opcode::Write::CODE),
                ("read", opcode::Read::CODE),
                ("timeout", opcode::Timeout::CODE),
                ("message to another ring", opcode::MsgRingData::CODE),
                ("cancel", opcode::AsyncCancel2::CODE),
            ];
            needed.map(|(name, code)| (name, probe.is_supported(code))).to_vec()
        });
        RingFacts {
            features: vec![
                ("no dropped completions", params.is_feature_nodrop()),
                ("stable submissions", params.is_feature_submit_stable()),
                ("waiting with a timeout", params.is_feature_ext_arg()),
                ("polling sockets without workers", params.is_feature_fast_poll()),
                ("native workers", params.is_feature_native_workers()),
            ],
            operations,
            receive_buffers: probe_receive_buffers(io),
        }
    }

    fn judge(&self) -> Vec<Finding> {
        let too_old = "missing, use Linux 6.1 or newer";
        let present = |kind: &str, name: &str, there: bool| {
            let (state, text) = if there { (State::Good, "present") } else { (State::Missing, too_old) };
            Finding { subject: format!("io_uring {kind}: {name}"), state, text: text.to_owned() }
        };
        let mut findings: Vec<Finding> =
            self.features.iter().map(|(name, there)| present("feature", name, *there)).collect();
        match &self.operations {
            Ok(operations) => {
                findings.extend(operations.iter().map(|(name, there)| present("operation", name, *there)));
            }
            Err(error) => {
                findings.push(missing("io_uring operations", format!("unknown, {error}; {}", advice(error))))
            }
        }
        findings.push(match &self.receive_buffers {
            Ok(()) => good("io_uring receive buffers", "can be registered"),
            Err(error) => missing("io_uring receive buffers", format!("refused, {error}; {}", advice(error))),
        });
        findings
    }
}

/// Registers one receive buffer for a moment.
fn probe_receive_buffers(io: &IoUring) -> io::Result<()> {
    let buffers = ReceiveBuffers::new(1, 4096)?;
    // SAFETY: the buffers are unregistered before they are dropped, and nothing receives into them.
    unsafe { buffers.register(io) }?;
    io.submitter().unregister_buf_ring(receive_buffers::GROUP)
}

fn judge_kernel(release: &str) -> Finding {
    let (major, minor) = KERNEL_MIN;
    match parse_release(release) {
        Some(found) if found >= KERNEL_MIN => good("kernel release", release),
        Some(_) => {
            missing("kernel release", format!("{release} is too old, use Linux {major}.{minor} or newer"))
        }
        None => Finding {
            subject: "kernel release".to_owned(),
            state: State::Warning,
            text: format!("{release:?} is not understood, Linux {major}.{minor} or newer is needed"),
        },
    }
}

/// Major and minor number of a release like `6.1.0-13-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn judge_ring(ring: &Result<RingFacts, io::Error>, disabled: Option<&str>) -> Finding {
    let error = match ring {
        Ok(_) => return good("io_uring", "a ring can be created"),
        Err(error) => error,
    };
    let text = match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some("2")) => {
            "switched off for everybody, run `sysctl kernel.io_uring_disabled=0` and make it stay with a file in \
             /etc/sysctl.d"
                .to_owned()
        }
        (Some(libc::EPERM), Some("1")) => {
            "only for privileged processes and members of the group `kernel.io_uring_group`, run \
             `sysctl kernel.io_uring_disabled=0` or put the server's user into that group"
                .to_owned()
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "forbidden, though kernel.io_uring_disabled allows it: a seccomp profile is in the way; allow io_uring_setup, \
             io_uring_enter and io_uring_register in the container's profile or the unit's SystemCallFilter"
                .to_owned()
        }
        _ => format!("refused, {error}; {}", advice(error)),
    };
    missing("io_uring", text)
}

fn judge_memlock(limit: &io::Result<u64>, lockable: &io::Result<LockableMemory>) -> Finding {
    let subject = "memory that may be locked";
    let remedy = "set `LimitMEMLOCK=infinity` in the unit or raise `ulimit -l`";
    match (limit, lockable) {
        (Ok(limit), _) if *limit < MEMLOCK_LIMIT_MIN => {
            let least = MEMLOCK_LIMIT_MIN >> 10;
            missing(subject, format!("{} KiB, at least {least} KiB are needed; {remedy}", limit >> 10))
        }
        (_, Ok(LockableMemory::Unlimited)) => good(subject, "unlimited"),
        (_, Ok(LockableMemory::Bytes(bytes))) if *bytes >= LOCKABLE_COMFORTABLE => {
            good(subject, &format!("{} MiB", bytes >> 20))
        }
        (_, Ok(LockableMemory::Bytes(bytes))) => Finding {
            subject: subject.to_owned(),
            state: State::Warning,
            text: format!("only {} KiB for all processes of this user; {remedy}", bytes >> 10),
        },
        (_, Err(error)) => Finding {
            subject: subject.to_owned(),
            state: State::Warning,
            text: format!("unknown, {error}; {remedy}"),
        },
    }
}

fn good(subject: &str, text: &str) -> Finding {
    Finding { subject: subject.to_owned(), state: State::Good, text: text.to_owned() }
}

fn missing(subject: &str, text: String) -> Finding {
    Finding { subject: subject.to_owned(), state: State::Missing, text }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which nothing is amiss.
    fn fine() -> Facts {
        Facts {
            kernel_release: "6.1.0-13-amd64".to_owned(),
            io_uring_disabled: Some("0".to_owned()),
            ring: Ok(RingFacts {
                features: vec![("stable submissions", true)],
                operations: Ok(vec![("send", true), ("write", true)]),
                receive_buffers: Ok(()),
            }),
            memlock_limit: Ok(8 << 20),
            lockable: Ok(LockableMemory::Unlimited),
        }
    }

    /// The text of the one finding that is not good.
    fn complaint(facts: &Facts) -> (State, String) {
        let mut bad = facts.judge().into_iter().filter(|finding| finding.state != State::Good);
        let finding = bad.next().expect("something is amiss");
        assert_eq!(bad.next(), None, "one thing only");
        (finding.state, finding.to_string())
    }

    fn refused(errno: i32) -> Result<RingFacts, io::Error> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn the_machine_that_runs_the_tests_has_what_is_needed() {
        let capabilities = check().expect("rings work here");
        assert!(parse_release(&capabilities.kernel_release) >= Some(KERNEL_MIN));
        assert!(examine().len() > 10);
    }

    #[test]
    fn nothing_is_said_against_a_machine_that_is_fine() {
        assert!(fine().judge().iter().all(|finding| finding.state == State::Good));
    }

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(parse_release("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(parse_release("6.1"), Some((6, 1)));
        assert_eq!(parse_release("unknown"), None);
        assert_eq!(judge_kernel("10.0.1").state, State::Good);
        let (state, text) = complaint(&Facts { kernel_release: "5.15.0-105".to_owned(), ..fine() });
        assert_eq!(state, State::Missing);
        assert_eq!(text, "kernel release: 5.15.0-105 is too old, use Linux 6.1 or newer");
    }

    #[test]
    fn a_refused_ring_names_its_cause() {
        for (errno, disabled, words) in [
            (libc::EPERM, Some("2"), "sysctl kernel.io_uring_disabled=0"),
            (libc::EPERM, Some("1"), "kernel.io_uring_group"),
            (libc::EPERM, Some("0"), "seccomp"),
            (libc::EPERM, None, "seccomp"),
            (libc::ENOSYS, None, "no io_uring"),
            (libc::ENOMEM, Some("0"), "LimitMEMLOCK"),
            (libc::EINVAL, Some("0"), "6.1 or newer"),
        ] {
            let facts =
                Facts { ring: refused(errno), io_uring_disabled: disabled.map(str::to_owned), ..fine() };
            let (state, text) = complaint(&facts);
            assert_eq!(state, State::Missing);
            assert!(text.contains(words), "{errno} {disabled:?}: {text}");
        }
    }

    #[test]
    fn a_missing_operation_is_named() {
        let mut facts = fine();
        let ring = facts.ring.as_mut().expect("the machine is fine");
        ring.operations = Ok(vec![("send", true), ("message to another ring", false)]);
        let (state, text) = complaint(&facts);
        assert_eq!(state, State::Missing);
        assert!(text.starts_with("io_uring operation: message to another ring: missing"), "{text}");
    }

    #[test]
    fn little_lockable_memory_is_a_warning_and_very_little_is_an_obstacle() {
        let facts = Facts { lockable: Ok(LockableMemory::Bytes(8 << 20)), ..fine() };
        let (state, text) = complaint(&facts);
        assert_eq!(state, State::Warning);
        assert!(text.contains("8192 KiB") && text.contains("LimitMEMLOCK=infinity"), "{text}");
        let (state, text) = complaint(&Facts { memlock_limit: Ok(64 << 10), ..fine() });
        assert_eq!(state, State::Missing);
        assert!(text.contains("at least 512 KiB"), "{text}");
    }

    #[test]
    fn the_error_lists_all_that_is_missing() {
        let facts = Facts { kernel_release: "4.4.0".to_owned(), ring: refused(libc::ENOSYS), ..fine() };
        let missing: Vec<Finding> =
            facts.judge().into_iter().filter(|finding| finding.state == State::Missing).collect();
        let text = ProbeError { missing }.to_string();
        assert!(text.contains("4.4.0") && text.contains("no io_uring"), "{text}");
    }
}
