//! Backups in a store: `backup push` and `backup fetch`. A backup is one object, a compressed tar of its directory, with a
//! JSON beside it that has all of its metadata, so that the store alone tells what there is.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _, stdout};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stemedb_engine::removal::remove_all_gradually;

use super::catalog::{Backup, Catalog, directory_name, partial_name, remove_partial};
use super::metadata::{BackupMetadata, BackupType};
use super::verify::check_files;
use super::{is_newest_in, named, none_of};
use crate::admin::data::{DataOptions, directory};
use crate::admin::error::AdminError;
use crate::admin::files::{Copier, LOCK_PATIENCE, lock_alone, make_directory, sync_directory};
use crate::admin::run_report;
use crate::admin::store::{self, Hashed, Store, StoreOptions, failed};
use crate::admin::text::megabytes;
use crate::run_status::Job;

/// How hard the compression tries.
const COMPRESSION_LEVEL: i32 = 3;

/// What `backup push` is asked to do.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct PushOptions {
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    remote: RemoteOptions,
}

/// What `backup push` and `backup fetch` are asked to do.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct RemoteOptions {
    /// The backup's identity, as `backup list` shows it [default: the newest full one]
    backup_id: Option<String>,
    #[command(flatten)]
    store: StoreOptions,
    /// The directory that holds the backups of this machine
    #[arg(long, value_name = "DIR", default_value = "backups", value_parser = directory)]
    local: PathBuf,
}

/// The JSON beside a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemoteNote {
    pub(super) object: String,
    size_bytes: u64,
    sha256: String,
    pub(super) metadata: BackupMetadata,
}

/// A backup that is in the store.
struct Pushed {
    backup: Backup,
    store: String,
    object: String,
    /// How many bytes it has there, unless it was there already.
    size_bytes: Option<u64>,
}

/// Whether a text is the note of a backup.
pub(in crate::admin) fn is_note(text: &str) -> bool {
    serde_json::from_str::<RemoteNote>(text).is_ok()
}

/// What a store has of backups, newest first.
pub(super) fn notes(store: &Store) -> Result<Vec<RemoteNote>, AdminError> {
    let mut notes = Vec::new();
    for of in BackupType::ALL {
        for key in store.list(&format!("{}/", kind(of)))?.iter().filter(|key| key.ends_with(".json")) {
            match serde_json::from_str::<RemoteNote>(&store.text(key)?) {
                Ok(note) => notes.push(note),
                Err(error) if store::time_of(kind(of), key).is_some() => eprintln!(
                    "stemedb-admin: {key} in {} has the name of a backup's note, and is none: {error}",
                    store.name()
                ),
                // Something else may lie beside them.
                Err(_) => {}
            }
        }
    }
    notes.sort_by_key(|note| std::cmp::Reverse(note.metadata.timestamp.clone()));
    Ok(notes)
}

/// The note of the backup of this identity or, where none is named, of the newest full one.
fn note_of(store: &Store, id: Option<&str>) -> Result<RemoteNote, AdminError> {
    let is_meant = |note: &RemoteNote| match id {
        Some(id) => note.metadata.backup_id == id,
        None => note.metadata.backup_type == BackupType::Full,
    };
    notes(store)?.into_iter().find(is_meant).ok_or_else(|| {
        let wanted = id.map_or_else(|| "full backup".to_owned(), |id| format!("backup {id:?}"));
        let name = store.name();
        AdminError::Failed(format!(
            "there is no {wanted} in {name}; `stemedb-admin backup list --store {name}` shows what there is"
        ))
    })
}

/// Copies a backup to the store, unless it is there already, and notes how that went if it is the newest full one, which is what is watched.
pub(super) fn push(as_json: bool, options: &PushOptions) -> Result<ExitCode, AdminError> {
    let began = Instant::now();
    let PushOptions { data, remote } = options;
    let chosen = choose(remote);
    let is_newest = chosen.as_ref().is_ok_and(|(backup, _)| is_newest_in(&remote.local, backup));
    let pushed = chosen.and_then(|(backup, catalog)| {
        if let Some(directory) = remote.store.directory()? {
            data.must_not_hold(&directory)?;
        }
        copy_to_store(backup, &catalog, &remote.store)
    });
    if is_newest || remote.backup_id.is_none() && pushed.is_err() {
        let bytes = pushed.as_ref().ok().map(|pushed| pushed.backup.metadata.size_bytes);
        run_report::note(Job::Push, &data.root(), began, bytes);
    }
    let Pushed { backup, store, object, size_bytes } = pushed?;
    let what = if size_bytes.is_some() { "pushed as" } else { "is in the store already:" };
    told(as_json, &backup.metadata.backup_id, what, &object, &store, size_bytes)
}

/// The backup that is to be copied, and those beside it.
fn choose(options: &RemoteOptions) -> Result<(Backup, Catalog), AdminError> {
    if let Some(id) = &options.backup_id {
        return named(id, &options.local);
    }
    let catalog = Catalog::read(&options.local)?;
    let newest = catalog.newest();
    catalog.tell_broken_after(newest);
    match newest.cloned() {
        Some(newest) => Ok((newest, catalog)),
        None => Err(none_of(BackupType::Full, &catalog, &options.local)),
    }
}

fn copy_to_store(backup: Backup, catalog: &Catalog, options: &StoreOptions) -> Result<Pushed, AdminError> {
    let store = options.open()?;
    let key = key_of(&backup.metadata)?;
    let (object, note_key) = (format!("{key}.tar.zst"), format!("{key}.json"));
    if store.list(&note_key)?.contains(&note_key) {
        return Ok(Pushed { backup, store: store.name(), object, size_bytes: None });
    }
    check_files(&backup, catalog, &mut Copier::new(None, Box::new(|_| {})))?;
    let wrong = |error: io::Error| failed(&store.name(), &object, &error.to_string());
    let target = Hashed::new(store.write(&object)?);
    let mut archive = tar::Builder::new(zstd::Encoder::new(target, COMPRESSION_LEVEL).map_err(wrong)?);
    let files = backup.metadata.files.iter().map(|file| file.path.as_str());
    for path in files.chain(["metadata.json"]) {
        let source = backup.directory.join(path);
        let on_disk = |error| AdminError::File { path: source.clone(), source: error };
        let file = File::open(&source).map_err(on_disk)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata().map_err(on_disk)?.len());
        header.set_mode(0o640);
        archive.append_data(&mut header, path, file).map_err(wrong)?;
    }
    let target = archive.into_inner().and_then(zstd::Encoder::finish).map_err(wrong)?;
    let (upload, size_bytes, sha256) = target.into_parts();
    upload.finish()?;
    let note = RemoteNote { object: object.clone(), size_bytes, sha256, metadata: backup.metadata.clone() };
    store.put(
        &note_key,
        &(serde_json::to_string_pretty(&note).expect("numbers and strings are JSON") + "\n"),
    )?;
    Ok(Pushed { backup, store: store.name(), object, size_bytes: Some(size_bytes) })
}

/// Copies a backup from the store to where the others are, and checks it.
pub(super) fn fetch(as_json: bool, options: &RemoteOptions) -> Result<ExitCode, AdminError> {
    let store = options.store.open_to_read()?;
    let note = note_of(&store, options.backup_id.as_deref())?;
    let id = &note.metadata.backup_id;
    let time = id.rsplit('_').take(2).collect::<Vec<_>>();
    let time = format!("{}-{}", time.get(1).unwrap_or(&""), time[0]);
    make_directory(&options.local, 0o750)?;
    let _lock = lock_alone(&options.local.join(".lock"), "a backup", LOCK_PATIENCE)?;
    remove_partial(&options.local)?;
    let complete = options.local.join(directory_name(&time));
    if complete.exists() {
        return Err(AdminError::Failed(format!("{} is there already", complete.display())));
    }
    let partial = options.local.join(partial_name(&time));
    let fetched = unpack(&store, &note, &partial).and_then(|()| {
        fs::rename(&partial, &complete)
            .map_err(|source| AdminError::File { path: complete.clone(), source })?;
        sync_directory(&options.local)
    });
    if fetched.is_err() {
        // It is removed at the next run if not now, and never taken for a backup.
        let _ = remove_all_gradually(&partial);
    }
    fetched?;
    told(as_json, id, "fetched from", &note.object, &store.name(), Some(note.size_bytes))
}

fn unpack(store: &Store, note: &RemoteNote, partial: &Path) -> Result<(), AdminError> {
    let wrong = |error: io::Error| failed(&store.name(), &note.object, &error.to_string());
    for directory in [partial.to_owned(), partial.join("wal"), partial.join("db")] {
        let made = DirBuilder::new().mode(0o750).create(&directory);
        made.map_err(|source| AdminError::File { path: directory, source })?;
    }
    let decoder = zstd::Decoder::new(Hashed::new(store.read(&note.object)?)).map_err(wrong)?;
    let mut archive = tar::Archive::new(decoder);
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let name = entry.path().map_err(wrong)?.to_string_lossy().into_owned();
        if name != "metadata.json" && !note.metadata.files.iter().any(|file| file.path == name) {
            return Err(failed(&store.name(), &note.object, &format!("it holds {name:?}")));
        }
        let path = partial.join(&name);
        let mut write = || {
            let mut file = File::create_new(&path)?;
            io::copy(&mut entry, &mut file)?;
            file.sync_all()
        };
        write().map_err(|source| AdminError::File { path: path.clone(), source })?;
    }
    let mut rest = archive.into_inner().finish().into_inner();
    rest.read_to_end(&mut Vec::new()).map_err(wrong)?;
    for directory in [partial.join("wal"), partial.join("db"), partial.to_owned()] {
        sync_directory(&directory)?;
    }
    let backup = Backup::open(partial)?;
    let catalog = Catalog { backups: Vec::new(), broken: Vec::new() };
    check_files(&backup, &catalog, &mut Copier::new(None, Box::new(|_| {})))
}

/// The key of a backup, by its identity `full_20260130_020000`.
fn key_of(metadata: &BackupMetadata) -> Result<String, AdminError> {
    let wrong = || AdminError::Failed(format!("{:?} is not the identity of a backup", metadata.backup_id));
    Ok(store::key(kind(metadata.backup_type), time_in(&metadata.backup_id).ok_or_else(wrong)?))
}

/// What keys of backups of a type begin with. Those of archived pieces of the log begin with `wal`.
fn kind(of: BackupType) -> &'static str {
    match of {
        BackupType::Wal => "wal-backup",
        BackupType::Full | BackupType::Db => of.name(),
    }
}

/// The time in the identity of a backup, `20260130_020000`.
fn time_in(id: &str) -> Option<&str> {
    let time = id.split_once('_').map(|(_, time)| time).filter(|time| time.len() == 15);
    time.filter(|time| time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
}

fn told(
    as_json: bool,
    id: &str,
    what: &str,
    object: &str,
    store: &str,
    bytes: Option<u64>,
) -> Result<ExitCode, AdminError> {
    let mut out = stdout().lock();
    if as_json {
        writeln!(
            out,
            "{}",
            json!({ "backup_id": id, "object": object, "store": store, "size_bytes": bytes })
        )?;
    } else {
        let size = bytes.map(|bytes| format!(" ({})", megabytes(bytes))).unwrap_or_default();
        writeln!(out, "Backup {id} {what} {object} in {store}{size}")?;
    }
    Ok(ExitCode::SUCCESS)
}
