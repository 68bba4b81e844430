//! Single requests to a server's own interface, not measured.

use std::net::SocketAddr;
use std::time::Duration;

use ureq::Agent;

use super::SystemError;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The body of what is at `path`, which has to be answered with 200.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<String, SystemError> {
    let wrong = |error: ureq::Error| SystemError::Wrong(format!("GET {path}: {error}"));
    let agent = Agent::config_builder().proxy(None).timeout_global(Some(ANSWER_TIME_MAX)).build().new_agent();
    agent
        .get(format!("http://{address}{path}"))
        .call()
        .map_err(wrong)?
        .body_mut()
        .read_to_string()
        .map_err(wrong)
}
