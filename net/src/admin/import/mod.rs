//! `stemedb-admin import`: newline-delimited JSON from a file to the server, every claim once.
//!
//! A reader cuts the input into batches, a few uploaders send them over connections of their own. A batch
//! whose connection breaks is sent again, whole; since every claim has a timestamp before it is first sent, what was
//! stored already is recognised by the server and not stored twice.

mod batch;
mod progress;
mod stamp;
mod summary;
mod upload;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use stemedb_engine::time::UnixMicros;

use self::batch::{Batch, BatchReader};
use self::progress::Progress;
use self::stamp::Stamp;
use self::summary::Summary;
use self::upload::{Stop, UploadEvent, Uploader};
use super::ServerOptions;
use super::client::Client;
use super::error::AdminError;
use super::text::{grouped, printable};

/// How many rejected lines people are shown; programs get all that are kept.
const ERRORS_SHOWN_MAX: usize = 10;

const INPUT_BUFFER_BYTES: usize = 1 << 20;

/// What `import` is asked to do.
#[derive(Debug, clap::Args)]
pub(super) struct ImportOptions {
    /// The file: one JSON object a line, as POST /v1/assert takes it; `-` reads standard input
    file: PathBuf,
    /// Connections to send over at the same time; with 1 the claims arrive in the order of the file
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// How long to go on trying when the server is busy, away or starting
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    retry_for: u32,
    #[command(flatten)]
    server: ServerOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin import claims.ndjson
  zcat claims.ndjson.gz | stemedb-admin import -
  stemedb-admin import claims.ndjson --json | jq '.errors[] | .line'
  jq -c '.[]' array.json | stemedb-admin import -

A line is a JSON object; all fields but the first three may be left out:
  {\"concept_path\":\"drug/aspirin\",\"predicate\":\"dose_mg\",\"value\":100,\"source\":\"source/fda\"}

A claim without a timestamp gets the file's modification time (from standard input: the time \
of the start), so that importing the same file again, after whatever interruption, stores \
nothing twice. Lines that the server rejects are reported by their number in the file, all \
others are stored; the exit code is then 1.";

/// Imports, and reports on standard output what became of the lines.
pub(super) fn run(as_json: bool, options: &ImportOptions) -> Result<ExitCode, AdminError> {
    let client_of_each =
        (0..options.connections).map(|_| Client::new(&options.server)).collect::<Result<Vec<_>, _>>()?;
    let mut input = Input::open(&options.file)?;
    input.refuse_array(&options.file)?;
    let reader = BatchReader::new(input.lines, Stamp::new(input.timestamp));

    let mut progress = Progress::start(input.bytes);
    let retry_for = Duration::from_secs(options.retry_for.into());
    let (summary, result) = transfer(reader, client_of_each, retry_for, &mut progress, &options.file);
    let seconds = progress.finish().as_secs_f64();

    if as_json {
        print_json(&summary, seconds, result.as_ref().err())?;
    } else {
        print_text(&summary, seconds)?;
    }
    if result.is_err() {
        eprintln!(
            "The import is not complete: all lines up to {} are done. Run it again to go on; {}",
            grouped(summary.done_to_line),
            if input.repeatable {
                "what is stored already is not stored twice."
            } else {
                "claims that bring no timestamp of their own get a new one then, and are stored again."
            }
        );
    }
    result?;
    Ok(if summary.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the lines come from.
struct Input {
    lines: BufReader<Box<dyn io::Read + Send>>,
    /// Of claims that have none.
    timestamp: UnixMicros,
    /// The size, if it is known.
    bytes: Option<u64>,
    /// Whether the timestamp is the same when the import is run again.
    repeatable: bool,
}

impl Input {
    fn open(path: &Path) -> Result<Input, AdminError> {
        let failed = |source| AdminError::File { path: path.to_owned(), source };
        if path == Path::new("-") {
            return Ok(Input::stream(Box::new(stdin())));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            return Ok(Input::stream(Box::new(file)));
        }
        Ok(Input {
            lines: BufReader::with_capacity(INPUT_BUFFER_BYTES, Box::new(file)),
            timestamp: unix_micros(metadata.modified().map_err(failed)?),
            bytes: Some(metadata.len()),
            repeatable: true,
        })
    }

    fn stream(input: Box<dyn io::Read + Send>) -> Input {
        Input {
            lines: BufReader::with_capacity(INPUT_BUFFER_BYTES, input),
            timestamp: unix_micros(SystemTime::now()),
            bytes: None,
            repeatable: false,
        }
    }

    /// A common mistake deserves one clear answer instead of a million rejected lines.
    fn refuse_array(&mut self, path: &Path) -> Result<(), AdminError> {
        let start =
            self.lines.fill_buf().map_err(|source| AdminError::File { path: path.to_owned(), source })?;
        if start.trim_ascii_start().starts_with(b"[") {
            return Err(AdminError::Usage(format!(
                "{0} begins with `[`: it is a JSON array, not one claim a line; try: jq -c '.[]' {0} | stemedb-admin import -",
                path.display()
            )));
        }
        Ok(())
    }
}

/// Moves all batches from the reader to the server; says what was done, and what went wrong if not all was.
fn transfer<R: BufRead + Send>(
    reader: BatchReader<R>,
    clients: Vec<Client>,
    retry_for: Duration,
    progress: &mut Progress,
    path: &Path,
) -> (Summary, Result<(), AdminError>) {
    let stop = Stop::default();
    // One batch waits while each connection sends one.
    let (batch_sender, batch_receiver) = sync_channel(1);
    // Shared by the uploaders alone: when the last of them is gone, so is it, and the reader does not wait in vain.
    let batch_receiver = Arc::new(Mutex::new(batch_receiver));
    let (event_sender, event_receiver) = channel();
    thread::scope(|scope| {
        for client in clients {
            let uploader = Uploader { client, retry_for, events: event_sender.clone(), stop: &stop };
            let batch_receiver = Arc::clone(&batch_receiver);
            scope.spawn(move || uploader.run(|| next_batch(&batch_receiver)));
        }
        drop(batch_receiver);
        let reader_events = event_sender;
        let stop = &stop;
        scope.spawn(move || {
            if let Err(source) = read_batches(reader, &batch_sender, stop) {
                let failed = UploadEvent::Failed(AdminError::File { path: path.to_owned(), source });
                // The receiver outlives this thread: it is read until every sender is gone.
                let _ = reader_events.send(failed);
                stop.stop();
            }
        });
        collect(&event_receiver, progress)
    })
}

fn next_batch(batches: &Mutex<Receiver<Batch>>) -> Option<Batch> {
    batches.lock().expect("receiving does not panic").recv().ok()
}

fn read_batches<R: BufRead>(
    mut reader: BatchReader<R>,
    batches: &SyncSender<Batch>,
    stop: &Stop,
) -> io::Result<()> {
    while let Some(batch) = reader.next_batch()? {
        if stop.is_stopped() || batches.send(batch).is_err() {
            break;
        }
    }
    Ok(())
}

/// Counts what the uploaders report, until they are all done.
fn collect(events: &Receiver<UploadEvent>, progress: &mut Progress) -> (Summary, Result<(), AdminError>) {
    let mut summary = Summary::default();
    let mut bytes = 0;
    let mut result = Ok(());
    for event in events {
        match event {
            UploadEvent::Stored { batch, answer } => {
                bytes += batch.input_bytes;
                summary.add(*batch.input_lines.start(), *batch.input_lines.end(), answer);
                progress.advance(bytes, summary.claims());
            }
            UploadEvent::Retrying { reason, pause } => {
                summary.retries += 1;
                progress.note(&format!("{reason}; trying again in {:.1} s", pause.as_secs_f64()));
            }
            UploadEvent::Failed(error) => result = result.and(Err(error)),
        }
    }
    (summary, result)
}

fn print_json(summary: &Summary, seconds: f64, error: Option<&AdminError>) -> io::Result<()> {
    let report = json!({
        "complete": error.is_none(),
        "accepted": summary.accepted,
        "exists": summary.exists,
        "rejected": summary.rejected,
        "retries": summary.retries,
        "seconds": seconds,
        "done_to_line": summary.done_to_line,
        "errors": summary.errors().collect::<Vec<_>>(),
        "error": error.map(ToString::to_string),
    });
    writeln!(stdout(), "{report}")
}

fn print_text(summary: &Summary, seconds: f64) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "accepted  {:>14}", grouped(summary.accepted))?;
    writeln!(out, "exists    {:>14}", grouped(summary.exists))?;
    writeln!(out, "rejected  {:>14}", grouped(summary.rejected))?;
    let rate = summary.claims() as f64 / seconds.max(1e-3);
    writeln!(out, "in        {seconds:>14.1} s, {} claims a second", grouped(rate as u64))?;
    if summary.retries > 0 {
        writeln!(
            out,
            "retries   {:>14}   (what a broken request had stored counts as exists)",
            summary.retries
        )?;
    }
    for error in summary.errors().take(ERRORS_SHOWN_MAX) {
        writeln!(
            out,
            "line {}: {} ({})",
            error.line,
            printable(&error.message, 300),
            printable(&error.code, 60)
        )?;
    }
    if summary.rejected > ERRORS_SHOWN_MAX as u64 {
        writeln!(out, "… and {} more rejected lines", grouped(summary.rejected - ERRORS_SHOWN_MAX as u64))?;
    }
    Ok(())
}

/// A clock that stands before 1970 counts as 1970: claims have no earlier time.
fn unix_micros(time: SystemTime) -> UnixMicros {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}
