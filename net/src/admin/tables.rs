//! The tables of a data directory or a backup, as far as commands need to know them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use stemedb_engine::checkpoint::{DirManifest, Manifest, ManifestStorage as _};
use stemedb_engine::log::storage::{DirStorage, LogStorage as _};

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
