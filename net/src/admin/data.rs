//! Where the data of a server lies, for commands that work on its files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::error::AdminError;
use super::files::above;

/// What the environment says where log and tables are.
const WAL_VARIABLE: &str = "STEMEDB_WAL_DIR";
const DB_VARIABLE: &str = "STEMEDB_DB_DIR";

/// Which data directory a command works on.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DataOptions {
    /// The directory with wal/, db/ and metadata.json [default: data, or what STEMEDB_WAL_DIR and STEMEDB_DB_DIR say]
    #[arg(long, value_name = "DIR", value_parser = directory)]
    pub(super) data_dir: Option<PathBuf>,
    /// The directory of the log, if it is not wal/ in the data directory
    #[arg(long, value_name = "DIR", value_parser = directory)]
    wal_dir: Option<PathBuf>,
    /// The directory of the tables, if it is not db/ in the data directory
    #[arg(long, value_name = "DIR", value_parser = directory)]
    db_dir: Option<PathBuf>,
}

/// Reads the name of a directory on this machine.
pub(super) fn directory(name: &str) -> Result<PathBuf, String> {
    match name {
        "" => Err("the name is empty; expected that of a directory".to_owned()),
        _ if is_url(name) => Err("this is a URL; expected a directory of this machine. `stemedb-admin backup push --store` copies a \
                                  backup to a bucket, and `backup fetch` brings it back"
            .to_owned()),
        _ => Ok(name.into()),
    }
}

/// Whether somebody means a URL, whole or mistyped such as `s3:/bucket`.
pub(super) fn is_url(name: &str) -> bool {
    let scheme = name.split_once(":/").map_or("", |(scheme, _)| scheme);
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Where a path leads, as far as it is there.
fn place(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    match existing {
        Some((above, place)) => place.join(path.strip_prefix(above).expect("it is above it")),
        None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

impl DataOptions {
    /// The data of a server that runs in `home` with what `setting` gives for a name.
    pub(super) fn of_server(home: &Path, setting: impl Fn(&str) -> Option<PathBuf>) -> DataOptions {
        let place =
            |variable, name| home.join(setting(variable).unwrap_or_else(|| Path::new("data").join(name)));
        DataOptions {
            data_dir: None,
            wal_dir: Some(place(WAL_VARIABLE, "wal")),
            db_dir: Some(place(DB_VARIABLE, "db")),
        }
    }

    /// Whether log, tables and metadata are those of one server, and not put together here.
    pub(super) fn is_whole(&self) -> bool {
        self.wal_dir.is_none() && self.db_dir.is_none()
    }

    /// Whether somebody has said which, here or in the environment.
    pub(super) fn is_named(&self) -> bool {
        let typed = [&self.data_dir, &self.wal_dir, &self.db_dir];
        typed.iter().any(|typed| typed.is_some())
            || [WAL_VARIABLE, DB_VARIABLE].iter().any(|variable| env::var_os(variable).is_some())
    }

    /// The directory of the log.
    pub(super) fn wal(&self) -> PathBuf {
        self.directory(self.wal_dir.as_ref(), WAL_VARIABLE, "wal")
    }

    /// The directory of the tables.
    pub(super) fn db(&self) -> PathBuf {
        self.directory(self.db_dir.as_ref(), DB_VARIABLE, "db")
    }

    /// Fails where there is no log. To be asked before anything is made or locked there: of a mistyped name nothing is to stay.
    pub(super) fn must_be_there(&self) -> Result<(), AdminError> {
        let wal = self.wal();
        let is_missing = match fs::metadata(&wal) {
            Ok(found) => !found.is_dir(),
            // What may not be looked at may be there; whoever opens it says why it cannot be.
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        match is_missing {
            false => Ok(()),
            true => Err(AdminError::Failed(format!(
                "there is no data: {wal:?}, where the log should be, is no directory that is there; --data-dir says where the server has its data"
            ))),
        }
    }

    /// Refuses to keep a copy in what it is of: a restore renames log and tables.
    pub(super) fn must_not_hold(&self, copies: &Path) -> Result<(), AdminError> {
        match [self.wal(), self.db()].iter().find(|source| place(copies).starts_with(place(source))) {
            None => Ok(()),
            Some(source) => Err(AdminError::Usage(format!(
                "{} lies in {}, and would go with it; copies belong on another disk",
                copies.display(),
                source.display()
            ))),
        }
    }

    /// The directory that holds the one of the tables, and `metadata.json`.
    pub(super) fn root(&self) -> PathBuf {
        above(&self.db()).to_owned()
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
