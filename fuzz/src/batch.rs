//! Batches: what becomes of each line follows from the line, however the body comes in and however many cores there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;
use stemedb_net::api::{BatchFormat, ERRORS_SHOWN_MAX, blank_bytes, is_blank};

use crate::program::{Pieces, Program};
use crate::world::{BODY_BYTES_MAX, World};

/// The path of batches.
const PATH: &str = "/v1/assert/batch";

/// Bytes of claims that may wait for the disk: so few that a batch of some claims pauses, and so many that it need not.
const OPEN_BYTES_MAX: [usize; 4] = [400, 2_000, 16_000, 1 << 20];

/// The body of a batch, behind four bytes that say how it comes in: the count, the errors and what is stored are those of
/// the same claims asserted one by one; of a batch that breaks off, its whole lines are stored.
pub fn batch(input: &[u8]) {
    let mut program = Program::new(input);
    let delivery = Delivery::read(&mut program);
    let break_share = usize::from(program.byte());
    let body = program.rest;

    let mut one_by_one = World::new(1, 1 << 20);
    let plain = Delivery { cores: 1, is_chunked: false, disk_is_on: true, piece_seed: None, ..delivery };
    let Some(claims) = claims_of(body) else {
        let (answer, stored) = plain.send(body);
        assert_eq!(answer["error"]["code"].as_str().map(|_| stored.len()), Some(0), "{answer}");
        let (again, stored) = delivery.send(body);
        assert_eq!((again, stored.len()), (answer, 0), "the delivery changed the answer");
        return;
    };
    let outcomes: Vec<Outcome> = claims
        .iter()
        .map(|claim| Outcome::of(&one_by_one.post(0, "/v1/assert", delivery.agent, claim.text)))
        .collect();
    let stored = listed(&mut one_by_one);
    let expected = summary(&claims, &outcomes);
    for (name, delivery) in [("whole", plain), ("in pieces", delivery)] {
        let (answer, found) = delivery.send(body);
        assert_eq!(without_overlong(answer), expected, "{name}: {:?}", String::from_utf8_lossy(body));
        assert_eq!(found, stored, "{name}: other claims are stored");
    }

    let broken_at = body.len() * break_share / 256;
    if broken_at < body.len() {
        let is_array = BatchFormat::of(body) == Some(BatchFormat::Array);
        let came_in = |claim: &&Claim<'_>| !is_array && claim.end < broken_at;
        let before = claims.iter().take_while(came_in).count();
        let hashes: BTreeSet<&str> = outcomes[..before].iter().filter_map(Outcome::hash).collect();
        let found = delivery.break_off(body, broken_at);
        let found: BTreeSet<&str> = found.iter().map(Row::hash).collect();
        assert_eq!(
            found,
            hashes,
            "broken off after {broken_at} bytes of {:?}",
            String::from_utf8_lossy(body)
        );
    }
}

/// How a batch comes in.
#[derive(Clone, Copy)]
struct Delivery {
    cores: u16,
    open_bytes_max: usize,
    is_chunked: bool,
    disk_is_on: bool,
    /// Field lines that name the agent.
    agent: &'static str,
    /// Pieces follow from it; without one all comes at once.
    piece_seed: Option<u8>,
}

impl Delivery {
    fn read(program: &mut Program<'_>) -> Delivery {
        let piece_seed = Some(program.byte());
        let flags = program.byte();
        let agent = program.pick(&[
            "",
            "",
            "x-agent-id: alice\r\n",
            concat!("x-agent-id: ", "0123456789abcdef", "\r\n"),
        ]);
        Delivery {
            cores: 1 + u16::from(flags) % 3,
            open_bytes_max: OPEN_BYTES_MAX[usize::from(flags >> 2) % OPEN_BYTES_MAX.len()],
            is_chunked: flags & 0x10 != 0,
            disk_is_on: flags & 0x20 == 0,
            agent,
            piece_seed,
        }
    }

    /// Sends a batch to a new server. Gives the answer and what is stored then.
    fn send(&self, body: &[u8]) -> (Value, Vec<Row>) {
        let mut world = World::new(self.cores, self.open_bytes_max);
        world.set_disk(self.disk_is_on);
        let client = world.connect(usize::from(self.cores) - 1);
        let request = self.request(body);
        match self.piece_seed {
            Some(seed) => Pieces::new(&request, seed).for_each(|piece| world.send(client, piece)),
            None => world.send(client, &request),
        }
        let response = world.response(client);
        world.leave(client);
        let answer: Value = serde_json::from_str(&response.body).expect("answers are JSON");
        assert_eq!(response.status == 200, answer.get("error").is_none(), "{}: {answer}", response.status);
        assert!(response.status < 500, "{answer}");
        let stored = listed(&mut world);
        assert_eq!(stored.len() as u64, answer["accepted"].as_u64().unwrap_or(0), "{answer}");
        (answer, stored)
    }

    /// Sends the first `bytes` of a batch and breaks the connection. Gives what is stored then.
    fn break_off(&self, body: &[u8], bytes: usize) -> Vec<Row> {
        let mut world = World::new(self.cores, self.open_bytes_max);
        world.set_disk(self.disk_is_on);
        let client = world.connect(0);
        let request = Delivery { is_chunked: false, ..*self }.request(body);
        let came_in = &request[..request.len() - (body.len() - bytes)];
        Pieces::new(came_in, self.piece_seed.unwrap_or(1)).for_each(|piece| world.send(client, piece));
        world.rest();
        world.leave(client);
        listed(&mut world)
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\n{}", self.agent).into_bytes();
        if !self.is_chunked {
            let length = format!("content-length: {}\r\n\r\n", body.len());
            return [&head, length.as_bytes(), body].concat();
        }
        let mut request = [&head[..], b"transfer-encoding: chunked\r\n\r\n"].concat();
        for chunk in Pieces::new(body, self.piece_seed.unwrap_or(0).wrapping_add(7)) {
            request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend_from_slice(chunk);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"0\r\n\r\n");
        request
    }
}

/// One claim of a batch, good or bad.
struct Claim<'b> {
    /// Its line, or its place in the array, from 1.
    line: u64,
    text: &'b [u8],
    /// Where its line ends, in bytes from the beginning of the body.
    end: usize,
}

/// The claims of a batch; `None` for an array that cannot be read at all.
fn claims_of(body: &[u8]) -> Option<Vec<Claim<'_>>> {
    if BatchFormat::of(body) == Some(BatchFormat::Array) {
        // White space before an array is no part of it.
        let array = &body[blank_bytes(body)..];
        let elements: Vec<&RawValue> = serde_json::from_slice(array).ok()?;
        let texts = elements.iter().map(|element| element.get().as_bytes());
        let is_read = array.len() <= BODY_BYTES_MAX
            && stemedb_net::json::Reader::new(BODY_BYTES_MAX).parse(array).is_ok();
        let claim = |(line, text)| Claim { line, text, end: body.len() };
        return is_read.then(|| (1..).zip(texts).map(claim).collect());
    }
    let mut end = 0;
    let lines = (1..).zip(body.split(|byte| *byte == b'\n')).map(|(line, text)| {
        end += text.len() + 1;
        Claim { line, text, end: end - 1 }
    });
    // Blank lines before everything else have no bound, others are too long before it is known that they are blank.
    let begin = blank_bytes(body);
    let is_overlong = |claim: &Claim<'_>| claim.text.len() > BODY_BYTES_MAX && claim.end > begin;
    Some(lines.filter(|claim| is_overlong(claim) || !is_blank(claim.text)).collect())
}

/// What became of a claim that was asserted by itself.
enum Outcome {
    Created(String),
    Exists(String),
    /// The error that the answer holds.
    Refused(Value),
}

impl Outcome {
    fn of(response: &crate::world::Response) -> Outcome {
        let mut answer: Value = serde_json::from_str(&response.body).expect("answers are JSON");
        let hash = answer["hash"].as_str().map(str::to_owned);
        match (response.status, hash) {
            (201, Some(hash)) => Outcome::Created(hash),
            (200, Some(hash)) => Outcome::Exists(hash),
            (400..500, None) => Outcome::Refused(answer["error"].take()),
            (status, _) => panic!("a claim was answered with {status}: {answer}"),
        }
    }

    fn hash(&self) -> Option<&str> {
        match self {
            Outcome::Created(hash) | Outcome::Exists(hash) => Some(hash),
            Outcome::Refused(_) => None,
        }
    }
}

/// The answer to a batch whose claims had these outcomes one by one.
fn summary(claims: &[Claim<'_>], outcomes: &[Outcome]) -> Value {
    let (mut accepted, mut exists) = (0, 0);
    let mut errors = Vec::new();
    for (claim, outcome) in claims.iter().zip(outcomes) {
        match outcome {
            Outcome::Created(_) => accepted += 1,
            Outcome::Exists(_) => exists += 1,
            Outcome::Refused(error) => {
                let mut error = error.clone();
                error["line"] = claim.line.into();
                errors.push(error);
            }
        }
    }
    let rejected = errors.len();
    errors.truncate(ERRORS_SHOWN_MAX);
    let summary = serde_json::json!({
        "accepted": accepted, "exists": exists, "rejected": rejected, "errors": errors,
    });
    without_overlong(summary)
}

/// An answer without the sentences about lines that are too long: one speaks of a body, the other of a line.
fn without_overlong(mut answer: Value) -> Value {
    for error in answer["errors"].as_array_mut().into_iter().flatten() {
        if error["code"] == "body_too_large" {
            error["message"] = Value::Null;
        }
    }
    answer
}

/// All claims that a server holds, as a query lists them, in the order of their hashes.
fn listed(world: &mut World) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/v1/query?concept_path=*&lifecycle=any&limit=10000{cursor}");
        let response = world.get(0, target.as_bytes());
        assert_eq!(response.status, 200, "{}", response.body);
        // Values are not looked into: a claim may hold a number that no f64 does.
        let page: BTreeMap<&str, &RawValue> = serde_json::from_str(&response.body).expect("answers are JSON");
        let listed: Vec<&RawValue> =
            serde_json::from_str(page["assertions"].get()).expect("a page has a list");
        rows.extend(listed.iter().map(|row| Row(row.get().to_owned())));
        match page.get("cursor") {
            Some(text) => cursor = format!("&cursor={}", text.get().trim_matches('"')),
            None => break,
        }
    }
    assert_eq!(rows.len() as u64, world.claims(), "a query for everything finds everything");
    rows.sort();
    rows
}

/// A claim as a query lists it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row(String);

impl Row {
    fn hash(&self) -> &str {
        let hash = self.0.strip_prefix("{\"hash\":\"").and_then(|rest| rest.split('"').next());
        hash.expect("a row begins with its hash")
    }
}
