//! What a restore to a moment takes from an archive.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use stemedb_engine::log::recovery::cut::CutTarget;
use stemedb_engine::removal::remove_all_gradually;

use super::{RestoreOptions, check_room};
use crate::admin::archive::{Assembled, Gap, assemble};
use crate::admin::backup::Backup;
use crate::admin::error::AdminError;
use crate::admin::files::make_directory;

/// A directory with segments from the archive, which is removed when it is not needed any more.
pub(super) struct Pieces {
    pub(super) directory: PathBuf,
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
        DirBuilder::new().mode(0o750).create(&directory)?;
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
pub(super) struct Fetched {
    pub(super) pieces: Option<Pieces>,
    /// Whether the archive has all up to the moment.
    pub(super) has_moment: bool,
    /// Why it has not, where more was archived later.
    pub(super) gap: Option<Gap>,
}

/// Fetches from the archive what it has beyond the backup.
pub(super) fn fetch_pieces(
    options: &RestoreOptions,
    backup: &Backup,
    target: CutTarget,
) -> Result<Fetched, AdminError> {
    let mut root = options.data.root();
    if options.changes_nothing() && !root.is_dir() {
        // What is not there stays away: what is fetched goes beside it.
        let absolute =
            std::path::absolute(&root).map_err(|source| AdminError::File { path: root, source })?;
        root = absolute.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned();
    }
    make_directory(&root, 0o750)?;
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
