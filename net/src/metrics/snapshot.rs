//! The figures of one core, and those of the whole server.

use stemedb_engine::checkpoint::UpkeepSnapshot;
use stemedb_engine::slot::CoreId;
use stemedb_engine::snapshots::SnapshotFigures;

use super::counts::Counts;
use super::histogram::Histogram;
use crate::api::ErrorCode;
use crate::run_status::{Job, RunStatus};

/// What one core has counted since it started, and what it holds now.
///
/// The core counts in one of these; a copy of it is what a scrape sees.
#[derive(Debug, Clone, PartialEq)]
pub struct CoreSnapshot {
    /// The core.
    pub core: CoreId,

    /// Claims held now, retracted ones included.
    pub assertions: u64,
    /// Claims stored since the start.
    pub assertions_ingested: u64,
    /// Claims refused since the start, by reason.
    pub assertions_rejected: Counts<ErrorCode>,
    /// Memory that the index has in use now, in bytes.
    pub index_bytes: u64,
    /// Memory that the index may have in use, in bytes; 0 until the log is recovered.
    pub index_bytes_max: u64,
    /// How long reads took from request to answer, in microseconds, by what was read. See [`CoreSnapshot::read`].
    pub reads_us: [Histogram; 2],

    /// Requests answered, by method and status.
    pub http_requests: Counts<HttpOutcome>,

    /// How long durable writes took, in microseconds.
    pub wal_write_us: Histogram,
    /// Durable writes that failed.
    pub wal_write_errors: u64,
    /// Bytes that were written to the log.
    pub wal_bytes_written: u64,
    /// How many records each frame had.
    pub wal_batch_records: Histogram,
    /// Segments of the lane, prepared ones included.
    pub wal_segments: u64,
    /// Disk space that those segments take, in bytes.
    pub wal_disk_bytes: u64,
    /// Disk space that they may take before writes are refused, in bytes.
    pub wal_bytes_max: u64,
    /// How often a full segment gave way to the next.
    pub wal_rotations: u64,
    /// Whether a failed write has ended the lane.
    pub lane_failed: bool,

    /// Claims whose value or metadata is long and in memory.
    pub values_in_memory: u64,
    /// Claims whose value or metadata is long and only in a table.
    pub values_stored: u64,
    /// Claims that are being read from tables now, or wait for that.
    pub values_waiting: u64,
    /// How long reads of tables took, in microseconds.
    pub value_read_us: Histogram,
    /// Bytes that they read.
    pub value_read_bytes: u64,
    /// Claims that could not be read.
    pub value_read_errors: u64,

    /// Connections open now.
    pub connections: u64,
    /// Connections accepted since the start.
    pub connections_accepted: u64,
    /// Connections cut off because clients held as much memory as they may, and these took their answers slowest.
    pub connections_gave_way: u64,
    /// TLS handshakes that came to an end since the start, by [`TlsHandshake`].
    pub tls_handshakes: [u64; 3],
    /// Bytes received from clients.
    pub received_bytes: u64,
    /// Bytes sent to clients.
    pub sent_bytes: u64,
    /// Requests that now wait for a durable write.
    pub requests_parked: u64,
    /// Messages from other cores that now wait to be handled.
    pub messages_waiting: u64,
    /// How long the turns of the core's loop took without their waiting, in microseconds.
    pub loop_us: Histogram,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpOutcome {
    /// The method; `None` for one that no endpoint answers, or where none could be read.
    pub method: Option<crate::api::Method>,
    /// The status.
    pub status: u16,
}

/// The kinds of reads that are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// `/v1/query`.
    Query,
    /// `/v1/assertion/{hash}`.
    Assertion,
}

impl Read {
    /// All kinds, in the order of [`CoreSnapshot::reads_us`].
    pub const ALL: [Read; 2] = [Read::Query, Read::Assertion];

    /// The value of the label `endpoint`.
    pub fn name(self) -> &'static str {
        match self {
            Read::Query => "query",
            Read::Assertion => "assertion",
        }
    }
}

/// How TLS handshakes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsHandshake {
    /// Done, with certificates.
    Full,
    /// Done, with a ticket of an earlier session.
    Resumed,
    /// Refused, too slow or broken off.
    Failed,
}

impl TlsHandshake {
    /// All ends, in the order of [`CoreSnapshot::tls_handshakes`].
    pub const ALL: [TlsHandshake; 3] = [TlsHandshake::Full, TlsHandshake::Resumed, TlsHandshake::Failed];

    /// The value of the label `result`.
    pub fn name(self) -> &'static str {
        match self {
            TlsHandshake::Full => "full",
            TlsHandshake::Resumed => "resumed",
            TlsHandshake::Failed => "failed",
        }
    }
}

impl CoreSnapshot {
    /// A core that has counted nothing.
    pub fn new(core: CoreId) -> CoreSnapshot {
        CoreSnapshot {
            core,
            assertions: 0,
            assertions_ingested: 0,
            assertions_rejected: Counts::default(),
            index_bytes: 0,
            index_bytes_max: 0,
            reads_us: Read::ALL.map(|_| Histogram::of_durations_us()),
            http_requests: Counts::default(),
            wal_write_us: Histogram::of_durations_us(),
            wal_write_errors: 0,
            wal_bytes_written: 0,
            wal_batch_records: Histogram::of_batch_records(),
            wal_segments: 0,
            wal_disk_bytes: 0,
            wal_bytes_max: 0,
            wal_rotations: 0,
            lane_failed: false,
            values_in_memory: 0,
            values_stored: 0,
            values_waiting: 0,
            value_read_us: Histogram::of_durations_us(),
            value_read_bytes: 0,
            value_read_errors: 0,
            connections: 0,
            connections_accepted: 0,
            connections_gave_way: 0,
            tls_handshakes: [0; 3],
            received_bytes: 0,
            sent_bytes: 0,
            requests_parked: 0,
            messages_waiting: 0,
            loop_us: Histogram::of_durations_us(),
        }
    }

    /// Takes in a read that was answered after `duration_us` microseconds.
    pub fn read(&mut self, read: Read, duration_us: u64) {
        self.reads_us[read as usize].record(duration_us);
    }

    /// Counts the end of a TLS handshake.
    pub fn tls_handshake(&mut self, end: TlsHandshake) {
        self.tls_handshakes[end as usize] += 1;
    }

    /// Adds the figures of another core to these.
    pub fn merge(&mut self, other: &CoreSnapshot) {
        self.assertions += other.assertions;
        self.assertions_ingested += other.assertions_ingested;
        self.assertions_rejected.merge(&other.assertions_rejected);
        self.index_bytes += other.index_bytes;
        self.index_bytes_max += other.index_bytes_max;
        for (reads, other) in self.reads_us.iter_mut().zip(&other.reads_us) {
            reads.merge(other);
        }
        self.http_requests.merge(&other.http_requests);
        self.wal_write_us.merge(&other.wal_write_us);
        self.wal_write_errors += other.wal_write_errors;
        self.wal_bytes_written += other.wal_bytes_written;
        self.wal_batch_records.merge(&other.wal_batch_records);
        self.wal_segments += other.wal_segments;
        self.wal_disk_bytes += other.wal_disk_bytes;
        self.wal_bytes_max = self.wal_bytes_max.saturating_add(other.wal_bytes_max);
        self.wal_rotations += other.wal_rotations;
        self.lane_failed |= other.lane_failed;
        self.values_in_memory += other.values_in_memory;
        self.values_stored += other.values_stored;
        self.values_waiting += other.values_waiting;
        self.value_read_us.merge(&other.value_read_us);
        self.value_read_bytes += other.value_read_bytes;
        self.value_read_errors += other.value_read_errors;
        self.connections += other.connections;
        self.connections_accepted += other.connections_accepted;
        self.connections_gave_way += other.connections_gave_way;
        for (handshakes, other) in self.tls_handshakes.iter_mut().zip(other.tls_handshakes) {
            *handshakes += other;
        }
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.requests_parked += other.requests_parked;
        self.messages_waiting += other.messages_waiting;
        self.loop_us.merge(&other.loop_us);
    }
}

/// What is known of the server as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServerSnapshot {
    /// How long the recovery at this start took, in microseconds.
    pub recovery_us: u64,
    /// How often the server has been started on this data after the first time.
    pub restarts: u64,
    /// Segments of the log that were lost and given up, ever.
    pub segments_given_up: u64,
    /// What was done to keep log and tables in order.
    pub upkeep: UpkeepSnapshot,
    /// What is known of snapshots of the indexes.
    pub snapshots: SnapshotFigures,
    /// Whether requests are served and every lane takes writes: what `/ready` says.
    pub ready: bool,
    /// What is known of its process.
    pub process: ProcessFigures,
    /// How it stands with the certificate, where TLS is spoken.
    pub tls: Option<TlsSnapshot>,
    /// How backups and what belongs to them went, by [`Job`].
    pub jobs: [RunStatus; Job::ALL.len()],
    /// When this is asked, in seconds since 1970.
    pub now_unix_s: u64,
}

/// What the kernel knows of the server's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessFigures {
    /// When the process began to serve or to recover, in microseconds since 1970.
    pub started_us: i64,
    /// Memory that it occupies, in bytes.
    pub resident_bytes: u64,
    /// CPU time that all its threads have used, in microseconds.
    pub cpu_us: u64,
}

/// How it stands with the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSnapshot {
    /// Until when it is valid, in seconds since 1970.
    pub not_after_unix_s: i64,
    /// How often another one was to take its place and could not.
    pub reloads_failed: u64,
}
