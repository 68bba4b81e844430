//! `stemedb-admin restore`: puts a backup in the place of a server's data, whole or up to a moment.

mod interruption;
mod replace;
mod report;
mod target;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _, stdout};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stemedb_engine::data_dir::{DataDir, Hold};
use stemedb_engine::log::recovery::cut::{self, Cut, CutError, CutTarget};
use stemedb_engine::removal::remove_all_gradually;

use self::interruption::Interruption;
use self::replace::Replacement;
use super::archive::{Assembled, Gap, assemble};
use super::backup::{self, Backup, BackupType, Catalog, check_files, check_log, count_assertions};
use super::data::{DataOptions, directory};
use super::error::AdminError;
use super::files::{Copier, bytes_free};
use super::log_source::{Extension, LogSource};
use super::moment;
use super::progress::Progress;
use super::run_report;
use super::store::StoreOptions;
use super::tables::manifest_in;
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

/// What is to be put in place.
struct Plan {
    backup: Backup,
    /// The log, if one is restored.
    log: Option<LogSource>,
    /// What is dropped of it.
    cut: Option<Cut>,
    /// The backup that ends what was looked at for that.
    counted_to: Option<String>,
    /// How many assertions there will be.
    assertions: u64,
    /// Where parts of it may lie.
    _pieces: Option<Pieces>,
}

/// A directory with segments from the archive, which is removed when it is not needed any more.
struct Pieces {
    directory: PathBuf,
    /// Locked as long as somebody needs it.
    _lock: File,
}

impl Pieces {
    /// An empty directory in `root`, from which those are removed that were left behind by restores that were killed.
    fn make(root: &Path) -> io::Result<Pieces> {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(".archive-")
                && File::open(entry.path()).is_ok_and(|directory| directory.try_lock().is_ok())
            {
                remove_all_gradually(&entry.path())?;
            }
        }
        let directory = root.join(format!(".archive-{}.restoring", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o750).create(&directory)?;
        let lock = File::open(&directory)?;
        lock.lock()?;
        Ok(Pieces { directory, _lock: lock })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // It has a name of its own, and is in nobody's way.
        let _ = remove_all_gradually(&self.directory);
    }
}

/// What came from the archive.
#[derive(Default)]
struct Fetched {
    pieces: Option<Pieces>,
    /// Whether the archive has all up to the moment.
    has_moment: bool,
    /// Why it has not, where more was archived later.
    gap: Option<Gap>,
}

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
    let plan = prepare(options, target)?;
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

/// Chooses the backup, checks all of it, and finds what to drop.
fn prepare(options: &RestoreOptions, target: Option<CutTarget>) -> Result<Plan, AdminError> {
    refuse_missing_places(options)?;
    let (candidates, catalog) = choose(options, target)?;
    let current = match target {
        Some(target) if candidates[0].metadata.backup_type.has_wal() => {
            current_at(options, target, candidates, &catalog)?
        }
        Some(_) => {
            let message = "tables have no moments to go back to; restore a full backup, or one of the log";
            return Err(AdminError::Usage(message.to_owned()));
        }
        None => {
            let backup = candidates.into_iter().next().expect("there is one at least");
            Current {
                log: LogSource::of_backup(&backup)?,
                backup,
                gap: None,
                reaches: false,
                counted_to: None,
            }
        }
    };
    let mut progress = Progress::start("Verifying", current.backup.metadata.size_bytes);
    let mut copier = Copier::new(None, Box::new(move |bytes| progress.advance(bytes)));
    check_files(&current.backup, &catalog, &mut copier)?;
    check_log(&current.backup)?;
    let Some(target) = target else {
        let Current { backup, log, .. } = current;
        let log = Some(log).filter(|_| backup.metadata.backup_type.has_wal());
        let assertions = backup.metadata.assertion_count;
        return Ok(Plan { backup, log, cut: None, counted_to: None, assertions, _pieces: None });
    };
    let mut fetched = match options.store.is_named() {
        true => fetch_pieces(options, &current.backup, target)?,
        false => Fetched::default(),
    };
    let Current { backup, log, gap, reaches, counted_to } = follow_archive(current, &mut fetched, target)?;
    let Fetched { pieces, has_moment, gap: archive_gap } = fetched;
    if let (Some(archive_gap), false) = (archive_gap, reaches) {
        return Err(AdminError::Failed(archive_gap.to_string()));
    }
    log.check().map_err(|error| match &pieces {
        None => error,
        Some(_) => AdminError::Failed(format!(
            "what is archived does not go on where {} ends, so that the moment cannot be reached from there; choose another backup \
             with --backup-id. {error}",
            backup.metadata.backup_id
        )),
    })?;
    let gap = gap.filter(|_| !has_moment);
    let cut = cut::plan(&log, &log.manifest().covered, target);
    match (&cut, gap) {
        (Ok(cut), Some(directory)) if cut.drops_nothing() => return Err(ends_before(&backup, &directory)),
        (Err(CutError::NoRecord { .. }), Some(directory)) => return Err(ends_before(&backup, &directory)),
        _ => {}
    }
    let cut = cut.map_err(|error| refused(error, &backup, target))?;
    let left = log.cut_back(&cut);
    let (_, assertions) = count_assertions(&left, left.manifest())?;
    if assertions == 0 && cut.records_dropped() > 0 {
        return Err(AdminError::Usage(format!(
            "nothing had been acknowledged by {}: no assertion would be left, and {} records be dropped; name a later moment",
            moment::format(cut.time),
            grouped(cut.records_dropped())
        )));
    }
    Ok(Plan { backup, log: Some(log), cut: Some(cut), counted_to, assertions, _pieces: pieces })
}

/// Refuses to put anything where the directory above is missing: its disk may not be mounted.
fn refuse_missing_places(options: &RestoreOptions) -> Result<(), AdminError> {
    let root = options.data.root();
    for place in [options.data.wal(), options.data.db()] {
        let above = place.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."));
        // The one that holds the tables is made.
        let needed = match above == root && !root.exists() {
            true => root.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new(".")),
            false => above,
        };
        if !needed.is_dir() {
            return Err(AdminError::Failed(format!(
                "{} cannot be restored: {needed:?} is no directory that is there; is its disk mounted?",
                place.display()
            )));
        }
    }
    Ok(())
}

/// Has the log go on with what came from the archive. Where that is another one than what is in place, which was restored in between, the one
/// counts that was current at the moment.
fn follow_archive(
    mut current: Current,
    fetched: &mut Fetched,
    target: CutTarget,
) -> Result<Current, AdminError> {
    let Some(pieces) = &fetched.pieces else { return Ok(current) };
    let Extension::OtherSince(since) = current.log.extend_by_pieces(&pieces.directory)? else {
        return Ok(current);
    };
    let id = &current.backup.metadata.backup_id;
    let mut log = LogSource::of_backup(&current.backup)?;
    if log.extend_by_pieces(&pieces.directory)? != Extension::Added {
        return Err(AdminError::Failed(format!(
            "what is archived is of another log than {id}; choose another backup with --backup-id"
        )));
    }
    let since_when = moment::format(since);
    match target {
        CutTarget::Time(time) if time < since => {
            eprintln!(
                "stemedb-admin: the log that is in place is not used: it is another one than the archive's since {since_when}"
            );
            Ok(Current { log, gap: None, reaches: false, counted_to: None, ..current })
        }
        CutTarget::Time(_) => {
            eprintln!(
                "stemedb-admin: what is archived is not used: the log that is in place is another one since {since_when}"
            );
            *fetched = Fetched::default();
            Ok(current)
        }
        CutTarget::Record { .. } => Err(AdminError::Failed(format!(
            "the log that is in place is another one than the archive's since {since_when}, and both have gone on from {id}: name a time \
             with --target-time, or leave out --store, or move the log that is in place aside"
        ))),
    }
}

/// A backup cannot be followed up to the moment.
fn ends_before(backup: &Backup, directory: &Path) -> AdminError {
    AdminError::Failed(format!(
        "{} ends before that moment, with what may be archived behind it, and the log in {} has nothing of what came next: it has gone \
         into tables. Name the archive with --store, take a backup that is newer, or restore this one without a moment",
        backup.metadata.backup_id,
        directory.display()
    ))
}

/// Why the log that goes on where a backup ends cannot be cut.
fn refused(error: CutError, backup: &Backup, target: CutTarget) -> AdminError {
    let id = &backup.metadata.backup_id;
    match (error, target) {
        (CutError::Log(error), _) => AdminError::Log(error),
        (error @ CutError::NoRecord { .. }, _) => AdminError::Failed(error.to_string()),
        (CutError::Covered { .. }, CutTarget::Time(time)) => AdminError::Failed(format!(
            "the tables of {id} may hold claims that came after {}; take a backup that is older than that",
            moment::format(time)
        )),
        (CutError::Covered { .. }, CutTarget::Record { lane, lsn }) => AdminError::Failed(format!(
            "the tables of {id} may hold record {lsn} of lane {}, or what was written after it; take an older backup with --backup-id",
            lane.0
        )),
    }
}

/// The backups that may be meant, the best first: the one that is asked for or, of those of the type, those that are older than the
/// moment, newest first; or, for a record, those whose tables do not hold it. If none is, the oldest may still reach back to it.
fn choose(options: &RestoreOptions, target: Option<CutTarget>) -> Result<(Vec<Backup>, Catalog), AdminError> {
    let named = options.backup.as_ref().map(|name| backup::named(name, &options.from));
    let chosen = named.or_else(|| options.backup_id.as_ref().map(|id| backup::by_id(id, &options.from)));
    if let Some((backup, catalog)) = chosen.transpose()? {
        return Ok((vec![backup], catalog));
    }
    let catalog = Catalog::read(&options.from)?;
    let of_type = || catalog.of_type(options.backup_type).cloned();
    let mut candidates = Vec::new();
    for backup in of_type().filter(|backup| !is_after(backup, target)) {
        if !has_in_tables(&backup, target)? {
            candidates.push(backup);
        }
    }
    if candidates.is_empty() {
        candidates.extend(of_type().last());
    }
    if candidates.is_empty() {
        return Err(backup::none_of(options.backup_type, &catalog, &options.from));
    }
    catalog.tell_broken_after(candidates.first());
    Ok((candidates, catalog))
}

/// Whether the tables of a backup hold the record that is the target.
fn has_in_tables(backup: &Backup, target: Option<CutTarget>) -> Result<bool, AdminError> {
    let Some(CutTarget::Record { lane, lsn }) = target else { return Ok(false) };
    let covered = manifest_in(&backup.directory.join("db"))?.covered;
    Ok(covered.end_of(lane).is_some_and(|covered| lsn < covered.end.next_lsn))
}

/// The backup to go back to, and the log that went on from there.
struct Current {
    backup: Backup,
    log: LogSource,
    /// A directory in which the log goes on, but not with what comes next.
    gap: Option<PathBuf>,
    /// Whether the log has all up to the moment, from a backup that was begun later or from where it is still in its place.
    reaches: bool,
    /// The backup up to which it was looked at. What came later is not needed, and may be damaged.
    counted_to: Option<String>,
}

/// The first of these backups that is of the log that was current at the moment, with all of that log that the next backup has
/// or, if that has not what comes next, what is still in its place. A restore to a moment gives up what came after it: a backup of that is of
/// another log.
fn current_at(
    options: &RestoreOptions,
    target: CutTarget,
    candidates: Vec<Backup>,
    catalog: &Catalog,
) -> Result<Current, AdminError> {
    let is_chosen = options.backup.is_some() || options.backup_id.is_some();
    for backup in candidates {
        let mut log = LogSource::of_backup(&backup)?;
        let next = next_after(&backup, catalog, target).map(|next| next.directory.clone());
        let next = next.map(|next| (next.join("wal"), next.join("db")));
        let (mut is_given_up, mut reaches) = (false, false);
        let mut gap = None;
        for (directory, db) in next.into_iter().chain([(options.data.wal(), options.data.db())]) {
            let since = match log.extend(&directory, &db)? {
                Extension::OtherSince(since) => since,
                Extension::None => continue,
                Extension::Gap => {
                    gap = gap.or(Some(directory));
                    continue;
                }
                Extension::Added => {
                    // A backup that was begun after the moment reaches up to it, and so does the log from which that was taken.
                    gap = None;
                    reaches = true;
                    break;
                }
            };
            let by_then = matches!(target, CutTarget::Time(time) if since <= time);
            is_given_up |= by_then;
            eprintln!(
                "stemedb-admin: the log in {} is not used: it is another one than that of {}",
                directory.display(),
                backup.metadata.backup_id
            );
        }
        if is_chosen || !is_given_up {
            let next = next_after(&backup, catalog, target);
            let counted_to = next.filter(|_| reaches).map(|next| next.metadata.backup_id.clone());
            return Ok(Current { backup, log, gap, reaches, counted_to });
        }
    }
    Err(AdminError::Failed(format!(
        "no backup in {} is of the log that was current at that time; name one with --backup-id to take it all the same",
        options.from.display()
    )))
}

/// Fetches from the archive what it has beyond the backup.
fn fetch_pieces(options: &RestoreOptions, backup: &Backup, target: CutTarget) -> Result<Fetched, AdminError> {
    let mut root = options.data.root();
    if options.changes_nothing() && !root.is_dir() {
        // What is not there stays away: what is fetched goes beside it.
        let absolute =
            std::path::absolute(&root).map_err(|source| AdminError::File { path: root, source })?;
        root = absolute.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned();
    }
    let pieces = Pieces::make(&root).map_err(|source| AdminError::File { path: root, source })?;
    let until = match target {
        CutTarget::Time(time) => Some(time),
        CutTarget::Record { .. } => None,
    };
    let has_room = |bytes| check_room(options, bytes, bytes.max(backup.metadata.size_bytes));
    let Assembled { has_pieces, has_moment, gap } =
        assemble(&options.store.open_to_read()?, backup, until, &pieces.directory, &has_room)?;
    Ok(Fetched { pieces: has_pieces.then_some(pieces), has_moment, gap })
}

/// The first backup after the moment that has a log.
fn next_after<'c>(backup: &Backup, catalog: &'c Catalog, target: CutTarget) -> Option<&'c Backup> {
    let later = catalog.backups.iter().take_while(|other| {
        is_after(other, Some(target)) && other.metadata.timestamp > backup.metadata.timestamp
    });
    later.filter(|other| other.metadata.backup_type.has_wal()).last()
}

/// Whether a backup was begun after the moment. Of a record nobody knows when it was written; every backup may have it.
fn is_after(backup: &Backup, target: Option<CutTarget>) -> bool {
    match (target, moment::parse(&backup.metadata.timestamp)) {
        (Some(CutTarget::Time(time)), Ok(begun)) => begun > time,
        _ => false,
    }
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
