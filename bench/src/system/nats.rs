//! NATS JetStream, one server, a stream in a file.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::drive::drive;
use super::experiment::{Experiment, Measurement};
use super::site::START_TIME_MAX;
use super::{Name, Record, Site, System, SystemError, first_line, missing_program};
use crate::client::Rows;
use crate::client::nats::{Nats as Client, create_stream};
use crate::load::Pacing;
use crate::process::{self, Program, free_address};
use crate::workload::{RunId, Workload};

const CONNECTIONS: u32 = 64;

/// What clients publish to, and the stream that keeps it.
const SUBJECT: &str = "claims";
const STREAM: &str = "bench";

/// `nats-server`.
#[derive(Debug)]
pub(super) struct Nats {
    /// Whether this version can make a message durable before it acknowledges it.
    can_sync: bool,
}

impl Nats {
    /// Asks the server whether it knows the setting.
    pub(super) fn find() -> Nats {
        let can_sync = tempfile::tempdir().is_ok_and(|directory| {
            let configuration = directory.path().join("nats.conf");
            let text = configure(directory.path(), SocketAddr::from(([127, 0, 0, 1], 4222)), true);
            let check = || Command::new("nats-server").arg("-t").arg("-c").arg(&configuration).output();
            fs::write(&configuration, text).is_ok() && check().is_ok_and(|output| output.status.success())
        });
        Nats { can_sync }
    }
}

impl System for Nats {
    fn name(&self) -> Name {
        Name::Nats
    }

    fn packages(&self) -> &'static [&'static str] {
        &["nats-server"]
    }

    fn missing(&self) -> Option<String> {
        missing_program("nats-server")
    }

    fn version(&self) -> String {
        first_line("nats-server", &["--version"])
    }

    fn caveats(&self) -> Vec<String> {
        let durability = if self.can_sync {
            "sync_interval always"
        } else {
            "NOT DURABLE: this version does not know sync_interval and leaves acknowledged messages to the page cache for up to two \
             minutes, so there is no ratio to it"
        };
        vec![format!(
            "NATS: publish to a stream in a file, acknowledged, one message at a time on each connection; {durability}."
        )]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        let address = free_address().map_err(SystemError::io("a port"))?;
        let configuration = directory.path().join("nats.conf");
        fs::write(&configuration, configure(directory.path(), address, self.can_sync))
            .map_err(SystemError::io("the configuration of NATS"))?;
        let server = Program::new("nats-server", directory.path(), Site::server_cpus())
            .args(["-c".as_ref(), configuration.as_path()])
            .start(START_TIME_MAX, || process::accepts(address))?;
        create_stream(address, STREAM, SUBJECT).map_err(SystemError::io("a stream of NATS"))?;
        let experiment = if self.can_sync {
            Experiment::Write(CONNECTIONS)
        } else {
            Experiment::VolatileWrite(CONNECTIONS)
        };
        record.take(experiment, || -> Result<Measurement, SystemError> {
            let workload = Workload::new(RunId::unique());
            let clients = (0..CONNECTIONS).map(|number| {
                Client::new(Rows::new(&workload, number), SUBJECT, &format!("_INBOX.bench{number}"))
            });
            drive(site, &server, address, Pacing::Closed, clients.collect())
        })
    }
}

fn configure(directory: &Path, address: SocketAddr, does_sync: bool) -> String {
    let sync = if does_sync { "sync_interval: always" } else { "" };
    format!(
        "listen: \"{address}\"\njetstream {{\n  store_dir: \"{}\"\n  {sync}\n}}\n",
        directory.join("data").display()
    )
}
