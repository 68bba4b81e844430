//! Clients that write groups of claims, over all cores, and retract them.

use std::io;

use serde_json::json;

use super::worker::Worker;
use super::writer::batch_body;
use crate::history::{Group, Name};
use crate::{Client, http};

/// Claims of a group that are there when it is retracted, and the most that are written meanwhile.
const CLAIMS_MAX: u64 = 24;
const MEANWHILE_MAX: u64 = 4;

/// Groups of different clients have different numbers.
const GROUPS_A_CLIENT: u64 = 1_000_000;

/// Writes group after group and retracts each, some a second time.
pub(super) fn retractions(worker: &mut Worker<'_>) -> io::Result<()> {
    let (mut client, mut other) = (worker.connect()?, worker.connect()?);
    let mut number = worker.writer * GROUPS_A_CLIENT;
    while !worker.is_stopped() {
        number += 1;
        let group = Group { round: worker.load.round, number };
        let count = worker.random.within(2..=CLAIMS_MAX);
        if !write(worker, &mut client, group, count)? {
            continue;
        }
        let struck = retract(worker, &mut client, &mut other, group)?;
        if struck.is_some_and(|struck| struck < count) {
            worker.load.history.unexpected(format!(
                "of {count} claims that name {} as their source, only {struck:?} were retracted",
                group.path()
            ));
        }
        if worker.random.once_in(3) {
            retract(worker, &mut client, &mut other, group)?;
        }
    }
    Ok(())
}

/// Writes claims of the group. False if they were not all taken.
fn write(worker: &mut Worker<'_>, client: &mut Client, group: Group, count: u64) -> io::Result<bool> {
    let lines: Vec<(Name, bool)> = (0..count).map(|_| (worker.next_name(group.number), true)).collect();
    let body = batch_body(worker, &lines);
    let response = client.post("/v1/assert/batch", &body)?;
    worker.batch_answered(&lines, &response);
    Ok(response.status == 200 && response.json()["rejected"] == 0)
}

/// Retracts the group, and writes a few more claims of it at the same time. Gives how many claims were retracted, if it
/// was answered with success.
fn retract(
    worker: &mut Worker<'_>,
    client: &mut Client,
    other: &mut Client,
    group: Group,
) -> io::Result<Option<u64>> {
    let retraction = worker.load.history.retraction_sent(group);
    let body = json!({"concept_path": group.path(), "reason": "a test"}).to_string();
    client.send(&http::request("POST", "/v1/retract", body.as_bytes()))?;
    let count = worker.random.within(0..=MEANWHILE_MAX);
    if count > 0 {
        write(worker, other, group, count)?;
    }
    let response = client.response()?;
    if response.status == 200 {
        worker.load.history.retraction_acknowledged(retraction);
        return Ok(response.json()["retracted"].as_u64());
    }
    let code = response.error_code();
    match worker.is_expected(&code) {
        true => {
            if !Worker::is_undecided(&code) {
                worker.load.history.retraction_refused(retraction);
            }
            worker.count_expected(&code);
        }
        false => worker.load.history.unexpected(format!("a retraction was answered with {response:?}")),
    }
    Ok(None)
}
