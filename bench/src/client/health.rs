//! What a StemeDB server says of itself, apart from any load.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use ureq::Agent;

/// A server that has not answered after this time does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to `GET /v1/health`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// The server's version.
    pub version: String,
    /// How many claims it holds.
    pub assertion_count: u64,
    /// How many cores serve.
    pub cores: u16,
}

/// A server did not say how it is.
#[derive(Debug, Error)]
#[error("no StemeDB server says at http://{address}/v1/health how it is: {source}")]
pub struct HealthError {
    address: SocketAddr,
    source: ureq::Error,
}

/// Asks the server at an address, on a connection of its own.
///
/// # Errors
///
/// When there is none, or it answers something else.
pub fn health(address: SocketAddr) -> Result<Health, HealthError> {
    let agent = Agent::config_builder().proxy(None).timeout_global(Some(PATIENCE)).build().new_agent();
    let answer = agent.get(format!("http://{address}/v1/health")).call();
    let health = answer.and_then(|mut answer| {
        let text = answer.body_mut().read_to_string()?;
        serde_json::from_str(&text).map_err(|error| ureq::Error::Other(error.into()))
    });
    health.map_err(|source| HealthError { address, source })
}
