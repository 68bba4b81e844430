//! etcd, a cluster of one.

use super::drive::drive;
use super::experiment::Experiment;
use super::site::START_TIME_MAX;
use super::{Name, Record, Site, System, SystemError, first_line, missing_program};
use crate::client::get::get;
use crate::client::{Etcd as Client, Rows};
use crate::load::Pacing;
use crate::process::{Program, free_address};
use crate::workload::{RunId, Workload};

const CONNECTIONS: u32 = 64;

/// Room for all that is written in a round.
const QUOTA_BYTES: u64 = 8 << 30;

/// `etcd`.
#[derive(Debug)]
pub(super) struct Etcd;

impl System for Etcd {
    fn name(&self) -> Name {
        Name::Etcd
    }

    fn packages(&self) -> &'static [&'static str] {
        &["etcd-server"]
    }

    fn missing(&self) -> Option<String> {
        missing_program("etcd")
    }

    fn version(&self) -> String {
        first_line("etcd", &["--version"])
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "etcd: puts through its own protocol, gRPC, one call at a time on each connection; a cluster of one. It keeps \
             every version of a key, in a log and in a B+ tree on disk."
                .to_owned(),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        let address = free_address().map_err(SystemError::io("a port"))?;
        let peer_address = free_address().map_err(SystemError::io("a port"))?;
        let (url, peer_url) = (format!("http://{address}"), format!("http://{peer_address}"));
        let server = Program::new("etcd", directory.path(), Site::server_cpus())
            .args(["--data-dir", "data", "--log-level", "error"])
            .args(["--quota-backend-bytes", &QUOTA_BYTES.to_string()])
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}")])
            .start(START_TIME_MAX, || {
                get(address, "/health").is_ok_and(|health| health.contains("\"true\""))
            })?;
        record.take(Experiment::Write(CONNECTIONS), || {
            let workload = Workload::new(RunId::unique());
            let clients = (0..CONNECTIONS).map(|number| Client::new(Rows::new(&workload, number)));
            drive(site, &server, address, Pacing::Closed, clients.collect())
        })
    }
}
