//! `stemedb-admin wal`: looks into a log's directory, without a server and without changing anything.

mod payload;
mod selection;
mod tally;
mod to_json;
mod to_text;

use std::io::{self, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stemedb_engine::log::inspect::{Inspected, InspectedHeader, inspect};
use stemedb_engine::log::storage::LogStorage as _;

use self::selection::Selection;
use self::tally::Tally;
use super::error::AdminError;

/// What `wal` can do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum WalCommand {
    /// Show what is in a log directory, whole or damaged
    #[command(after_help = EXAMPLES)]
    Inspect(InspectOptions),
}

/// What `wal inspect` is asked to show.
#[derive(Debug, clap::Args)]
pub(super) struct InspectOptions {
    /// The directory with the files segment-*.log
    directory: PathBuf,
    /// Only this lane
    #[arg(long, value_name = "NUMBER")]
    lane: Option<u16>,
    /// Only the segment of this number in each lane
    #[arg(long, value_name = "NUMBER")]
    segment: Option<u64>,
    /// Show each frame
    #[arg(long)]
    frames: bool,
    /// Show each frame and each of its records
    #[arg(long)]
    records: bool,
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Segments,
    Frames,
    Records,
}

const EXAMPLES: &str = "\
Examples:
  stemedb-admin wal inspect data/wal
  stemedb-admin wal inspect data/wal --lane 0 --segment 3 --frames
  stemedb-admin wal inspect data/wal --records --json | jq -r 'select(.predicate == \"version\") | .hash'

Nothing is changed, and damage does not end the inspection: what is no frame is shown as bad, and \
what follows is shown as well. The exit code is 1 if anything is bad or cannot be read. A bad place \
at the very end of a lane is what a crash leaves behind; recovery drops it. While a server writes \
the log, its last frames may look bad, too, and segments may go whose claims are in tables by then.";

/// Shows what was asked for; fails if any of it is bad.
pub(super) fn run(as_json: bool, command: &WalCommand) -> Result<ExitCode, AdminError> {
    let WalCommand::Inspect(options) = command;
    let storage =
        Selection { directory: options.directory.clone(), lane: options.lane, segment: options.segment };
    let files =
        storage.list().map_err(|source| AdminError::File { path: options.directory.clone(), source })?;
    if files.is_empty() {
        return Err(nothing_there(&options.directory));
    }
    let detail = match (options.records, options.frames) {
        (true, _) => Detail::Records,
        (false, true) => Detail::Frames,
        (false, false) => Detail::Segments,
    };
    let sound = show(&storage, detail, as_json)?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what the log holds, as it is found; says whether nothing of it was bad.
fn show(storage: &Selection, detail: Detail, as_json: bool) -> io::Result<bool> {
    let mut out = io::BufWriter::new(stdout().lock());
    let mut sound = true;
    let mut tally = Tally::default();
    for inspected in inspect(storage) {
        sound &= !is_bad(&inspected);
        if matches!(inspected, Inspected::Segment { .. }) {
            print_tally(&mut out, &tally, as_json)?;
            tally = Tally::default();
        }
        tally.add(&inspected);
        if detail_of(&inspected) > detail {
            continue;
        }
        if as_json {
            writeln!(out, "{}", to_json::inspected(&inspected))?;
        } else {
            writeln!(out, "{}", to_text::inspected(&inspected))?;
        }
    }
    print_tally(&mut out, &tally, as_json)?;
    out.flush()?;
    Ok(sound)
}

fn print_tally(out: &mut impl io::Write, tally: &Tally, as_json: bool) -> io::Result<()> {
    match (tally.is_empty(), as_json) {
        (true, _) => Ok(()),
        (false, true) => writeln!(out, "{}", to_json::tally(tally)),
        (false, false) => writeln!(out, "{}", to_text::tally(tally)),
    }
}

fn is_bad(inspected: &Inspected) -> bool {
    match inspected {
        Inspected::Segment { header, .. } => matches!(header, InspectedHeader::Broken(_)),
        Inspected::Frame { .. } | Inspected::Record(_) | Inspected::Removed { .. } => false,
        Inspected::Bad { .. } | Inspected::Unreadable { .. } => true,
    }
}

/// The least detail in which something is shown; what is bad is shown in every.
fn detail_of(inspected: &Inspected) -> Detail {
    match inspected {
        Inspected::Segment { .. }
        | Inspected::Bad { .. }
        | Inspected::Removed { .. }
        | Inspected::Unreadable { .. } => Detail::Segments,
        Inspected::Frame { .. } => Detail::Frames,
        Inspected::Record(_) => Detail::Records,
    }
}

fn nothing_there(directory: &Path) -> AdminError {
    let below = directory.join("wal");
    let hint = if below.is_dir() { format!("; is it {}?", below.display()) } else { String::new() };
    AdminError::NoSegments { directory: directory.to_owned(), hint }
}
