//! The note that a backup leaves in its copy of a log, and that goes where the copy goes: that somebody means to go on with
//! an older log, and how far it reaches.
//!
//! `metadata.json` beside the tables names the generation begun last, and a start refuses a log that lacks it: the disk of
//! the log is not mounted, or somebody has removed it. Whoever puts a backup in its place does so on purpose, and this note
//! says so. It also says how far the log must reach, so that a copy of the copy that was interrupted is noticed. The server
//! removes it when the log has a generation of its own again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stemedb_engine::log::covered::Covered;
use stemedb_engine::log::generation::LaneEnd;
use stemedb_engine::log::recovery::Recovered;
use stemedb_engine::slot::LaneId;
use stemedb_engine::unfinished_file::sync_directory;

use crate::archive_mark;

/// The note's name in the directory of the log.
const NAME: &str = "BACKUP";

/// What the note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogCopy {
    /// The backup, by its name.
    pub(crate) backup: String,
    /// When it was taken, or the moment that the log was cut back to.
    pub(crate) timestamp: String,
    /// The generation begun last.
    pub(crate) generation: u32,
    /// How far each lane reaches.
    pub(crate) lanes: Vec<LaneReach>,
    /// Which part of the log the tables of the backup cover, so that it is not in the copy: a [`Covered`], in hexadecimal digits.
    covered: String,
}

/// How far a lane reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneReach {
    pub(crate) lane: u16,
    /// The first record that it does not have.
    pub(crate) next_lsn: u64,
}

impl LogCopy {
    /// Says that a log is a copy of `backup`, as of `timestamp`, behind what is `covered`, and reaches as far as it was `recovered`.
    pub(crate) fn of(backup: String, timestamp: String, covered: &Covered, recovered: &Recovered) -> LogCopy {
        let reach = |end: &LaneEnd| LaneReach { lane: end.lane.0, next_lsn: end.next_lsn.0 };
        LogCopy {
            backup,
            timestamp,
            generation: recovered.next_generation.0 - 1,
            lanes: recovered.lane_ends.iter().map(reach).collect(),
            covered: archive_mark::encode(covered),
        }
    }

    /// Which part of the log the tables of the backup cover.
    ///
    /// # Errors
    ///
    /// When the note does not say so.
    pub(crate) fn covered(&self) -> io::Result<Covered> {
        archive_mark::decode(&self.covered)
    }

    /// Where the note is, for the log in `wal`.
    pub(crate) fn path(wal: &Path) -> PathBuf {
        wal.join(NAME)
    }

    /// The note in the directory of a log, if there is one.
    pub(crate) fn read(wal: &Path) -> io::Result<Option<LogCopy>> {
        match fs::read(Self::path(wal)) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The note's text.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings are JSON") + "\n"
    }

    /// The first lane that does not reach as far as it must, with the record that it should have.
    pub(crate) fn missing(&self, recovered: &Recovered) -> Option<LaneReach> {
        let reaches = |lane: &LaneReach| recovered.lane_start(LaneId(lane.lane)).next_lsn.0 >= lane.next_lsn;
        self.lanes.iter().find(|lane| !reaches(lane)).cloned()
    }

    /// Removes the note: the log goes on by itself.
    pub(crate) fn remove(wal: &Path) -> io::Result<()> {
        match fs::remove_file(Self::path(wal)) {
            Ok(()) => sync_directory(wal),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
