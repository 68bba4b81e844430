//! Where the data of a server lies, for commands that work on its files.

use std::env;
use std::path::{Path, PathBuf};

/// Which data directory a command works on.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DataOptions {
    /// The directory with wal/, db/ and metadata.json [default: data, or what STEMEDB_WAL_DIR and STEMEDB_DB_DIR say]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The directory of the log, if it is not wal/ in the data directory
    #[arg(long, value_name = "DIR")]
    wal_dir: Option<PathBuf>,
    /// The directory of the tables, if it is not db/ in the data directory
    #[arg(long, value_name = "DIR")]
    db_dir: Option<PathBuf>,
}

impl DataOptions {
    /// The directory of the log.
    pub(super) fn wal(&self) -> PathBuf {
        self.directory(self.wal_dir.as_ref(), "STEMEDB_WAL_DIR", "wal")
    }

    /// The directory of the tables.
    pub(super) fn db(&self) -> PathBuf {
        self.directory(self.db_dir.as_ref(), "STEMEDB_DB_DIR", "db")
    }

    /// The directory that holds the one of the tables, and `metadata.json`.
    pub(super) fn root(&self) -> PathBuf {
        match self.db().parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// The server's `metadata.json`.
    pub(super) fn metadata(&self) -> PathBuf {
        self.root().join("metadata.json")
    }

    /// What is typed counts before the environment, which is the server's own and not about another data directory.
    fn directory(&self, typed: Option<&PathBuf>, variable: &str, name: &str) -> PathBuf {
        if let Some(typed) = typed {
            return typed.clone();
        }
        match &self.data_dir {
            Some(data) => data.join(name),
            None => env::var_os(variable).map_or_else(|| Path::new("data").join(name), PathBuf::from),
        }
    }
}
