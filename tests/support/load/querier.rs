//! Clients that look for what others have written.

use std::io;

use serde::Deserialize;
use serde_json::json;

use super::worker::Worker;
use crate::Client;
use crate::claims::Row;
use crate::history::Name;

#[derive(Debug, Deserialize)]
struct Page {
    assertions: Vec<Row>,
    cursor: Option<String>,
}

/// Asks for claims that were acknowledged a moment ago, and for all of one writer's.
pub(super) fn queries(worker: &mut Worker<'_>) -> io::Result<()> {
    let mut client = worker.connect()?;
    while !worker.is_stopped() {
        let Some(name) = an_acknowledged(worker) else {
            std::thread::yield_now();
            // So that a client that finds nothing yet notices that the server has ended.
            client.get("/v1/health")?;
            continue;
        };
        match worker.random.once_in(8) {
            true => query_writer(worker, &mut client, name)?,
            false => query(worker, &mut client, &name.path(), |_| vec![name])?,
        }
    }
    Ok(())
}

fn query_writer(worker: &Worker<'_>, client: &mut Client, name: Name) -> io::Result<()> {
    let path = format!("history/{}/{}/*", name.round, name.writer);
    query(worker, client, &path, |acknowledged| {
        let of_writer = |other: &&Name| (other.round, other.writer) == (name.round, name.writer);
        acknowledged.iter().filter(of_writer).copied().collect()
    })
}

/// Sends one query. If its answer is complete, it must have the claims that `wanted` chooses of those that were
/// acknowledged before.
fn query(
    worker: &Worker<'_>,
    client: &mut Client,
    path: &str,
    wanted: impl FnOnce(&[Name]) -> Vec<Name>,
) -> io::Result<()> {
    let wanted = wanted(&worker.load.acknowledged.lock().expect("no thread panics with the lock"));
    let asked = worker.load.history.now();
    let query = json!({"concept_path": path, "limit": 10_000, "include_retracted": true});
    let response = client.post("/v1/query", query.to_string())?;
    if response.status != 200 {
        let code = response.error_code();
        let is_expected = worker.load.mix.codes_of_queries.contains(&code.as_str());
        match is_expected || worker.is_expected(&code) {
            true => worker.count_expected(&code),
            false => worker.load.history.unexpected(format!("a query was answered with {response:?}")),
        }
        return Ok(());
    }
    let page: Page = serde_json::from_slice(&response.body).expect("a page of claims");
    let wanted = if page.cursor.is_none() { &wanted[..] } else { &[] };
    worker.load.history.seen(&page.assertions, wanted, asked);
    Ok(())
}

fn an_acknowledged(worker: &mut Worker<'_>) -> Option<Name> {
    let acknowledged = worker.load.acknowledged.lock().expect("no thread panics with the lock");
    let last = (acknowledged.len() as u64).checked_sub(1)?;
    Some(acknowledged[worker.random.within(0..=last) as usize])
}
