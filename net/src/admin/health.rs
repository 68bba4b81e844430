//! `stemedb-admin health`.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::ServerOptions;
use super::client::Client;
use super::error::AdminError;
use super::text::printable;

/// Which server `health` asks.
#[derive(Debug, clap::Args)]
pub(super) struct HealthOptions {
    #[command(flatten)]
    server: ServerOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin health
  stemedb-admin health --json | jq .assertion_count
  until stemedb-admin health; do sleep 1; done";

/// Prints what the server says about itself; succeeds only if it is healthy and ready.
pub(super) fn run(as_json: bool, options: &HealthOptions) -> Result<ExitCode, AdminError> {
    let client = Client::new(&options.server)?;
    let mut health: Map<String, Value> = client.read("/v1/health")?.json(client.url())?;
    let Some(status) = health.get("status").and_then(Value::as_str) else {
        return Err(AdminError::Unintelligible {
            url: client.url().to_owned(),
            reason: "a health answer without a status".to_owned(),
        });
    };
    // A server that recovers its log may be healthy and yet not able to answer.
    let ready = client.read("/ready")?.status == 200;
    let succeeds = status == "healthy" && ready;
    health.insert("ready".to_owned(), ready.into());
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", Value::Object(health))?;
    } else {
        for (name, value) in &health {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "{:20} {}", printable(name, 40), printable(&text, 200))?;
        }
    }
    Ok(if succeeds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
