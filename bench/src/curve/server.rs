//! The server that is measured: one that runs already, or a fresh one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stemedb_engine::ring::CpuSet;
use thiserror::Error;

use super::distribution::{Distribution, DistributionError};
use crate::client::get::{GetError, get};
use crate::client::health::{HealthError, health};
use crate::process::{self, Directory, ProcessError, Program, Running};

/// How long a fresh server may take until it is ready.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Where the server comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// It runs already. What it uses is not known: it may be on another machine.
    Running(SocketAddr),
    /// It is started, anew and empty for each rate, so that no rate inherits the claims of the ones before.
    Fresh {
        /// The program, `stemedb-api`.
        program: PathBuf,
        /// The CPUs it is bound to, each of which gets a core.
        cpus: CpuSet,
        /// Where its data goes: a directory on a real disk.
        parent: PathBuf,
    },
}

/// Why a server could not be measured.
#[derive(Debug, Error)]
pub enum ServerError {
    /// It does not start, or has ended.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// There is no server.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// It does not tell its metrics.
    #[error(transparent)]
    Metrics(#[from] GetError),
    /// Its metrics make no sense.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// There is no directory for its data, or no port.
    #[error("{what}: {source}")]
    Io {
        /// What is missing.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    // Before the directory, so that it ends before that is removed.
    running: Option<Running>,
    address: SocketAddr,
    directory: Option<Directory>,
}

/// What a server says and uses at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    /// Claims held.
    pub(super) claims: u64,
    /// Records of each durable write.
    pub(super) records: Distribution,
    /// Time of each durable write, in seconds.
    pub(super) writes: Distribution,
    /// CPU time used so far, and resident memory; unknown where it was not started by this process.
    pub(super) usage: Option<(Duration, u64)>,
}

impl Server {
    /// Starts it, or finds it.
    pub(crate) fn of(source: &Source) -> Result<Server, ServerError> {
        let (program, cpus, parent) = match source {
            Source::Running(address) => {
                return Ok(Server { running: None, address: *address, directory: None });
            }
            Source::Fresh { program, cpus, parent } => (program, cpus, parent),
        };
        let io = |what| move |source| ServerError::Io { what, source };
        let directory = Directory::create_in(parent).map_err(io("no directory for the server's data"))?;
        // What was written before is not this server's to wait for.
        rustix::fs::sync();
        let address = process::free_address().map_err(io("no port for the server"))?;
        let running = Program::new(program, directory.path(), *cpus)
            .env("STEMEDB_BIND_ADDR", address.to_string())
            .env("STEMEDB_WAL_DIR", directory.path().join("wal"))
            .env("STEMEDB_DB_DIR", directory.path().join("db"))
            .env("STEMEDB_CORES", "all")
            .start(START_TIME_MAX, || get(address, "/ready").is_ok())?;
        Ok(Server { running: Some(running), address, directory: Some(directory) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of its version.
    pub(crate) fn version(&self) -> Result<String, ServerError> {
        Ok(health(self.address)?.version)
    }

    /// Its process, if it was started here.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// Where its data is, if it was started here.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_ref().map(Directory::path)
    }

    /// Reads all that is read before and after load.
    pub(super) fn read(&self) -> Result<Reading, ServerError> {
        let metrics = get(self.address, "/metrics")?;
        let usage = match &self.running {
            None => None,
            Some(running) => Some((running.cpu_time(), running.resident_bytes()?)),
        };
        Ok(Reading {
            claims: health(self.address)?.assertion_count,
            records: Distribution::read(&metrics, "stemedb_wal_batch_size")?,
            writes: Distribution::read(&metrics, "stemedb_wal_fsync_latency_seconds")?,
            usage,
        })
    }
}
