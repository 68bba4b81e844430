//! What a StemeDB server says of itself, apart from any load.

use std::net::SocketAddr;

use serde::Deserialize;
use thiserror::Error;

use super::get::{GetError, get};

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
pub enum HealthError {
    /// It did not answer.
    #[error("no StemeDB server says how it is: {0}")]
    Get(#[from] GetError),
    /// It is something else than a StemeDB server.
    #[error("http://{address}/v1/health is not the health of a StemeDB server: {source}")]
    Answer {
        /// Where it was asked.
        address: SocketAddr,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
}

/// Asks the server at an address, on a connection of its own.
///
/// # Errors
///
/// When there is none, or it answers something else.
pub fn health(address: SocketAddr) -> Result<Health, HealthError> {
    let text = get(address, "/v1/health")?;
    serde_json::from_str(&text).map_err(|source| HealthError::Answer { address, source })
}
