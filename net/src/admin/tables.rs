//! The tables of a data directory or a backup, as far as commands need to know them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;
use stemedb_engine::checkpoint::{DirManifest, Manifest, ManifestStorage as _};
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::recovery::capture::Capture;
use stemedb_engine::log::storage::{DirStorage, LogStorage as _};

use super::data::DataOptions;
use super::error::AdminError;
use crate::log_copy::LogCopy;

/// Bytes at both ends of a table that tell it from every other one of its length: its own checksums are among them.
const TELLING_BYTES: u64 = 4096;

/// The manifest in the directory of tables; that of a store without any if there is none.
pub(super) fn manifest_in(db: &Path) -> Result<Manifest, AdminError> {
    let storage = DirManifest::new(db);
    let path = storage.path();
    match storage.read() {
        Ok(None) => Ok(Manifest::empty()),
        Ok(Some(bytes)) => Manifest::decode(&bytes)
            .map_err(|error| AdminError::Failed(format!("{} cannot be read: {error}", path.display()))),
        Err(source) => Err(AdminError::File { path, source }),
    }
}

/// The manifest in the directory of tables, as the log in `wal` goes on behind it: that may be an older copy, as a restore by hand leaves it until
/// a server is started on it.
pub(super) fn manifest_for(wal: &Path, db: &Path) -> Result<Manifest, AdminError> {
    let mut manifest = manifest_in(db)?;
    let note = LogCopy::path(wal);
    if LogCopy::read(wal).map_err(|source| AdminError::File { path: note, source })?.is_some() {
        let files = DirStorage::new(wal).list();
        let files = files.map_err(|source| AdminError::File { path: wal.to_owned(), source })?;
        manifest.covered = manifest.covered.of_copy(&files);
    }
    Ok(manifest)
}

/// The generation of which `metadata.json` says that it was begun: of the server's own data only, and of no log that was put back, which is older
/// on purpose. To be asked before the log is looked at, which may go on meanwhile.
pub(super) fn generation_begun(data: &DataOptions) -> Option<u64> {
    if !data.is_whole() || LogCopy::path(&data.wal()).exists() {
        return None;
    }
    let text = fs::read(data.metadata()).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?["generation"].as_u64()
}

/// Refuses a log that is none, or not the one of which `metadata.json` tells, as a server does: its disk may not be mounted, and what is copied
/// would stand for what was lost. That has [`begun`](generation_begun); behind what the tables have `covered` the log is what was `captured`.
pub(super) fn must_be_the_log(
    data: &DataOptions,
    begun: Option<u64>,
    covered: &Covered,
    captured: &Capture,
) -> Result<(), AdminError> {
    let wal = data.wal();
    let in_tables = covered.ends.iter().map(|lane| lane.end.generation);
    let found = in_tables.chain(captured.generation()).max().map_or(0, |generation| generation.0);
    if found == 0 {
        return Err(AdminError::Failed(format!(
            "there is no log in {}, not one segment that was begun, and there are no tables in {}: nothing is copied. Is the right disk mounted?",
            wal.display(),
            data.db().display()
        )));
    }
    match begun.filter(|&begun| begun > u64::from(found)) {
        None => Ok(()),
        Some(known) => Err(AdminError::Failed(format!(
            "the log in {} is not the one that was here: {} says that generation {known} was begun, but the log ends with generation {found}: \
             nothing is copied. Is the right disk mounted?",
            wal.display(),
            data.metadata().display()
        ))),
    }
}

/// Whether two files of one length are copies of one table.
pub(super) fn is_same_table(one: &Path, other: &Path) -> bool {
    let ends = |path: &Path| -> io::Result<(Vec<u8>, Vec<u8>)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let count = bytes.min(TELLING_BYTES);
        let (mut first, mut last) = (vec![0; count as usize], vec![0; count as usize]);
        file.read_exact_at(&mut first, 0)?;
        file.read_exact_at(&mut last, bytes - count)?;
        Ok((first, last))
    };
    matches!((ends(one), ends(other)), (Ok(one), Ok(other)) if one == other)
}
