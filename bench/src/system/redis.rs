//! Redis, with each write in its append-only file, and that on disk, before it is answered.

use super::drive::drive;
use super::experiment::Experiment;
use super::site::START_TIME_MAX;
use super::{Name, Record, Site, System, SystemError, first_line, missing_program};
use crate::client::Redis as Client;
use crate::client::Rows;
use crate::load::Pacing;
use crate::process::{self, Program};
use crate::workload::{RunId, Workload};

/// `redis-server`.
#[derive(Debug)]
pub(super) struct Redis;

impl System for Redis {
    fn name(&self) -> Name {
        Name::Redis
    }

    fn packages(&self) -> &'static [&'static str] {
        &["redis-server"]
    }

    fn missing(&self) -> Option<String> {
        missing_program("redis-server")
    }

    fn version(&self) -> String {
        first_line("redis-server", &["--version"])
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "Redis: SET of the subject to the claim's 200 bytes, appendfsync always, no pipelining, no rewrite of the file. \
             It keeps the last value of each of the 100 000 keys in a hash table; StemeDB keeps every claim, hashed and indexed."
                .to_owned(),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        let address = process::free_address().map_err(SystemError::io("a port"))?;
        let server = Program::new("redis-server", directory.path(), Site::server_cpus())
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            // No rewrite in the middle of a measurement.
            .args(["--auto-aof-rewrite-percentage", "0"])
            .start(START_TIME_MAX, || process::accepts(address))?;
        for connections in [1, 16, 64, 256] {
            let workload = Workload::new(RunId::unique());
            let clients = (0..connections).map(|number| Client::new(Rows::new(&workload, number))).collect();
            record.take(Experiment::Write(connections), || {
                drive(site, &server, address, Pacing::Closed, clients)
            })?;
        }
        Ok(())
    }
}
