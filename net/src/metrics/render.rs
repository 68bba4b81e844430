//! The figures of all cores as one text.

use super::exposition::{Exposition, Kind};
use stemedb_engine::checkpoint::{ScrubSnapshot, UpkeepSnapshot};
use stemedb_engine::snapshots::SnapshotFigures;

use super::snapshot::{CoreSnapshot, Read, ServerSnapshot, TlsHandshake, TlsSnapshot};

const US_PER_SECOND: f64 = 1e6;

/// About how long the text is without what each core has of its own, in bytes.
const TEXT_BYTES_USUAL: usize = 14 << 10;

/// About how long is what each core has of its own, in bytes.
const CORE_TEXT_BYTES_USUAL: usize = 3 << 10;

/// Appends the figures of the server and of all its cores, at least one.
pub fn render(out: &mut Vec<u8>, server: &ServerSnapshot, cores: &[&CoreSnapshot]) {
    let (first, others) = cores.split_first().expect("a server has cores");
    let mut all = CoreSnapshot::clone(first);
    others.iter().for_each(|other| all.merge(other));

    // So that the text is not moved while it grows.
    out.reserve(TEXT_BYTES_USUAL + cores.len() * CORE_TEXT_BYTES_USUAL);
    let mut text = Exposition::new(out);
    render_claims(&mut text, &all);
    render_requests(&mut text, &all);
    render_log(&mut text, &all, server);
    render_tables(&mut text, &server.upkeep);
    render_values(&mut text, &all);
    render_scrub(&mut text, &server.upkeep.scrub);
    render_snapshots(&mut text, &server.snapshots);
    if let Some(tls) = &server.tls {
        render_tls(&mut text, &all, tls);
    }
    render_cores(&mut text, cores);
    render_jobs(&mut text, server);
    render_server(&mut text, server);
}

fn render_claims(text: &mut Exposition<'_>, all: &CoreSnapshot) {
    text.single(
        "stemedb_assertions_total",
        Kind::GaugeNamedTotal,
        "Claims held now, retracted ones included.",
        all.assertions,
    );
    text.single(
        "stemedb_assertions_ingested_total",
        Kind::Counter,
        "Claims stored since the start.",
        all.assertions_ingested,
    );
    text.metric(
        "stemedb_assertions_rejected_total",
        Kind::Counter,
        "Claims refused since the start, by the code of the error.",
    );
    for (reason, count) in all.assertions_rejected.sorted() {
        text.sample(&[("reason", reason.as_str())], count);
    }
}

fn render_requests(text: &mut Exposition<'_>, all: &CoreSnapshot) {
    let reads = || Read::ALL.into_iter().zip(&all.reads_us);
    text.metric("stemedb_queries_total", Kind::Counter, "Reads answered, by endpoint.");
    for (read, durations) in reads() {
        text.sample(&[("endpoint", read.name())], durations.count());
    }
    text.metric(
        "stemedb_query_latency_seconds",
        Kind::Histogram,
        "Time of reads from request to answer, by endpoint.",
    );
    for (read, durations) in reads() {
        text.distribution(&[("endpoint", read.name())], durations);
    }
    text.metric("stemedb_http_requests_total", Kind::Counter, "Requests answered, by method and status.");
    for (outcome, count) in all.http_requests.sorted() {
        let method = outcome.method.map_or("other", |method| method.name());
        let mut status = itoa::Buffer::new();
        text.sample(&[("method", method), ("status", status.format(outcome.status))], count);
    }
}

fn render_log(text: &mut Exposition<'_>, all: &CoreSnapshot, server: &ServerSnapshot) {
    text.metric("stemedb_wal_fsync_latency_seconds", Kind::Histogram, "Time of durable writes to the log.");
    text.distribution(&[], &all.wal_write_us);
    let errors = "Durable writes to the log that failed; each ends its lane until a restart.";
    text.single("stemedb_wal_fsync_errors_total", Kind::Counter, errors, all.wal_write_errors);
    let writes = all.wal_write_us.count();
    text.single("stemedb_wal_writes_total", Kind::Counter, "Durable writes to the log.", writes);
    let bytes = all.wal_bytes_written;
    text.single("stemedb_wal_bytes_written_total", Kind::Counter, "Bytes written to the log.", bytes);
    text.metric("stemedb_wal_batch_size", Kind::Histogram, "Records that one durable write made durable.");
    text.distribution(&[], &all.wal_batch_records);
    let segments = "Segments of the log, prepared ones included.";
    text.single("stemedb_wal_segments_total", Kind::GaugeNamedTotal, segments, all.wal_segments);
    let disk = "Disk space that the segments take.";
    text.single("stemedb_wal_disk_usage_bytes", Kind::Gauge, disk, all.wal_disk_bytes);
    let most = "Disk space that the segments may take before writes are refused until checkpoints catch up.";
    text.single("stemedb_wal_bytes_max", Kind::Gauge, most, all.wal_bytes_max);
    let rotations = "Full segments that gave way to the next.";
    text.single("stemedb_wal_rotations_total", Kind::Counter, rotations, all.wal_rotations);
    let recovery_s = server.recovery_us as f64 / US_PER_SECOND;
    let recovery = "Time that the recovery at this start took.";
    text.single_fraction("stemedb_wal_recovery_duration_seconds", Kind::Gauge, recovery, recovery_s);
    let restarts = "Starts on this data after the first.";
    text.single("stemedb_restarts_total", Kind::Counter, restarts, server.restarts);
    let given_up =
        "Segments of the log that were lost and that an operator has given up; given-up.json tells which.";
    text.single("stemedb_wal_segments_given_up", Kind::Gauge, given_up, server.segments_given_up);
}

fn render_tables(text: &mut Exposition<'_>, upkeep: &UpkeepSnapshot) {
    const NOW: &str = "Claims of the tables, which have left the log.";
    text.single("stemedb_tables", Kind::Gauge, "Tables of claims that have left the log.", upkeep.tables);
    text.single("stemedb_tables_bytes", Kind::Gauge, "Disk space that the tables take.", upkeep.table_bytes);
    text.single("stemedb_tables_assertions", Kind::Gauge, NOW, upkeep.table_entries);
    let checkpoints = "Checkpoints made: claims moved from the log into tables.";
    text.single("stemedb_checkpoints_total", Kind::Counter, checkpoints, upkeep.checkpoints);
    let failures = "Checkpoints, merges of tables and removals that failed.";
    text.single("stemedb_checkpoint_failures_total", Kind::Counter, failures, upkeep.failures);
    let ended = "1 once a failure has ended checkpoints until a restart, so that the log grows.";
    text.single("stemedb_upkeep_failed", Kind::Gauge, ended, u64::from(upkeep.has_ended));
    let last = "When the last checkpoint was made, in Unix seconds; 0 if none was since the start.";
    let last_s = upkeep.last_checkpoint_us as f64 / US_PER_SECOND;
    text.single_fraction("stemedb_checkpoint_last_timestamp_seconds", Kind::Gauge, last, last_s);
    text.single("stemedb_table_merges_total", Kind::Counter, "Merges of tables.", upkeep.merges);
    let removed = "Segments removed since the start, as tables hold their claims.";
    text.single("stemedb_wal_segments_removed_total", Kind::Counter, removed, upkeep.segments_removed);
    let held = "Ended segments that are kept only because they are not archived yet.";
    text.single("stemedb_archive_segments_pending", Kind::Gauge, held, upkeep.segments_held);
    let given_up = "Segments removed before they were archived, as no more of them may be kept.";
    text.single("stemedb_archive_segments_given_up_total", Kind::Counter, given_up, upkeep.segments_given_up);
}

fn render_values(text: &mut Exposition<'_>, all: &CoreSnapshot) {
    text.metric(
        "stemedb_values_long",
        Kind::Gauge,
        "Claims whose value or metadata is longer than 1 KiB, by where that is.",
    );
    text.sample(&[("place", "memory")], all.values_in_memory);
    text.sample(&[("place", "table")], all.values_stored);
    let waiting = "Claims that are being read from tables now, or wait for that.";
    text.single("stemedb_value_reads_waiting", Kind::Gauge, waiting, all.values_waiting);
    text.metric("stemedb_value_read_seconds", Kind::Histogram, "Time of reads of long values from tables.");
    text.distribution(&[], &all.value_read_us);
    let bytes = "Bytes of tables read for long values.";
    text.single("stemedb_value_read_bytes_total", Kind::Counter, bytes, all.value_read_bytes);
    let errors = "Long values that could not be read, as a table is damaged or its disk fails.";
    text.single("stemedb_value_read_errors_total", Kind::Counter, errors, all.value_read_errors);
}

fn render_scrub(text: &mut Exposition<'_>, scrub: &ScrubSnapshot) {
    let bytes = "Bytes of tables and ended segments that the scrub has read and found sound.";
    text.single("stemedb_scrub_bytes_total", Kind::Counter, bytes, scrub.bytes);
    let damage = "Damaged files of the store that were found, by the scrub or whatever else read them.";
    text.single("stemedb_scrub_damage_total", Kind::Counter, damage, scrub.damage);
    let files = "Damaged files that are still there; /v1/health names them.";
    text.single("stemedb_scrub_damaged_files", Kind::Gauge, files, scrub.damaged_files);
    let skipped = "Files that the scrub could not open, for a reason that says nothing about what they hold.";
    text.single("stemedb_scrub_skipped_total", Kind::Counter, skipped, scrub.skipped);
    let passes = "Times that the scrub has read all that is stored.";
    text.single("stemedb_scrub_passes_total", Kind::Counter, passes, scrub.passes);
    let last = "When the scrub had read all last, in Unix seconds; 0 if that was not since the start.";
    let last_s = scrub.last_pass_us as f64 / US_PER_SECOND;
    text.single_fraction("stemedb_scrub_last_pass_timestamp_seconds", Kind::Gauge, last, last_s);
    let position = "Bytes that the pass of the scrub under way has read.";
    text.single("stemedb_scrub_position_bytes", Kind::Gauge, position, scrub.position_bytes);
    let pass = "Bytes that the pass of the scrub under way has to read, about.";
    text.single("stemedb_scrub_pass_bytes", Kind::Gauge, pass, scrub.pass_bytes);
}

fn render_snapshots(text: &mut Exposition<'_>, snapshots: &SnapshotFigures) {
    let taken = "Index snapshots taken since the start.";
    text.single("stemedb_index_snapshots_total", Kind::Counter, taken, snapshots.taken);
    let failures = "Index snapshots that were given up, or of no use at the start.";
    text.single("stemedb_index_snapshot_failures_total", Kind::Counter, failures, snapshots.failures);
    let last = "When the index snapshot that is there was begun, in Unix seconds; 0 if none is.";
    let last_s = snapshots.last_taken_us as f64 / US_PER_SECOND;
    text.single_fraction("stemedb_index_snapshot_last_timestamp_seconds", Kind::Gauge, last, last_s);
    let bytes = "Disk space of the last index snapshot taken since the start.";
    text.single("stemedb_index_snapshot_bytes", Kind::Gauge, bytes, snapshots.last_bytes);
    let duration = "How long the last index snapshot took.";
    let duration_s = snapshots.last_duration_us as f64 / US_PER_SECOND;
    text.single_fraction("stemedb_index_snapshot_duration_seconds", Kind::Gauge, duration, duration_s);
    let restored = "Claims that this start had from an index snapshot.";
    text.single("stemedb_index_snapshot_restored_assertions", Kind::Gauge, restored, snapshots.restored);
}

fn render_tls(text: &mut Exposition<'_>, all: &CoreSnapshot, tls: &TlsSnapshot) {
    text.single_fraction(
        "stemedb_tls_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "Until when the server's certificate is valid, in seconds since 1970.",
        tls.not_after_unix_s as f64,
    );
    text.metric(
        "stemedb_tls_handshakes_total",
        Kind::Counter,
        "TLS handshakes that came to an end, by result.",
    );
    for (end, count) in TlsHandshake::ALL.into_iter().zip(all.tls_handshakes) {
        text.sample(&[("result", end.name())], count);
    }
    text.single(
        "stemedb_tls_reload_failures_total",
        Kind::Counter,
        "Times that a new certificate could not take the place of the one in use.",
        tls.reloads_failed,
    );
}

fn render_cores(text: &mut Exposition<'_>, cores: &[&CoreSnapshot]) {
    type Figure = (&'static str, Kind, &'static str, fn(&CoreSnapshot) -> u64);
    const FIGURES: [Figure; 9] = [
        ("stemedb_core_connections", Kind::Gauge, "Connections open now.", |core| core.connections),
        (
            "stemedb_core_connections_accepted_total",
            Kind::Counter,
            "Connections accepted since the start.",
            |core| core.connections_accepted,
        ),
        (
            "stemedb_core_connections_gave_way_total",
            Kind::Counter,
            "Connections cut off because clients held as much memory as they may, and these took their answers slowest.",
            |core| core.connections_gave_way,
        ),
        ("stemedb_core_received_bytes_total", Kind::Counter, "Bytes received from clients.", |core| {
            core.received_bytes
        }),
        ("stemedb_core_sent_bytes_total", Kind::Counter, "Bytes sent to clients.", |core| core.sent_bytes),
        ("stemedb_core_index_bytes", Kind::Gauge, "Memory that the core's index has in use.", |core| {
            core.index_bytes
        }),
        (
            "stemedb_core_index_bytes_max",
            Kind::Gauge,
            "Memory that the core's index may have in use; 0 until the log is recovered.",
            |core| core.index_bytes_max,
        ),
        ("stemedb_core_assertions", Kind::Gauge, "Claims that the core holds now.", |core| core.assertions),
        ("stemedb_core_lane_failed", Kind::Gauge, "1 if a failed write has ended the core's lane.", |core| {
            core.lane_failed.into()
        }),
    ];
    for (name, kind, help, figure) in FIGURES {
        text.metric(name, kind, help);
        for core in cores {
            let mut number = itoa::Buffer::new();
            text.sample(&[("core", number.format(core.core.0))], figure(core));
        }
    }
    text.metric("stemedb_core_queue_depth", Kind::Gauge, "What waits now, by queue.");
    for core in cores {
        let mut number = itoa::Buffer::new();
        let number = number.format(core.core.0);
        for (queue, depth) in [("parked", core.requests_parked), ("messages", core.messages_waiting)] {
            text.sample(&[("core", number), ("queue", queue)], depth);
        }
    }
    text.metric(
        "stemedb_core_loop_seconds",
        Kind::Histogram,
        "Time of the loop's turns without their waiting.",
    );
    for core in cores {
        let mut number = itoa::Buffer::new();
        text.distribution(&[("core", number.format(core.core.0))], &core.loop_us);
    }
}

/// What the operators' jobs have left of their last runs; 0 where a job has never run.
fn render_jobs(text: &mut Exposition<'_>, server: &ServerSnapshot) {
    let [backup, restore, archive, validate, push, verify] = server.jobs;
    let last = "When the last good backup was done, in seconds since 1970; 0 if there was none.";
    text.single("stemedb_last_backup_timestamp_seconds", Kind::Gauge, last, backup.last_success_unix_s);
    let failed = "1 if the last run of the backup failed.";
    text.single("stemedb_backup_last_run_failed", Kind::Gauge, failed, backup.last_run_failed.into());
    let failures = "Runs of the backup that failed.";
    text.single("stemedb_backup_failures_total", Kind::Counter, failures, backup.failures_total);
    let size = "Bytes of the last good backup.";
    text.single("stemedb_backup_size_bytes", Kind::Gauge, size, backup.size_bytes);
    let previous = "Bytes of the good backup before the last.";
    text.single("stemedb_backup_previous_size_bytes", Kind::Gauge, previous, backup.previous_size_bytes);
    let took = "Time that the last run of the backup took.";
    text.single_fraction("stemedb_backup_duration_seconds", Kind::Gauge, took, backup.seconds);
    let last = "When the newest full backup was last found in its store or copied there, in seconds since 1970; 0 if it never was.";
    text.single("stemedb_last_backup_push_timestamp_seconds", Kind::Gauge, last, push.last_success_unix_s);
    let failed = "1 if the last run that was to copy the newest full backup to a store failed.";
    text.single("stemedb_backup_push_last_run_failed", Kind::Gauge, failed, push.last_run_failed.into());
    let failures = "Runs that were to copy the newest full backup to a store and failed.";
    text.single("stemedb_backup_push_failures_total", Kind::Counter, failures, push.failures_total);
    let last =
        "When the newest full backup was last checked and good, in seconds since 1970; 0 if it never was.";
    text.single(
        "stemedb_last_backup_verify_timestamp_seconds",
        Kind::Gauge,
        last,
        verify.last_success_unix_s,
    );
    let failed = "1 if the last check of the newest full backup failed.";
    text.single("stemedb_backup_verify_last_run_failed", Kind::Gauge, failed, verify.last_run_failed.into());
    let failures = "Checks of the newest full backup that failed.";
    text.single("stemedb_backup_verify_failures_total", Kind::Counter, failures, verify.failures_total);
    let took = "Time that the last restore took.";
    text.single_fraction("stemedb_restore_duration_seconds", Kind::Gauge, took, restore.seconds);
    let lag_s = match archive.last_success_unix_s {
        0 => 0,
        archived_unix_s => server.now_unix_s.saturating_sub(archived_unix_s),
    };
    let lag = "How long ago the archive had all of the log; 0 if no run of the archive has ever been good.";
    text.single("stemedb_archive_lag_seconds", Kind::Gauge, lag, lag_s);
    let failed = "1 if the last run of the archive failed.";
    text.single("stemedb_archive_last_run_failed", Kind::Gauge, failed, archive.last_run_failed.into());
    let failures = "Runs of the archive that failed.";
    text.single("stemedb_archive_failures_total", Kind::Counter, failures, archive.failures_total);
    let failed = "1 if the last validation found that something is wrong.";
    text.single("stemedb_validation_failed", Kind::Gauge, failed, validate.last_run_failed.into());
    let last = "When the data was last validated, in seconds since 1970; 0 if it never was.";
    text.single("stemedb_validation_timestamp_seconds", Kind::Gauge, last, validate.last_run_unix_s);
}

/// What is said of the process has the names that clients of Prometheus have agreed on.
fn render_server(text: &mut Exposition<'_>, server: &ServerSnapshot) {
    let ready = "1 if requests are served and every lane takes writes, as /ready says.";
    text.single("stemedb_ready", Kind::Gauge, ready, server.ready.into());
    let process = &server.process;
    let started_s = process.started_us as f64 / US_PER_SECOND;
    let started = "When the process started, in seconds since 1970.";
    text.single_fraction("process_start_time_seconds", Kind::Gauge, started, started_s);
    let resident = "Memory that the process occupies.";
    text.single("process_resident_memory_bytes", Kind::Gauge, resident, process.resident_bytes);
    let cpu_s = process.cpu_us as f64 / US_PER_SECOND;
    text.single_fraction("process_cpu_seconds_total", Kind::Counter, "CPU time of all threads.", cpu_s);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use stemedb_engine::slot::CoreId;

    use super::super::{HttpOutcome, ProcessFigures};
    use super::*;
    use crate::api::{ErrorCode, Method};
    use crate::run_status::RunStatus;

    fn two_cores() -> String {
        let (mut first, mut second) = (CoreSnapshot::new(CoreId(0)), CoreSnapshot::new(CoreId(1)));
        first.assertions = 5;
        second.assertions = 7;
        second.assertions_rejected.add(ErrorCode::InvalidConfidence, 2);
        first.assertions_rejected.increment(ErrorCode::InvalidConfidence);
        first.read(Read::Query, 150);
        second.read(Read::Query, 2_500);
        second.read(Read::Assertion, 90);
        first.http_requests.add(HttpOutcome { method: Some(Method::Post), status: 201 }, 3);
        second.http_requests.increment(HttpOutcome { method: None, status: 405 });
        first.wal_write_us.record(100);
        first.wal_write_us.record(200);
        first.wal_batch_records.record(64);
        second.requests_parked = 9;
        second.index_bytes_max = 1 << 30;
        second.lane_failed = true;
        let mut out = Vec::new();
        let tls = Some(TlsSnapshot { not_after_unix_s: 1_800_000_000, reloads_failed: 2 });
        first.tls_handshake(TlsHandshake::Full);
        second.tls_handshake(TlsHandshake::Full);
        second.tls_handshake(TlsHandshake::Failed);
        let process =
            ProcessFigures { started_us: 1_700_000_000_250_000, resident_bytes: 33 << 20, cpu_us: 1_500_000 };
        let server = ServerSnapshot {
            recovery_us: 1_250_000,
            restarts: 4,
            segments_given_up: 3,
            ready: true,
            process,
            tls,
            jobs: [
                RunStatus::default().after(1_699_999_000, 2.5, Some(40)).after(1_699_999_900, 1.25, Some(50)),
                RunStatus::default(),
                RunStatus::default().after(1_699_999_990, 0.5, Some(0)).after(1_700_000_000, 0.5, None),
                RunStatus::default(),
                RunStatus::default().after(1_699_999_950, 0.5, Some(50)),
                RunStatus::default().after(1_699_999_960, 0.5, Some(50)).after(1_700_000_010, 0.5, None),
            ],
            now_unix_s: 1_700_000_050,
            ..ServerSnapshot::default()
        };
        render(&mut out, &server, &[&first, &second]);
        String::from_utf8(out).expect("metrics are UTF-8")
    }

    #[test]
    fn cores_add_up_and_show_apart() {
        let text = two_cores();
        for line in [
            "stemedb_assertions_total 12",
            "stemedb_assertions_rejected_total{reason=\"invalid_confidence\"} 3",
            "stemedb_queries_total{endpoint=\"query\"} 2",
            "stemedb_query_latency_seconds_bucket{endpoint=\"query\",le=\"0.000125\"} 0",
            "stemedb_query_latency_seconds_bucket{endpoint=\"query\",le=\"0.00015\"} 1",
            "stemedb_query_latency_seconds_bucket{endpoint=\"query\",le=\"+Inf\"} 2",
            "stemedb_query_latency_seconds_sum{endpoint=\"query\"} 0.00265",
            "stemedb_query_latency_seconds_count{endpoint=\"assertion\"} 1",
            "stemedb_http_requests_total{method=\"POST\",status=\"201\"} 3",
            "stemedb_http_requests_total{method=\"other\",status=\"405\"} 1",
            "stemedb_wal_fsync_latency_seconds_bucket{le=\"0.0001\"} 1",
            "stemedb_wal_fsync_latency_seconds_bucket{le=\"0.0002\"} 2",
            "stemedb_wal_writes_total 2",
            "stemedb_wal_batch_size_bucket{le=\"32\"} 0",
            "stemedb_wal_batch_size_bucket{le=\"64\"} 1",
            "stemedb_wal_recovery_duration_seconds 1.25",
            "stemedb_restarts_total 4",
            "stemedb_wal_segments_given_up 3",
            "stemedb_tls_certificate_expiry_timestamp_seconds 1800000000",
            "stemedb_tls_handshakes_total{result=\"full\"} 2",
            "stemedb_tls_handshakes_total{result=\"resumed\"} 0",
            "stemedb_tls_handshakes_total{result=\"failed\"} 1",
            "stemedb_tls_reload_failures_total 2",
            "stemedb_core_queue_depth{core=\"1\",queue=\"parked\"} 9",
            "stemedb_core_lane_failed{core=\"0\"} 0",
            "stemedb_core_lane_failed{core=\"1\"} 1",
            "stemedb_core_index_bytes_max{core=\"1\"} 1073741824",
            "stemedb_last_backup_timestamp_seconds 1699999900",
            "stemedb_backup_size_bytes 50",
            "stemedb_backup_previous_size_bytes 40",
            "stemedb_backup_duration_seconds 1.25",
            "stemedb_archive_lag_seconds 60",
            "stemedb_archive_failures_total 1",
            "stemedb_archive_last_run_failed 1",
            "stemedb_last_backup_push_timestamp_seconds 1699999950",
            "stemedb_backup_push_last_run_failed 0",
            "stemedb_backup_push_failures_total 0",
            "stemedb_last_backup_verify_timestamp_seconds 1699999960",
            "stemedb_backup_verify_last_run_failed 1",
            "stemedb_backup_verify_failures_total 1",
            "stemedb_validation_timestamp_seconds 0",
            "stemedb_ready 1",
            "process_start_time_seconds 1700000000.25",
            "process_resident_memory_bytes 34603008",
            "process_cpu_seconds_total 1.5",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_name_that_alerts_use_is_there_from_the_start() {
        let mut out = Vec::new();
        let server = ServerSnapshot::default();
        render(&mut out, &server, &[&CoreSnapshot::new(CoreId(0))]);
        let text = String::from_utf8(out).expect("metrics are UTF-8");
        for name in [
            "stemedb_assertions_total",
            "stemedb_assertions_ingested_total",
            "stemedb_assertions_rejected_total",
            "stemedb_queries_total",
            "stemedb_query_latency_seconds",
            "stemedb_http_requests_total",
            "stemedb_wal_fsync_latency_seconds",
            "stemedb_wal_fsync_errors_total",
            "stemedb_wal_writes_total",
            "stemedb_wal_bytes_written_total",
            "stemedb_wal_batch_size",
            "stemedb_wal_segments_total",
            "stemedb_wal_disk_usage_bytes",
            "stemedb_wal_rotations_total",
            "stemedb_wal_recovery_duration_seconds",
            "stemedb_restarts_total",
            "stemedb_scrub_bytes_total",
            "stemedb_scrub_damage_total",
            "stemedb_ready",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }

    /// Goal: the text is what Prometheus reads. Method: Prometheus' own checker, where it is installed.
    #[test]
    fn promtool_accepts_the_text() {
        let mut promtool = Command::new("promtool");
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = match promtool.spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: promtool does not run here ({error})");
                return;
            }
        };
        let mut stdin = child.stdin.take().expect("it was asked for");
        stdin.write_all(two_cores().as_bytes()).expect("promtool reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("promtool ends");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}
