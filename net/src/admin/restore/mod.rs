//! `stemedb-admin restore`: puts a backup in the place of a server's data, whole or up to a moment.

mod current;
mod interruption;
mod pieces;
mod plan;
mod replace;
mod report;
mod target;

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stemedb_engine::data_dir::{DataDir, Hold};
use stemedb_engine::log::recovery::cut::CutTarget;

use self::interruption::Interruption;
use self::replace::Replacement;
use super::backup::BackupType;
use super::data::{DataOptions, directory};
use super::error::AdminError;
use super::files::bytes_free;
use super::log_source::LogSource;
use super::moment;
use super::run_report;
use super::store::StoreOptions;
use super::text::{grouped, megabytes};
use crate::driver::wall_clock;
use crate::run_status::Job;

/// How long there is to change one's mind.
const COUNTDOWN_S: u64 = 5;

/// What `restore` is asked to do.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreOptions {
    #[command(flatten)]
    data: DataOptions,
    /// The backup: its directory, or its identity [default: the newest full one in --from]
    #[arg(long, value_name = "DIR|ID", conflicts_with = "backup_id")]
    backup: Option<String>,
    /// The backup by its identity, as `backup list` shows it
    #[arg(long, value_name = "ID")]
    backup_id: Option<String>,
    /// The directory that holds the backups
    #[arg(long, value_name = "DIR", default_value = "backups", value_parser = directory)]
    from: PathBuf,
    /// Take the newest backup of this type, where none is named
    #[arg(long = "type", value_name = "TYPE", default_value = "full", conflicts_with_all = ["backup", "backup_id"])]
    backup_type: BackupType,
    #[command(flatten)]
    store: StoreOptions,
    /// Restore what was acknowledged by this time: Unix seconds, or a UTC date such as '2026-01-28 14:30:00 UTC'
    #[arg(long, value_name = "TIME", group = "moment", conflicts_with = "target_lsn")]
    target_time: Option<String>,
    /// Restore up to this record of a lane, and of the other lanes what had been written by then
    #[arg(long, value_name = "LANE:LSN", group = "moment")]
    target_lsn: Option<String>,
    /// Only check the backup
    #[arg(long, conflicts_with = "dry_run")]
    validate_only: bool,
    /// Check everything, tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for second thoughts
    #[arg(long)]
    yes: bool,
}

impl RestoreOptions {
    /// Whether it is only to be told what would be done.
    fn changes_nothing(&self) -> bool {
        self.validate_only || self.dry_run
    }
}

pub(super) const STORE_HELP: &str = "The archive in which the log goes on behind the backup, for --target-time and --target-lsn: a directory, or s3://BUCKET [default: \
     the bucket that BACKUP_BUCKET names, else none]";

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin restore --backup backups/stemedb-backup-20260130-020000 --validate-only
  stemedb-admin restore --backup-id full_20260130_020000 --data-dir /opt/stemedb/data
  stemedb-admin restore --target-time '2026-01-28 14:30:00 UTC' --dry-run
  stemedb-admin restore --target-time '2026-01-28 14:30:00 UTC' --yes

The server must be stopped. What is there is renamed (data/wal to data/wal.backup.YYYYMMDD-HHMMSS), never \
deleted; a restore that fails puts it back. Exit code 3 means that the backup is damaged.";

/// Restores what was asked for.
pub(super) fn run(as_json: bool, options: &RestoreOptions) -> Result<ExitCode, AdminError> {
    let began = Instant::now();
    let interruption = Interruption::watch()?;
    let target = target::parse(options.target_time.as_deref(), options.target_lsn.as_deref())?;
    if let Some(CutTarget::Time(time)) = target
        && time > wall_clock()
    {
        eprintln!(
            "stemedb-admin: {} has not come yet: all that there is will be restored",
            moment::format(time)
        );
    }
    // Before anything is looked at: what a server still writes is no log to go back in.
    let (locks, _hold) = match options.changes_nothing() {
        // A server may go on, and would remove what was found.
        true => (Vec::new(), Hold::where_needed(&options.data.wal())?),
        false => (DataDir::lock_existing(&[&options.data.wal(), &options.data.db()])?, None),
    };
    let plan = plan::prepare(options, target)?;
    let metadata = &plan.backup.metadata;
    if options.validate_only {
        let (id, assertions) = (&metadata.backup_id, metadata.assertion_count);
        let told = json!({ "backup_id": id, "valid": true, "assertion_count": assertions });
        return tell(as_json, &told, &format!("Backup {id} is valid: {assertions} assertions"));
    }
    if let Some(cut) = &plan.cut {
        say(as_json, &report::to_text(cut, plan.counted_to.as_deref()))?;
    }
    let cut = plan.cut.as_ref().map(|cut| report::to_json(cut, plan.counted_to.as_deref()));
    let log_bytes = plan.log.as_ref().map_or(0, LogSource::bytes);
    check_room(options, 0, log_bytes.max(metadata.size_bytes))?;
    if options.dry_run {
        let (id, root) = (&metadata.backup_id, options.data.root());
        let told = json!({
            "dry_run": true, "backup_id": id, "data_dir": root, "assertion_count": plan.assertions, "cut": cut,
        });
        let assertions = grouped(plan.assertions);
        let text = format!("Dry run: {id} would be restored to {}, {assertions} assertions", root.display());
        return tell(as_json, &told, &text);
    }
    if !options.yes {
        count_down(options)?;
    }
    let restored = Replacement::new(as_json, options, &plan, locks, interruption).and_then(Replacement::run);
    let bytes = restored.as_ref().ok().map(|restored| restored.bytes);
    run_report::note(Job::Restore, &options.data.root(), began, bytes);
    let restored = restored?;
    let seconds = began.elapsed().as_secs_f64();
    let id = &metadata.backup_id;
    let told = json!({
        "backup_id": id, "assertion_count": plan.assertions, "bytes": restored.bytes, "seconds": seconds,
        "kept_aside": restored.kept_aside, "cut": cut,
    });
    let (assertions, size) = (grouped(plan.assertions), megabytes(restored.bytes));
    let mut text = format!("Restored {id}: {assertions} assertions, {size}, in {seconds:.1} s");
    if metadata.backup_type == BackupType::Db {
        text.push_str("\nThese are tables alone; a server starts on them when the log is there that goes on behind them: --type wal");
    }
    if let Some(cut) = &plan.cut {
        let end =
            if cut.drops_nothing() { "Nothing had to be cut off" } else { "The log ends where it was cut" };
        text.push_str(&format!("\n{end}; a server that is started now is ready to accept connections"));
    }
    tell(as_json, &told, &text)
}

/// Ends with what came of it.
fn tell(as_json: bool, json: &Value, text: &str) -> Result<ExitCode, AdminError> {
    match as_json {
        true => writeln!(stdout(), "{json}")?,
        false => writeln!(stdout(), "{text}")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Twice the bytes of what is restored must be free, which leaves room for the server to go on with it, beside those that
/// have yet to come from the archive.
fn check_room(options: &RestoreOptions, archived_bytes: u64, restored_bytes: u64) -> Result<(), AdminError> {
    let root = options.data.root();
    let (needed, free) = (archived_bytes + 2 * restored_bytes, bytes_free(&root)?);
    if free < needed {
        let beside = match archived_bytes {
            0 => String::new(),
            bytes => format!(" and {} for what comes from the archive", megabytes(bytes)),
        };
        return Err(AdminError::Failed(format!(
            "No space left on device: a restore needs twice the size of what is restored{beside}, together {}, free at {}; {} are",
            megabytes(needed),
            root.display(),
            megabytes(free)
        )));
    }
    Ok(())
}

fn count_down(options: &RestoreOptions) -> Result<(), AdminError> {
    let root = options.data.root();
    eprintln!(
        "The data in {} is about to be replaced; what is there is renamed. Ctrl-C stops it",
        root.display()
    );
    for left in (1..=COUNTDOWN_S).rev() {
        eprintln!("{left}...");
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Tells people something. Programs that asked for JSON are told on standard error.
fn say(as_json: bool, text: &str) -> Result<(), AdminError> {
    if as_json {
        eprintln!("{text}");
    } else {
        writeln!(stdout(), "{text}")?;
    }
    Ok(())
}
