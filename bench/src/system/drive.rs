//! One experiment: a server under load.

use std::net::SocketAddr;
use std::time::Instant;

use super::experiment::{Measurement, Quantity};
use super::{Site, SystemError};
use crate::client::Client;
use crate::load::{self, Load, Outcome, Pacing};
use crate::process::Running;

/// Puts a load on a server and measures both. The clients have one request unanswered each.
pub(super) fn drive<C: Client>(
    site: &Site,
    server: &Running,
    address: SocketAddr,
    pacing: Pacing,
    clients: Vec<C>,
) -> Result<Measurement, SystemError> {
    let load = Load { address, depth: 1, pacing, warm_up: site.warm_up, duration: site.duration };
    let (cpu_before, started) = (server.cpu_time(), Instant::now());
    let outcome = load::run(&load, clients)?;
    let (cpu, elapsed) = (server.cpu_time().saturating_sub(cpu_before), started.elapsed());
    let units: u64 = outcome.units_answered.values().sum();
    let mut measurement = measurement_of(&outcome)?
        .with(Quantity::ServerCpus, cpu.as_secs_f64() / elapsed.as_secs_f64())
        // The whole run on both sides of the fraction, so that its edges do not matter.
        .with(Quantity::ServerCpuUs, cpu.as_secs_f64() * 1e6 / units as f64);
    measurement.strays = server.strays();
    Ok(measurement)
}

/// The numbers of a run with one kind of request.
fn measurement_of(outcome: &Outcome) -> Result<Measurement, SystemError> {
    let (operation, measured) = outcome.operations.first_key_value().ok_or(SystemError::Unanswered)?;
    if measured.requests == 0 {
        return Err(SystemError::Unanswered);
    }
    let us_at = |quantile| measured.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    let measurement = Measurement::default()
        .with(Quantity::PerSecond, outcome.units_per_s(*operation))
        .with(Quantity::P50Us, us_at(0.5))
        .with(Quantity::P99Us, us_at(0.99))
        .with(Quantity::LoadCpus, outcome.cpu_share());
    let is_open = outcome.due > 0;
    if !is_open {
        return Ok(measurement);
    }
    Ok(measurement
        .with(Quantity::Unanswered, outcome.unanswered as f64)
        .with(Quantity::LatenessP99Us, outcome.lateness_ns.value_at_quantile(0.99) as f64 / 1e3))
}
