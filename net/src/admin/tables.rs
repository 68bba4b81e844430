//! The tables of a data directory or a backup, as far as commands need to know them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use stemedb_engine::checkpoint::{DirManifest, Manifest, ManifestStorage as _};

use super::error::AdminError;

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
