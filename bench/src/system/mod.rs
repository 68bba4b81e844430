//! The systems that are compared: how each is started fresh, what is measured of it, and what is not equal about it.

mod drive;
mod etcd;
mod experiment;
mod fio;
mod install;
mod nats;
mod nginx;
mod postgres;
mod redis;
mod site;
mod sqlite;
mod stemedb;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

pub use experiment::{Beside, Experiment, Measurement, Quantity};
pub use install::{InstallError, Installer};
pub use site::Site;
pub use sqlite::{LoopReport, run_loop as run_sqlite_loop};

use crate::client::get::GetError;
use crate::load::LoadError;
use crate::process::ProcessError;

/// A system that is measured.
pub trait System {
    /// Which one it is.
    fn name(&self) -> Name;

    /// The packages of Debian that it comes with.
    fn packages(&self) -> &'static [&'static str];

    /// Why it cannot be measured here, if it cannot.
    fn missing(&self) -> Option<String>;

    /// What it says of its version.
    fn version(&self) -> String;

    /// What one has to know beside its figures: how it is configured, and what is not equal. One sentence each.
    fn caveats(&self) -> Vec<String>;

    /// All measurements of one round, on fresh servers.
    ///
    /// # Errors
    ///
    /// When something fails; what was recorded before that counts.
    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError>;
}

/// The systems that there are, in the order in which they are measured and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Name {
    Fio,
    Nginx,
    #[value(name = "stemedb")]
    StemeDb,
    Redis,
    Postgres,
    Etcd,
    Nats,
    Sqlite,
}

impl Name {
    /// All of them.
    pub const ALL: &[Name] = &[
        Name::Fio,
        Name::Nginx,
        Name::StemeDb,
        Name::Redis,
        Name::Postgres,
        Name::Etcd,
        Name::Nats,
        Name::Sqlite,
    ];

    /// The system of that name.
    pub fn system(self, programs: &Programs) -> Box<dyn System> {
        match self {
            Name::Fio => Box::new(fio::Fio),
            Name::Nginx => Box::new(nginx::Nginx),
            Name::StemeDb => Box::new(stemedb::StemeDb::new(&programs.stemedb)),
            Name::Redis => Box::new(redis::Redis),
            Name::Postgres => Box::new(postgres::Postgres::find()),
            Name::Etcd => Box::new(etcd::Etcd),
            Name::Nats => Box::new(nats::Nats::find()),
            Name::Sqlite => Box::new(sqlite::Sqlite::new(&programs.bench)),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Name::Fio => "fio",
            Name::Nginx => "nginx",
            Name::StemeDb => "StemeDB",
            Name::Redis => "Redis",
            Name::Postgres => "PostgreSQL",
            Name::Etcd => "etcd",
            Name::Nats => "NATS",
            Name::Sqlite => "SQLite",
        })
    }
}

/// The programs that are this project's own.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The server, `stemedb-api`.
    pub stemedb: PathBuf,
    /// The benchmark itself, `stemedb-bench`: it runs SQLite, which has no server, in a process of its own.
    pub bench: PathBuf,
}

/// Takes what is measured of one system in one round.
pub struct Record<'a> {
    measured: BTreeMap<Experiment, Measurement>,
    announce: &'a mut dyn FnMut(Experiment),
}

impl<'a> Record<'a> {
    /// An empty one, which calls `announce` when an experiment begins.
    pub fn new(announce: &'a mut dyn FnMut(Experiment)) -> Record<'a> {
        Record { measured: BTreeMap::new(), announce }
    }

    /// Runs an experiment and keeps what it gives.
    fn take<E>(
        &mut self,
        experiment: Experiment,
        measure: impl FnOnce() -> Result<Measurement, E>,
    ) -> Result<(), E> {
        (self.announce)(experiment);
        let measurement = measure()?;
        self.measured.insert(experiment, measurement);
        Ok(())
    }

    /// What was kept so far.
    pub fn measured(&self) -> &BTreeMap<Experiment, Measurement> {
        &self.measured
    }

    /// All that was kept.
    pub fn into_measured(self) -> BTreeMap<Experiment, Measurement> {
        self.measured
    }
}

/// Why a system could not be measured.
#[derive(Debug, Error)]
pub enum SystemError {
    /// Its program failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It did not answer as it should.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not tell what it is asked.
    #[error(transparent)]
    Get(#[from] GetError),
    /// A file or a socket failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It, or its disk, was held up for as long as it was to be measured.
    #[error("nothing was answered while it was measured: measure for longer (--seconds)")]
    Unanswered,
    /// It did something that it should not have.
    #[error("{0}")]
    Wrong(String),
}

impl SystemError {
    /// For `map_err`: what was being done when an input or output failed.
    fn io(what: &'static str) -> impl Fn(io::Error) -> SystemError {
        move |source| SystemError::Io { what, source }
    }
}

/// The first line that a program prints with these arguments; empty when there is none.
fn first_line(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let Ok(output) = std::process::Command::new(program).args(arguments).output() else {
        return String::new();
    };
    // Some say it on standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}

/// The program's file, if it is on the `PATH` or where Debian keeps those of administrators.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Says so when the program is not there.
fn missing_program(name: &str) -> Option<String> {
    if find_program(name).is_some() { None } else { Some(format!("{name} is not installed")) }
}
