//! Clients that write claims.

use std::io;

use serde_json::{Value, json};

use super::answer::Expected;
use super::worker::Worker;
use crate::history::Name;
use crate::{Client, http};

const PIPELINE_MAX: u64 = 16;
const BATCH_LINES_MAX: u64 = 40;

/// Of so many claims one is such that the server must refuse it, and of so many one is sent again at once.
const WRONG_ONCE_IN: u64 = 12;
const AGAIN_ONCE_IN: u64 = 8;

/// Of so many batches one is not sent to its end.
const BROKEN_ONCE_IN: u64 = 6;

/// Sends a claim when the last is answered.
pub(super) fn singles(worker: &mut Worker<'_>) -> io::Result<()> {
    let mut client = worker.connect()?;
    for (name, is_there) in worker.again() {
        let expected = if is_there { Expected::Exists } else { Expected::Created };
        single(worker, &mut client, name, expected)?;
    }
    while !worker.is_stopped() {
        let name = worker.next_name(0);
        if worker.random.once_in(WRONG_ONCE_IN) {
            single(worker, &mut client, name, Expected::Refused)?;
            continue;
        }
        let is_there = single(worker, &mut client, name, Expected::Created)?;
        if is_there && worker.random.once_in(AGAIN_ONCE_IN) {
            single(worker, &mut client, name, Expected::Exists)?;
        }
    }
    Ok(())
}

/// Sends one claim. True if it was new.
fn single(worker: &mut Worker<'_>, client: &mut Client, name: Name, expected: Expected) -> io::Result<bool> {
    client.send(&assert_request(worker, name, expected))?;
    let response = client.response()?;
    Ok(worker.answered(name, &response, expected))
}

/// Sends many claims before it reads the first answer.
pub(super) fn pipelines(worker: &mut Worker<'_>) -> io::Result<()> {
    let mut client = worker.connect()?;
    while !worker.is_stopped() {
        let mut requests = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..worker.random.within(1..=PIPELINE_MAX) {
            let wrong = worker.random.once_in(WRONG_ONCE_IN);
            let expected = if wrong { Expected::Refused } else { Expected::Created };
            let name = worker.next_name(0);
            requests.extend(assert_request(worker, name, expected));
            sent.push((name, expected));
        }
        client.send(&requests)?;
        for (name, expected) in sent {
            let response = client.response()?;
            worker.answered(name, &response, expected);
        }
    }
    Ok(())
}

/// Sends each claim on two connections at once: it must be stored once.
pub(super) fn twins(worker: &mut Worker<'_>) -> io::Result<()> {
    let mut clients = [worker.connect()?, worker.connect()?];
    while !worker.is_stopped() {
        let name = worker.next_name(0);
        for client in &mut clients {
            client.send(&assert_request(worker, name, Expected::Either))?;
        }
        let mut created = 0;
        let mut taken = 0;
        for client in &mut clients {
            let response = client.response()?;
            taken += u64::from(response.status < 300);
            created += u64::from(worker.answered(name, &response, Expected::Either));
        }
        if taken == 2 && created != 1 {
            worker.load.history.unexpected(format!("{} was created {created} times", name.path()));
        }
    }
    Ok(())
}

/// Sends NDJSON, some of it with bad lines, and sometimes breaks off.
pub(super) fn batches(worker: &mut Worker<'_>) -> io::Result<()> {
    let mut client = worker.connect()?;
    while !worker.is_stopped() {
        let mut lines = Vec::new();
        for _ in 0..worker.random.within(1..=BATCH_LINES_MAX) {
            lines.push((worker.next_name(0), !worker.random.once_in(WRONG_ONCE_IN)));
        }
        if worker.random.once_in(BROKEN_ONCE_IN) {
            broken_batch(worker, client, &lines)?;
            client = worker.connect()?;
            continue;
        }
        let body = batch_body(worker, &lines);
        let response = match worker.random.once_in(3) {
            true => chunked_batch(&mut client, &body)?,
            false => client.post("/v1/assert/batch", &body)?,
        };
        worker.batch_answered(&lines, &response);
    }
    Ok(())
}

/// The lines of a batch, noted as sent: each with whether it is to be one that must be taken.
pub(super) fn batch_body(worker: &mut Worker<'_>, lines: &[(Name, bool)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, is_valid) in lines {
        let expected = if *is_valid { Expected::Either } else { Expected::Refused };
        body.extend(claim_json(worker, *name, expected).as_bytes());
        body.push(b'\n');
    }
    body
}

const CHUNK_BYTES: usize = 1000;

/// Header fields of a batch whose length is not told beforehand.
const CHUNKED: &str = "POST /v1/assert/batch HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunked_batch(client: &mut Client, body: &[u8]) -> io::Result<crate::Response> {
    client.send(&[CHUNKED.as_bytes(), &http::chunked(body, CHUNK_BYTES)].concat())?;
    client.response()
}

/// Breaks off in the middle of the last line, of which nothing may be stored then.
fn broken_batch(worker: &mut Worker<'_>, mut client: Client, lines: &[(Name, bool)]) -> io::Result<()> {
    let body = batch_body(worker, lines);
    let (last, is_valid) = lines.last().expect("a batch has lines");
    if *is_valid {
        worker.load.history.refused(*last);
    }
    let cut = &body[..body.len() - 2];
    // Without the last chunk, which has no bytes and says that the body ends.
    let mut chunks = http::chunked(cut, CHUNK_BYTES);
    chunks.truncate(chunks.len() - b"0\r\n\r\n".len());
    client.send(&[CHUNKED.as_bytes(), &chunks].concat())?;
    if worker.random.once_in(2) {
        client.reset();
    }
    Ok(())
}

/// A request to store a claim, which is noted as sent.
fn assert_request(worker: &mut Worker<'_>, name: Name, expected: Expected) -> Vec<u8> {
    http::request("POST", "/v1/assert", claim_json(worker, name, expected).as_bytes())
}

fn claim_json(worker: &mut Worker<'_>, name: Name, expected: Expected) -> String {
    let history = worker.load.history;
    history.sent(&[name]);
    let json = history.claim(name).json();
    if expected != Expected::Refused {
        return json;
    }
    // Whatever becomes of the request, nothing of it may be stored.
    history.refused(name);
    let mut object: Value = serde_json::from_str(&json).expect("it was just written");
    match worker.random.within(0..=3) {
        0 => object["confidence"] = json!(1.5),
        1 => object["predicate"] = json!(""),
        2 => object["lifecycle"] = json!("eternal"),
        _ => object["confidense"] = json!(0.5),
    }
    object.to_string()
}
