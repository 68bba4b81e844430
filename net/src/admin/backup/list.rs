//! `stemedb-admin backup list`.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::catalog::{Backup, Catalog};
use super::metadata::{BackupMetadata, BackupType};
use super::remote::{RemoteNote, notes};
use crate::admin::data::directory;
use crate::admin::error::AdminError;
use crate::admin::store::StoreOptions;
use crate::admin::text::{megabytes, printable};

pub(super) const STORE_HELP: &str = "Show what was pushed to this store instead: a directory, or s3://BUCKET";

/// What `backup list` is asked to show.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct ListOptions {
    /// The directory that holds the backups
    #[arg(long, value_name = "DIR", default_value = "backups", value_parser = directory)]
    from: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
    /// Only backups of this type
    #[arg(long = "type", value_name = "TYPE")]
    backup_type: Option<BackupType>,
}

/// A backup to be listed.
struct Listed {
    metadata: BackupMetadata,
    place: String,
}

/// Prints the backups of each type, newest first. What has the name of a backup and is none is told on standard error.
pub(super) fn run(as_json: bool, options: &ListOptions) -> Result<ExitCode, AdminError> {
    let wanted = |of: BackupType| options.backup_type.is_none_or(|wanted| wanted == of);
    let mut listed = if options.store.is_given() { remote(options)? } else { local(options)? };
    listed.retain(|backup| wanted(backup.metadata.backup_type));
    let mut out = stdout().lock();
    if as_json {
        let backups: Vec<_> = listed
            .iter()
            .map(|Listed { place, metadata }| {
                json!({
                    "backup_id": metadata.backup_id, "backup_type": metadata.backup_type,
                    "timestamp": metadata.timestamp, "size_bytes": metadata.size_bytes,
                    "assertion_count": metadata.assertion_count, "directory": place,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "backups": backups }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for of in BackupType::ALL.into_iter().filter(|&of| wanted(of)) {
        let mut backups = listed.iter().filter(|it| it.metadata.backup_type == of).peekable();
        if backups.peek().is_some() || options.backup_type == Some(of) || of == BackupType::Full {
            writeln!(out, "{} Backups:", of.name().to_uppercase())?;
        }
        for Listed { metadata, .. } in backups {
            // Of 2026-01-30T02:00:00.25Z what people want to see.
            let time = metadata.timestamp.get(..19).unwrap_or(&metadata.timestamp).replace('T', " ");
            let id = printable(&metadata.backup_id, 100);
            writeln!(out, "  {id}: {} ({})", printable(&time, 40), megabytes(metadata.size_bytes))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn local(options: &ListOptions) -> Result<Vec<Listed>, AdminError> {
    let catalog = Catalog::read(&options.from)?;
    for (directory, reason) in &catalog.broken {
        eprintln!("stemedb-admin: {} is not a backup: {reason}", directory.display());
    }
    let listed = |Backup { directory, metadata }| Listed { metadata, place: directory.display().to_string() };
    Ok(catalog.backups.into_iter().map(listed).collect())
}

fn remote(options: &ListOptions) -> Result<Vec<Listed>, AdminError> {
    let store = options.store.open_to_read()?;
    let listed = |note: RemoteNote| Listed { metadata: note.metadata, place: note.object };
    Ok(notes(&store)?.into_iter().map(listed).collect())
}
