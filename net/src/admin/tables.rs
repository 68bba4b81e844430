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

/// Refuses a log that is none, or not the one of which `metadata.json` tells, as a server does: its disk may not be mounted, and what is copied
/// would stand for what was lost. Behind what the tables have `covered` it is what was `captured`.
pub(super) fn must_be_the_log(
    data: &DataOptions,
    covered: &Covered,
    captured: &Capture,
) -> Result<(), AdminError> {
    let (wal, metadata) = (data.wal(), data.metadata());
    let in_tables = covered.ends.iter().map(|lane| lane.end.generation);
    let found = in_tables.chain(captured.generation()).max().map_or(0, |generation| generation.0);
    if found == 0 {
        return Err(AdminError::Failed(format!(
            "there is no log in {}, not one segment that was begun, and there are no tables in {}: nothing is copied. Is the right disk mounted?",
            wal.display(),
            data.db().display()
        )));
    }
    // Whoever put back an older log by hand means it; and what a server has not written says nothing.
    let is_put_back = LogCopy::path(&wal).exists();
    let text = fs::read(&metadata).unwrap_or_default();
    let told: Value = serde_json::from_slice(&text).unwrap_or_default();
    match told["generation"].as_u64().filter(|&known| known > u64::from(found) && !is_put_back) {
        None => Ok(()),
        Some(known) => Err(AdminError::Failed(format!(
            "the log in {} is not the one that was here: {} says that generation {known} was begun, but the log ends with generation {found}: \
             nothing is copied. Is the right disk mounted?",
            wal.display(),
            metadata.display()
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
