//! `metadata.json`: what a data directory is, for people and scripts. The log does not need it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stemedb_engine::data_dir::DataDir;
use stemedb_engine::log::Generation;
use stemedb_engine::slot::{SLOTS, SlotMap};

use super::StartError;

/// The version of the format of everything below the data directory.
const FORMAT_VERSION: u32 = 1;

/// What `metadata.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Metadata {
    format_version: u32,
    /// The server that wrote the file.
    version: String,
    slots: u16,
    slot_hash: String,
    /// The generation begun last.
    generation: u32,
    /// How many cores, and lanes, it has.
    cores: u16,
    /// The assertions stored when the file was written: at the start and at an orderly stop.
    pub(super) assertion_count: u64,
}

impl Metadata {
    pub(super) fn new(generation: Generation, slots: SlotMap, assertion_count: u64) -> Metadata {
        Metadata {
            format_version: FORMAT_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: SLOTS,
            slot_hash: "crc32c".to_owned(),
            generation: generation.0,
            cores: slots.cores(),
            assertion_count,
        }
    }

    pub(super) fn with_assertions(self, assertion_count: u64) -> Metadata {
        Metadata { assertion_count, ..self }
    }

    /// Writes the file: whole or not at all.
    pub(super) fn write(&self, data: &DataDir) -> Result<(), StartError> {
        let path = path(data);
        let failed = |source| StartError::Metadata { path: path.clone(), source };
        let mut text = serde_json::to_string_pretty(self).expect("a struct of numbers and strings is JSON");
        text.push('\n');
        replace(&path, text.as_bytes()).map_err(failed)
    }
}

/// The file stands beside the directory of the tables.
fn path(data: &DataDir) -> PathBuf {
    data.db().parent().unwrap_or(Path::new(".")).join("metadata.json")
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
