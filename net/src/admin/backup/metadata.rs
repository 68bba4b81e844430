//! What a backup says of itself: its `metadata.json`.
//!
//! It has all that the server's own `metadata.json` has, in whose place a restore puts it.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;

/// What is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum BackupType {
    /// Log and tables.
    Full,
    /// The log.
    Wal,
    /// The tables.
    Db,
}

/// The `metadata.json` of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::admin) struct BackupMetadata {
    pub(in crate::admin) format_version: u32,
    /// The software that made the backup.
    pub(in crate::admin) version: String,
    pub(in crate::admin) slots: u16,
    pub(in crate::admin) slot_hash: String,
    /// The generation begun last; 0 if there is none.
    pub(in crate::admin) generation: u32,
    /// How many lanes it has.
    pub(in crate::admin) cores: u16,
    /// What a server says it holds that starts on the backup.
    pub(in crate::admin) assertion_count: u64,
    pub(in crate::admin) backup_id: String,
    pub(in crate::admin) backup_type: BackupType,
    /// When it was begun: what was acknowledged before is in it.
    pub(in crate::admin) timestamp: String,
    pub(in crate::admin) wal_segment_count: u64,
    /// Bytes of all files.
    pub(in crate::admin) size_bytes: u64,
    /// Bytes of those that were copied; the others are shared with an earlier backup.
    pub(in crate::admin) copied_bytes: u64,
    /// When the first segment of the log was begun.
    pub(in crate::admin) first_frame: Option<String>,
    /// When the last frame was queued that is in it.
    pub(in crate::admin) last_frame: Option<String>,
    /// Where each lane was cut.
    pub(in crate::admin) lanes: Vec<BackupLane>,
    /// All files but this one.
    pub(in crate::admin) files: Vec<BackupFile>,
}

/// Where a lane was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::admin) struct BackupLane {
    pub(in crate::admin) lane: u16,
    pub(in crate::admin) generation: u32,
    pub(in crate::admin) segment: u64,
    /// Where the frames end in that segment.
    pub(in crate::admin) end: u64,
    /// The last record.
    pub(in crate::admin) lsn: u64,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::admin) struct BackupFile {
    /// Below the backup's directory.
    pub(in crate::admin) path: String,
    pub(in crate::admin) bytes: u64,
    pub(in crate::admin) sha256: String,
}

impl BackupType {
    /// All there are, in the order in which they are listed.
    pub(in crate::admin) const ALL: [BackupType; 3] = [BackupType::Full, BackupType::Wal, BackupType::Db];

    /// What it is called in names.
    pub(in crate::admin) fn name(self) -> &'static str {
        match self {
            BackupType::Full => "full",
            BackupType::Wal => "wal",
            BackupType::Db => "db",
        }
    }

    /// Whether the log is in it.
    pub(in crate::admin) fn has_wal(self) -> bool {
        self != BackupType::Db
    }

    /// Whether the tables are in it.
    pub(in crate::admin) fn has_db(self) -> bool {
        self != BackupType::Wal
    }
}

impl BackupMetadata {
    /// What the backup in `directory` says of itself.
    ///
    /// # Errors
    ///
    /// When it says nothing, or something that would lead out of the directory.
    pub(in crate::admin) fn read(directory: &Path) -> Result<BackupMetadata, AdminError> {
        let path = directory.join("metadata.json");
        let text = fs::read(&path).map_err(|source| AdminError::File { path: path.clone(), source })?;
        let not_one = |reason: String| {
            AdminError::Failed(format!("{} is not the metadata of a backup: {reason}", path.display()))
        };
        let metadata: BackupMetadata =
            serde_json::from_slice(&text).map_err(|error| not_one(error.to_string()))?;
        let is_below = |file: &BackupFile| match file.path.split_once('/') {
            Some(("wal" | "db", name)) => !name.contains('/') && !name.is_empty() && name != "..",
            _ => false,
        };
        match metadata.files.iter().find(|file| !is_below(file)) {
            Some(file) => Err(not_one(format!("it names the file {:?}", file.path))),
            None => Ok(metadata),
        }
    }

    /// The text of `metadata.json`.
    pub(in crate::admin) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings are JSON") + "\n"
    }
}
