//! A batch of claims on its way in: `POST /v1/assert/batch`.

use crate::api::error::ApiError;
use crate::api::render::{BatchReport, LineError};

use super::lines::Lines;
use super::message::Ticket;
use super::requests::refused;
use stemedb_engine::shard::Outcome;

/// How many lines of a batch are told about one by one when they are wrong.
const ERRORS_MAX: usize = 100;

/// How the body of a batch is written.
#[derive(Debug)]
pub(super) enum Form {
    /// Nothing but white space has come yet.
    Unknown,
    /// One claim a line: NDJSON.
    Lines(Lines),
    /// A JSON array, to be read when it is whole.
    Array(Vec<u8>),
}

/// What is known of a batch so far.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) form: Form,
    /// Whether all of the body has come in.
    pub(super) ended: bool,
    /// Whether the connection was told to wait.
    pub(super) paused: bool,
    /// Claims on their way to the disk.
    open: usize,
    /// The bytes of their records.
    open_bytes: usize,
    lines: u64,
    accepted: u64,
    exists: u64,
    rejected: u64,
    errors: Vec<LineError>,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            form: Form::Unknown,
            ended: false,
            paused: false,
            open: 0,
            open_bytes: 0,
            lines: 0,
            accepted: 0,
            exists: 0,
            rejected: 0,
            errors: Vec::new(),
        }
    }

    /// Counts a further line, or element of an array, and gives its number, from 1.
    pub(super) fn next_line(&mut self) -> u64 {
        self.lines += 1;
        self.lines
    }

    /// A claim of `bytes` has set out for the disk.
    pub(super) fn opened(&mut self, bytes: u32) {
        self.open += 1;
        self.open_bytes += bytes as usize;
    }

    /// A claim of `bytes` is decided.
    pub(super) fn closed(&mut self, ticket: Ticket, outcome: Outcome) {
        assert!(self.open > 0 && self.open_bytes >= ticket.bytes as usize, "a claim is decided twice");
        self.open -= 1;
        self.open_bytes -= ticket.bytes as usize;
        match outcome {
            Outcome::Created => self.accepted += 1,
            Outcome::Exists => self.exists += 1,
            Outcome::Refused(refusal) => self.reject(ticket.line, refused(refusal)),
            Outcome::Retracted(_) => panic!("a claim of a batch was answered as a retraction"),
        }
    }

    /// A line is wrong.
    pub(super) fn reject(&mut self, line: u64, error: ApiError) {
        self.rejected += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(LineError { line, error });
        }
    }

    /// The bytes of claims that are on their way to the disk.
    pub(super) fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// Whether all has come in and all of it is decided.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.open == 0
    }

    /// The answer, errors by line.
    pub(super) fn report(mut self) -> BatchReport {
        assert!(self.is_done(), "a batch is answered before {} of its claims are decided", self.open);
        self.errors.sort_by_key(|error| error.line);
        BatchReport {
            accepted: self.accepted,
            exists: self.exists,
            rejected: self.rejected,
            errors: self.errors,
        }
    }
}
