//! Single requests to a server's own interface, apart from any load.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use ureq::Agent;

/// A server that has not answered after this time does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server did not answer with 200.
#[derive(Debug, Error)]
#[error("GET http://{address}{path}: {source}")]
pub struct GetError {
    address: SocketAddr,
    path: &'static str,
    source: ureq::Error,
}

/// The body of what is at `path`, asked for on a connection of its own.
///
/// # Errors
///
/// When nobody listens there, or the answer is another than 200.
pub fn get(address: SocketAddr, path: &'static str) -> Result<String, GetError> {
    let agent = Agent::config_builder().proxy(None).timeout_global(Some(PATIENCE)).build().new_agent();
    let answer = agent.get(format!("http://{address}{path}")).call();
    let body = answer.and_then(|mut answer| answer.body_mut().read_to_string());
    body.map_err(|source| GetError { address, path, source })
}
