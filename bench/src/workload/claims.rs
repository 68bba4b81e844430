//! Claims, each different from all others.

use std::fmt;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Subjects, Workload};

/// What a run's claims have in common, and no other run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(u64);

/// The claims of one connection: JSON objects of equal size, as `POST /v1/assert` takes them.
///
/// A claim is a template into which the digits of its subject and of its own number are put. Its value is what fills
/// it up, so that larger claims are larger for the log, too.
#[derive(Debug, Clone)]
pub struct Claims {
    template: Vec<u8>,
    subjects: Subjects,
}

/// How a claim begins, up to the digits of its subject.
const BEGIN: &[u8] = br#"{"concept_path":""#;
/// What stands between subject and value.
const MIDDLE: &[u8] = br#"","predicate":"reading","value":""#;
/// What follows the value.
const END: &[u8] = br#"","confidence":0.95,"source":"source/bench","source_class":"observational"}"#;
/// The digits of the run.
const RUN_DIGITS: usize = 12;
/// The digits of the connection.
const CONNECTION_DIGITS: usize = 5;
/// The digits of the claim's number on its connection.
const NUMBER_DIGITS: usize = 12;
/// Where the value begins.
const VALUE: usize = BEGIN.len() + SubjectPath::BYTES + MIDDLE.len();
/// Where the claim's number ends.
const NUMBER_END: usize = VALUE + RUN_DIGITS + 1 + CONNECTION_DIGITS + 1 + NUMBER_DIGITS;

impl RunId {
    /// A number that this machine has not used before: from the clock and the process.
    pub fn unique() -> RunId {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RunId(since_epoch.as_micros() as u64 ^ u64::from(process::id()) << 28).masked()
    }

    /// The run of that number, of which the low 48 bits count.
    pub fn new(number: u64) -> RunId {
        RunId(number).masked()
    }

    /// The run after this one.
    #[must_use]
    pub fn next(self) -> RunId {
        RunId(self.0.wrapping_add(1)).masked()
    }

    fn masked(self) -> RunId {
        RunId(self.0 & ((1 << (4 * RUN_DIGITS)) - 1))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl Claims {
    /// The smallest claim.
    pub const BYTES_MIN: usize = NUMBER_END + END.len();

    /// The largest: values have up to 64 KiB.
    pub const BYTES_MAX: usize = VALUE + (64 << 10) + END.len();

    /// The claims of one connection.
    pub fn new(workload: &Workload, connection: u32) -> Claims {
        workload.check().expect("the workload was checked");
        let mut template = BEGIN.to_vec();
        template.extend_from_slice(SubjectPath::of(0).as_bytes());
        template.extend_from_slice(MIDDLE);
        let (run, number) = (workload.run, 0);
        template.extend_from_slice(format!("{run}-{connection:05}-{number:012}").as_bytes());
        assert_eq!(template.len(), NUMBER_END, "the digits of {run} and {connection} fit their places");
        template
            .extend((NUMBER_END..workload.claim_bytes - END.len()).map(|place| b'a' + (place % 26) as u8));
        template.extend_from_slice(END);
        let seed = workload.seed ^ u64::from(connection).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Claims { template, subjects: Subjects::new(workload.distribution, workload.subjects, seed) }
    }

    /// Appends the next claim. Gives the subject that it is about.
    pub fn append(&mut self, out: &mut Vec<u8>) -> u32 {
        let subject = self.choose_subject();
        self.template[BEGIN.len()..][..SubjectPath::BYTES]
            .copy_from_slice(SubjectPath::of(subject).as_bytes());
        increment(&mut self.template[NUMBER_END - NUMBER_DIGITS..NUMBER_END]);
        out.extend_from_slice(&self.template);
        subject
    }

    /// A subject of the same distribution, to ask for.
    pub fn choose_subject(&mut self) -> u32 {
        self.subjects.choose()
    }
}

/// The concept path of a subject: a hundred of them are below one parent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubjectPath([u8; SubjectPath::BYTES]);

impl SubjectPath {
    /// How long each is.
    pub(crate) const BYTES: usize = b"bench/sensor/000000/00".len();
    /// How long the part is that it has in common with the others below its parent, slash included.
    pub(crate) const PARENT_BYTES: usize = b"bench/sensor/000000/".len();

    /// The path of a subject, by its number.
    pub(crate) fn of(subject: u32) -> SubjectPath {
        assert!(subject < Subjects::MAX, "subject {subject}");
        let mut path = *b"bench/sensor/000000/00";
        let (mut parent, child) = (subject / 100, subject % 100);
        path[20] += (child / 10) as u8;
        path[21] += (child % 10) as u8;
        for place in (13..19).rev() {
            path[place] += (parent % 10) as u8;
            parent /= 10;
        }
        SubjectPath(path)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Adds one to a decimal number.
fn increment(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    panic!("the number of a claim has at most {} digits", digits.len());
}
