//! PostgreSQL: a row a transaction, committed synchronously, and many rows by `COPY`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::drive::drive;
use super::experiment::Experiment;
use super::site::START_TIME_MAX;
use super::{Name, Record, Site, System, SystemError, find_program, first_line};
use crate::client::postgres::{Postgres as Client, TABLE, USER, Writing};
use crate::client::{Operation, Rows};
use crate::load::Pacing;
use crate::process::{Account, Program, Running, Signal, free_address};
use crate::workload::{Mix, RunId, Workload};

/// Where Debian keeps each version's programs, in a directory of the version's name.
const DEBIAN_VERSIONS: &str = "/usr/lib/postgresql";

/// How long setting up may take.
const SET_UP_TIME_MAX: Duration = Duration::from_secs(120);

const CONNECTIONS: u32 = 64;
const COPY_CONNECTIONS: u32 = 8;

/// `postgres`, if it was found.
#[derive(Debug)]
pub(super) struct Postgres {
    programs: Option<PathBuf>,
}

impl Postgres {
    /// The newest version that is installed.
    pub(super) fn find() -> Postgres {
        let versions = fs::read_dir(DEBIAN_VERSIONS).into_iter().flatten().flatten();
        let numbered = versions.filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("postgres").is_file().then_some((version, programs))
        });
        let debian = numbered.max().map(|(_, programs)| programs);
        let on_path = || find_program("postgres").and_then(|file| Some(file.parent()?.to_owned()));
        Postgres { programs: debian.or_else(on_path) }
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.as_deref().unwrap_or(Path::new("")).join(name)
    }

    /// A fresh server with the table.
    fn start(&self, directory: &Path, address: SocketAddr) -> Result<Running, SystemError> {
        let account = server_account()?;
        if let Some(Account { user, group }) = account {
            std::os::unix::fs::chown(directory, Some(user), Some(group))
                .map_err(SystemError::io("the directory of PostgreSQL"))?;
        }
        let program = |name: &str| {
            let program = Program::new(self.program(name), directory, Site::server_cpus());
            account.iter().fold(program, |program, account| program.as_account(*account))
        };
        let data = directory.join("data");
        program("initdb")
            .args(["-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .args([&data])
            .run(SET_UP_TIME_MAX)?;
        let port = address.port().to_string();
        let settings = [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", directory.display()),
            "fsync=on".to_owned(),
            "synchronous_commit=on".to_owned(),
            "full_page_writes=on".to_owned(),
            "shared_buffers=256MB".to_owned(),
            // No checkpoint in the middle of a measurement.
            "max_wal_size=8GB".to_owned(),
        ];
        let reach = ["-h", "127.0.0.1", "-p", &port];
        let is_ready = || {
            let ready = std::process::Command::new(self.program("pg_isready")).arg("-q").args(reach).status();
            ready.is_ok_and(|status| status.success())
        };
        let server = program("postgres")
            .args(["-D".as_ref(), data.as_path()])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            // SIGINT is its fast shutdown.
            .stopped_by(Signal::INT)
            .start(START_TIME_MAX, is_ready)?;
        let create = format!(
            "CREATE TABLE {TABLE} (subject text NOT NULL, body text NOT NULL); CREATE INDEX ON {TABLE} (subject)"
        );
        program("psql")
            .args(reach)
            .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres", "-c", &create])
            .run(SET_UP_TIME_MAX)?;
        Ok(server)
    }
}

impl System for Postgres {
    fn name(&self) -> Name {
        Name::Postgres
    }

    fn packages(&self) -> &'static [&'static str] {
        &["postgresql"]
    }

    fn missing(&self) -> Option<String> {
        match &self.programs {
            None => Some(format!("there is no postgres in {DEBIAN_VERSIONS} or on the PATH")),
            Some(_) => server_account().err().map(|error| error.to_string()),
        }
    }

    fn version(&self) -> String {
        first_line(self.program("postgres"), &["--version"])
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "PostgreSQL: a table of subject and claim (the same 200 bytes) with one index, on the subject; synchronous_commit and \
             full_page_writes on, 256 MB of shared buffers, no checkpoint while it is measured. Rows are inserted by a prepared \
             statement, one a transaction; COPY is in the text format, 1000 rows a transaction. A process for each connection."
                .to_owned(),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        let address = free_address().map_err(SystemError::io("a port"))?;
        let server = self.start(directory.path(), address)?;
        let clients = |workload: Workload, writing: Writing, connections: u32| {
            (0..connections).map(|number| Client::new(Rows::new(&workload, number), writing)).collect()
        };
        record.take(Experiment::Write(CONNECTIONS), || {
            let clients = clients(Workload::new(RunId::unique()), Writing::Insert, CONNECTIONS);
            drive(site, &server, address, Pacing::Closed, clients)
        })?;
        record.take(Experiment::Batch(COPY_CONNECTIONS), || {
            let workload = Workload { mix: Mix::only(Operation::Batch), ..Workload::new(RunId::unique()) };
            let rows = workload.batch_claims;
            drive(
                site,
                &server,
                address,
                Pacing::Closed,
                clients(workload, Writing::Copy { rows }, COPY_CONNECTIONS),
            )
        })
    }
}

/// Who runs the server, if that is not the one who runs this: PostgreSQL refuses to be run by root.
fn server_account() -> Result<Option<Account>, SystemError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let missing =
        || SystemError::Wrong("PostgreSQL does not run as root, and there is no user postgres".to_owned());
    Account::named("postgres").ok_or_else(missing).map(Some)
}
