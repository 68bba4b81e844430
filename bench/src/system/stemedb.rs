//! StemeDB itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use stemedb_engine::ring::CpuSet;

use super::drive::drive;
use super::experiment::{Beside, Experiment, Measurement, Quantity};
use super::site::{SERVER_CPU, START_TIME_MAX};
use super::{Name, Record, Site, System, SystemError, first_line};
use crate::client::get::get;
use crate::client::{Operation, StemeDb as Client};
use crate::load::{self, Load, LoadError, Outcome, Pacing};
use crate::process::{self, Directory, Program, Running};
use crate::workload::{Mix, RunId, Workload};

/// Connections that send batches.
const BATCH_CONNECTIONS: u32 = 8;

/// Connections that send large claims, and the size of those: close to the largest that there are.
const LARGE_CONNECTIONS: u32 = 16;
const LARGE_CLAIM_BYTES: usize = 60 << 10;

/// Connections of all other loads that do not say otherwise.
const CONNECTIONS: u32 = 64;

/// Subtree queries a second beside writes, over so many connections.
const SUBTREES_PER_S: f64 = 1000.0;
const SUBTREE_CONNECTIONS: u32 = 16;

/// `stemedb-api`.
#[derive(Debug)]
pub(super) struct StemeDb {
    program: PathBuf,
}

/// A server that runs, and where its data is.
struct Server {
    // Before the directory, so that it ends before that is removed.
    running: Running,
    address: SocketAddr,
    directory: Directory,
}

impl StemeDb {
    pub(super) fn new(program: &Path) -> StemeDb {
        StemeDb { program: program.to_owned() }
    }

    /// A fresh server with one core on the CPU of servers.
    fn start(&self, site: &Site) -> Result<Server, SystemError> {
        self.start_with(site, 1, Site::server_cpus(), &[])
    }

    fn start_with(
        &self,
        site: &Site,
        cores: u32,
        cpus: CpuSet,
        settings: &[(&str, &str)],
    ) -> Result<Server, SystemError> {
        let directory = site.directory()?;
        let address = process::free_address().map_err(SystemError::io("a port"))?;
        let mut program = self.configure(directory.path(), address, cores, cpus);
        for (name, value) in settings {
            program = program.env(name, *value);
        }
        let running = start(program, address)?;
        Ok(Server { running, address, directory })
    }

    /// Starts it again on the data of a server that has ended.
    fn restart(&self, server: &mut Server) -> Result<(), SystemError> {
        let Server { address, directory, .. } = &*server;
        server.running = start(self.configure(directory.path(), *address, 1, Site::server_cpus()), *address)?;
        Ok(())
    }

    fn configure(&self, directory: &Path, address: SocketAddr, cores: u32, cpus: CpuSet) -> Program {
        Program::new(&self.program, directory, cpus)
            .env("STEMEDB_BIND_ADDR", address.to_string())
            .env("STEMEDB_WAL_DIR", directory.join("wal"))
            .env("STEMEDB_DB_DIR", directory.join("db"))
            .env("STEMEDB_CORES", cores.to_string())
    }

    fn measure_writes(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let server = self.start(site)?;
        for connections in [1, 16, 64, 256] {
            record.take(Experiment::Write(connections), || {
                server.drive(site, Pacing::Closed, connections, &asserts())
            })?;
        }
        Ok(())
    }

    fn measure_batches(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let mut server = self.start(site)?;
        record.take(Experiment::Batch(BATCH_CONNECTIONS), || {
            server.drive(site, Pacing::Closed, BATCH_CONNECTIONS, &batches())
        })?;
        record.take(Experiment::Query(CONNECTIONS), || {
            server.drive(site, Pacing::Closed, CONNECTIONS, &only(Operation::Query))
        })?;
        record.take(Experiment::Recovery, || self.recover(&mut server))
    }

    /// Kills the server and starts it again: the time until it serves all that it had, by this clock.
    fn recover(&self, server: &mut Server) -> Result<Measurement, SystemError> {
        let counted = server.claims()?;
        server.running.kill();
        let started = Instant::now();
        self.restart(server)?;
        let elapsed = started.elapsed();
        let claims = server.claims()?;
        // Batches whose sender had gone may have been stored after they were counted.
        if claims < counted {
            return Err(SystemError::Wrong(format!("{counted} claims before kill -9, {claims} after")));
        }
        Ok(Measurement::default()
            .with(Quantity::PerSecond, claims as f64 / elapsed.as_secs_f64())
            .with(Quantity::Claims, claims as f64)
            .with(Quantity::ResidentBytesAClaim, server.running.resident_bytes()? as f64 / claims as f64))
    }

    fn measure_large_claims(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let server = self.start(site)?;
        let workload = Workload { claim_bytes: LARGE_CLAIM_BYTES, ..asserts() };
        record.take(Experiment::Large(LARGE_CONNECTIONS), || {
            let (before, started) = (server.metric("stemedb_wal_bytes_written_total")?, Instant::now());
            let measurement = server.drive(site, Pacing::Closed, LARGE_CONNECTIONS, &workload)?;
            let elapsed = started.elapsed();
            let written = server.metric("stemedb_wal_bytes_written_total")? - before;
            Ok::<_, SystemError>(
                measurement.with(Quantity::DiskBytesPerSecond, written / elapsed.as_secs_f64()),
            )
        })
    }

    fn measure_half_rate(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let write = record.measured().get(&Experiment::Write(CONNECTIONS));
        let Some(rate) = write.and_then(|measurement| measurement.value(Quantity::PerSecond)) else {
            return Err(SystemError::Wrong("there is no rate to halve".to_owned()));
        };
        let pacing = Pacing::Open { rate_per_s: rate / 2.0 };
        let server = self.start(site)?;
        // Something for the subtree queries to find.
        server.fill(site)?;
        record.take(Experiment::HalfRate(Beside::Nothing), || {
            server.drive(site, pacing, CONNECTIONS, &asserts())
        })?;
        record.take(Experiment::HalfRateQuery, || {
            server.drive(site, pacing, CONNECTIONS, &only(Operation::Query))
        })?;
        record.take(Experiment::HalfRate(Beside::Scrapes), || {
            let (measurement, scrapes) = server.drive_beside(site, pacing, || server.scrape(site))?;
            Ok::<_, SystemError>(measurement.with(Quantity::BesidePerSecond, scrapes?))
        })?;
        record.take(Experiment::HalfRate(Beside::Subtrees), || {
            let (measurement, outcome) = server.drive_beside(site, pacing, || server.ask_subtrees(site))?;
            let rate = outcome?.requests_per_s(Operation::Subtree);
            Ok::<_, SystemError>(measurement.with(Quantity::BesidePerSecond, rate))
        })
    }

    /// The cost of sharing: one core and two, both with the run of both CPUs. Without spinning, which takes all the CPU that
    /// nobody else wants, and so says nothing of what a request costs.
    fn measure_cores(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        for cores in [1, 2] {
            let cpus = CpuSet::from_iter([SERVER_CPU, SERVER_CPU + 1]);
            let server = self.start_with(site, cores, cpus, &[("STEMEDB_SPIN_US", "0")])?;
            record.take(Experiment::Cores(cores), || {
                server.drive(site, Pacing::Closed, CONNECTIONS, &asserts())
            })?;
        }
        Ok(())
    }

    /// Fills a server with small claims and looks at its memory, before and after a restart.
    fn measure_memory(&self, site: &Site, claims: u64, record: &mut Record<'_>) -> Result<(), SystemError> {
        let mut server = self.start(site)?;
        record.take(Experiment::Memory, || {
            while server.claims()? < claims {
                server.fill(site)?;
            }
            server.memory()
        })?;
        record.take(Experiment::MemoryRestarted, || {
            // Asked to stop, not killed: what is compared is the memory.
            server.running.stop();
            self.restart(&mut server)?;
            server.memory()
        })
    }
}

impl System for StemeDb {
    fn name(&self) -> Name {
        Name::StemeDb
    }

    fn packages(&self) -> &'static [&'static str] {
        &[]
    }

    fn missing(&self) -> Option<String> {
        let program = self.program.display();
        let missing = || format!("there is no {program}: cargo build --release --bin stemedb-api");
        if self.program.is_file() { None } else { Some(missing()) }
    }

    fn version(&self) -> String {
        first_line(&self.program, &["--version"])
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "StemeDB: one core. Claims of 200 bytes over 100 000 subjects, no two alike; each is checked, hashed, indexed and durable \
             before it is answered."
                .to_owned(),
            format!(
                "Half rate is half of what the closed loop with {CONNECTIONS} connections reached in the same round, not of a \
                 searched knee. The generators of subtree queries and scrapes share CPU 1 with that of the writes, whose p99 \
                 has their turns in it."
            ),
            "Recovery counts from the start of the process until /ready says 200, so it holds the process's start, too.".to_owned(),
            "Point queries at the half rate write nothing: their p99 is what the machine itself makes of an open loop at that \
             rate."
                .to_owned(),
            "Cores: the server may run on both CPUs, and shares CPU 1 with the load; it does not spin (STEMEDB_SPIN_US=0). \
             Two cores have two lanes, so each of their frames has fewer claims."
                .to_owned(),
            "Resident bytes are of the whole process.".to_owned(),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        self.measure_writes(site, record)?;
        self.measure_batches(site, record)?;
        self.measure_large_claims(site, record)?;
        self.measure_half_rate(site, record)?;
        self.measure_cores(site, record)?;
        match site.memory_claims {
            Some(claims) => self.measure_memory(site, claims, record),
            None => Ok(()),
        }
    }
}

impl Server {
    fn drive(
        &self,
        site: &Site,
        pacing: Pacing,
        connections: u32,
        workload: &Workload,
    ) -> Result<Measurement, SystemError> {
        let clients = Client::connections(workload, self.address, connections);
        drive(site, &self.running, self.address, pacing, clients)
    }

    /// Drives single writes while another thread does something, which ends at about the same time.
    fn drive_beside<T: Send>(
        &self,
        site: &Site,
        pacing: Pacing,
        beside: impl FnOnce() -> T + Send,
    ) -> Result<(Measurement, T), SystemError> {
        thread::scope(|scope| {
            let other = scope.spawn(beside);
            let measurement = self.drive(site, pacing, CONNECTIONS, &asserts());
            let result = other.join().expect("the other load does not panic");
            Ok((measurement?, result))
        })
    }

    /// Reads the metrics each second while load runs. Gives how often a second.
    fn scrape(&self, site: &Site) -> Result<f64, SystemError> {
        let (started, whole) = (Instant::now(), site.warm_up + site.duration);
        let mut scrapes = 0;
        while started.elapsed() < whole {
            get(self.address, "/metrics")?;
            scrapes += 1;
            let next = Duration::from_secs(1) * scrapes;
            thread::sleep(next.min(whole).saturating_sub(started.elapsed()));
        }
        Ok(f64::from(scrapes) / started.elapsed().as_secs_f64())
    }

    fn ask_subtrees(&self, site: &Site) -> Result<Outcome, LoadError> {
        let load = Load {
            address: self.address,
            depth: 1,
            pacing: Pacing::Open { rate_per_s: SUBTREES_PER_S },
            warm_up: site.warm_up,
            duration: site.duration,
        };
        load::run(&load, Client::connections(&only(Operation::Subtree), self.address, SUBTREE_CONNECTIONS))
    }

    /// Stores as many claims as batches can in a second.
    fn fill(&self, site: &Site) -> Result<(), SystemError> {
        let second = Site { warm_up: Duration::ZERO, duration: Duration::from_secs(1), ..site.clone() };
        self.drive(&second, Pacing::Closed, BATCH_CONNECTIONS, &batches()).map(|_| ())
    }

    /// How many claims there are, and what each takes of the memory.
    fn memory(&self) -> Result<Measurement, SystemError> {
        let (claims, bytes) = (self.claims()? as f64, self.running.resident_bytes()? as f64);
        Ok(Measurement::default()
            .with(Quantity::Claims, claims)
            .with(Quantity::ResidentBytesAClaim, bytes / claims))
    }

    fn claims(&self) -> Result<u64, SystemError> {
        Ok(self.metric("stemedb_assertions_total")? as u64)
    }

    /// A metric without labels.
    fn metric(&self, name: &str) -> Result<f64, SystemError> {
        let metrics = get(self.address, "/metrics")?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| SystemError::Wrong(format!("the metrics have no {name}")))
    }
}

fn start(program: Program, address: SocketAddr) -> Result<Running, SystemError> {
    Ok(program.start(START_TIME_MAX, || get(address, "/ready").is_ok())?)
}

fn asserts() -> Workload {
    Workload::new(RunId::unique())
}

fn only(operation: Operation) -> Workload {
    Workload { mix: Mix::only(operation), ..asserts() }
}

fn batches() -> Workload {
    only(Operation::Batch)
}
