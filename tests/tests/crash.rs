//! Goal: whatever was acknowledged is there after `kill -9`, and nothing is there by half.
//!
//! Method: a server on a data directory that grows is killed at a random moment while 64 connections write, and
//! started again, 50 times, with the number of cores and so of lanes going up and down, and with segments so small
//! that lanes go from one to the next. After each start everything that the server holds is read and compared
//! with what was sent and what was acknowledged. Then everything that was sent without an answer is sent again. Some
//! starts are killed themselves.
//!
//! A second test does the same to retractions, which concern all cores.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use stemedb_engine::checkpoint::{DirManifest, Manifest};
use stemedb_engine::table::DirTables;
use stemedb_tests::claims::{Row, TestClaim};
use stemedb_tests::{Client, Data, Random, Server, Start, http, listing};

const ROUNDS: u64 = 50;
const CONNECTIONS: u64 = 64;

/// Of the connections, those that write batches.
const BATCH_CONNECTIONS: u64 = 6;
const BATCH_CLAIMS_MAX: u64 = 40;

/// The most claims acknowledged in a round before the server is killed.
const ACKNOWLEDGED_MAX: u64 = 350;

/// Every so many rounds values are large, and so many claims more are acknowledged: for each lane, however many
/// there are, more than its first segment holds.
const HEAVY_EVERY: u64 = 17;
const HEAVY_VALUE_BYTES_MAX: u64 = 16_000;
const HEAVY_ACKNOWLEDGED_MORE: u64 = 500;

/// Every so many rounds all that the server holds is listed by one query, page by page.
const ALL_AT_ONCE_EVERY: u64 = 10;

/// Requests sent ahead of their answers where many are asked one after another.
const PIPELINE: usize = 64;

/// Which claim: its text is the subject of the claim, from which all else follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Name {
    round: u64,
    writer: u64,
    number: u64,
}

/// How far a claim that was sent has come, as the client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// No answer came.
    Unanswered,
    /// It is durable. Single claims are answered with their hash.
    Acknowledged(Option<String>),
}

type Ledger = HashMap<Name, Fate>;

impl Name {
    fn path(self) -> String {
        let Name { round, writer, number } = self;
        format!("crash/{round}/{writer}/{number}")
    }

    fn of_path(path: &str) -> Option<Name> {
        let mut parts = path.strip_prefix("crash/")?.split('/').map(|part| part.parse().ok());
        let name = Name { round: parts.next()??, writer: parts.next()??, number: parts.next()?? };
        parts.next().is_none().then_some(name)
    }

    /// The claim of this name: different in every field from the others of the run.
    fn claim(self, random: &Random) -> TestClaim {
        let mut random = random.fork(self.round).fork(self.writer).fork(self.number);
        let value_bytes = match self.round % HEAVY_EVERY {
            0 => random.within(0..=HEAVY_VALUE_BYTES_MAX),
            _ => random.within(0..=200),
        };
        let mut claim = TestClaim::new(self.path(), "reading", random.text(value_bytes as usize));
        claim.confidence = random.within(0..=1000) as f64 / 1000.0;
        claim.timestamp_us += random.within(0..=50_000_000_000_000);
        claim.source = random.once_in(3).then(|| format!("source/{}", random.within(0..=9)));
        claim
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_is_there_by_half() {
    let mut random = Random::for_test("crash");
    let claims = random.fork(0);
    let data = Data::new();
    let mut ledger = Ledger::new();
    let mut killed_starts = 0;
    for round in 0..ROUNDS {
        let start = Start::on(&data).cores(1 + (round % 2) as usize);
        while random.once_in(4) {
            let server = start.begin();
            thread::sleep(Duration::from_micros(random.within(0..=30_000)));
            server.kill();
            killed_starts += 1;
        }
        let server = start.serve();
        check(&server, round, &mut ledger, &claims);
        let more = if round.is_multiple_of(HEAVY_EVERY) { HEAVY_ACKNOWLEDGED_MORE } else { 0 };
        let acknowledged = more + random.within(0..=ACKNOWLEDGED_MAX);
        let delay = Duration::from_micros(random.within(0..=2000));
        write_until_killed(server, round, acknowledged, delay, &mut ledger, &claims);
    }
    let server = Start::on(&data).cores(2).serve();
    check(&server, ROUNDS, &mut ledger, &claims);
    server.stop();
    let server = Start::on(&data).serve();
    check(&server, ROUNDS, &mut ledger, &claims);
    server.stop();

    let manifest = Manifest::open(&DirManifest::new(&data.db()), &DirTables::new(&data.db()));
    let manifest = manifest.expect("the tables are sound");
    let segments: u64 = manifest.covered.ends.iter().map(|covered| covered.end.segment.0).sum();
    assert!(
        segments >= ROUNDS / HEAVY_EVERY && manifest.entries() > 0,
        "only {segments} segments went into tables"
    );
    println!(
        "{ROUNDS} rounds, {} claims sent and in the end acknowledged, {segments} segments gone into tables, {} of the \
         claims in {} tables, {killed_starts} starts killed",
        ledger.len(),
        manifest.entries(),
        manifest.tables.len()
    );
}

/// Rounds of the test of retractions, and claims that each retraction is about.
const RETRACTIONS: u64 = 20;
const RETRACTED_CLAIMS: u64 = 24;

#[test]
fn a_retraction_that_a_crash_cuts_short_is_completed_or_never_happened() {
    let mut random = Random::for_test("crash of retractions");
    let data = Data::new();
    let (mut answered, mut unanswered, mut completed) = (0, 0, 0);
    // Whether the retraction of each round happened.
    let mut happened: Vec<bool> = Vec::new();
    for round in 0..=RETRACTIONS {
        let server = Start::on(&data).cores(2 - (round % 2) as usize).serve();
        for (round, happened) in happened.iter().enumerate() {
            assert_eq!(
                is_retracted(&server, round as u64),
                Some(*happened),
                "round {round} after the next start"
            );
        }
        server.kill();
        if round == RETRACTIONS {
            break;
        }

        let server = Start::on(&data).cores(2).serve();
        let mut client = server.client();
        let lines: String = (0..RETRACTED_CLAIMS)
            .map(|number| {
                let mut claim = TestClaim::new(format!("retract/{round}/{number}"), "states", number);
                claim.source = Some(format!("source/bad/{round}/page/{number}"));
                claim.json() + "\n"
            })
            .collect();
        assert_eq!(
            client.post("/v1/assert/batch", lines).expect("an answer").ok()["accepted"],
            RETRACTED_CLAIMS
        );
        let retraction = json!({"concept_path": format!("source/bad/{round}"), "reason": "a test"});
        client
            .send(&http::request("POST", "/v1/retract", retraction.to_string().as_bytes()))
            .expect("it is received");
        let was_answered = match random.once_in(4) {
            true => client.response().expect("an answer").ok()["retracted"] == RETRACTED_CLAIMS,
            false => false,
        };
        thread::sleep(Duration::from_micros(random.within(0..=4000)));
        server.kill();

        let server = Start::on(&data).cores(1 + random.within(0..=1) as usize).serve();
        let is_retracted = is_retracted(&server, round);
        let is_retracted = is_retracted.unwrap_or_else(|| panic!("round {round} is retracted by half"));
        assert!(is_retracted || !was_answered, "round {round} was answered, and is not retracted");
        happened.push(is_retracted);
        answered += u64::from(was_answered);
        unanswered += u64::from(is_retracted && !was_answered);
        completed += u64::from(server.text().contains("Completing 1 retractions"));
        server.kill();
    }
    let never = happened.iter().filter(|happened| !**happened).count();
    println!(
        "{RETRACTIONS} retractions: {answered} answered, {unanswered} there though unanswered, {never} never happened; \
         {completed} were completed at the next start"
    );
}

/// Whether the claims of a round are retracted; `None` if some are and some are not.
fn is_retracted(server: &Server, round: u64) -> Option<bool> {
    let rows = listing::all_with_retracted(&mut server.client(), &format!("retract/{round}/*"));
    assert_eq!(rows.len() as u64, RETRACTED_CLAIMS, "retracted claims stay stored");
    let retracted = rows.iter().filter(|row| row.status == "retracted").count();
    match retracted {
        0 => Some(false),
        all if all == rows.len() => Some(true),
        _ => None,
    }
}

/// Writes from all connections at once, and kills the server when so many claims have been acknowledged and `delay`
/// has passed.
fn write_until_killed(
    server: Server,
    round: u64,
    acknowledged: u64,
    delay: Duration,
    ledger: &mut Ledger,
    claims: &Random,
) {
    let address = server.address();
    let progress = Progress::default();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|writer| {
                let progress = &progress;
                scope.spawn(move || write(address, round, writer, claims, progress))
            })
            .collect();
        progress.wait_for(acknowledged);
        thread::sleep(delay);
        server.kill();
        for writer in writers {
            ledger.extend(writer.join().expect("each answer is as it should be"));
        }
    });
}

/// One connection's writes, until the connection breaks.
fn write(address: SocketAddr, round: u64, writer: u64, claims: &Random, progress: &Progress) -> Ledger {
    let mut ledger = Ledger::new();
    let mut random = claims.fork(round ^ 1 << 32).fork(writer);
    let Ok(mut client) = Client::connect(address) else { return ledger };
    loop {
        let count = if writer < BATCH_CONNECTIONS { random.within(1..=BATCH_CLAIMS_MAX) } else { 1 };
        let first = ledger.len() as u64;
        let names: Vec<_> = (first..first + count).map(|number| Name { round, writer, number }).collect();
        ledger.extend(names.iter().map(|name| (*name, Fate::Unanswered)));
        let answer = match names[..] {
            [name] if writer >= BATCH_CONNECTIONS => assert_one(&mut client, name, claims).map(Some),
            _ => assert_batch(&mut client, &names, claims).map(|()| None),
        };
        let Ok(hash) = answer else { return ledger };
        ledger.extend(names.iter().map(|name| (*name, Fate::Acknowledged(hash.clone()))));
        progress.add(count);
    }
}

/// Sends one claim. Gives its hash.
fn assert_one(client: &mut Client, name: Name, claims: &Random) -> io::Result<String> {
    let response = client.post("/v1/assert", name.claim(claims).json())?;
    assert_eq!(response.status, 201, "{response:?}");
    Ok(response.json()["hash"].as_str().expect("an answer has the hash").to_owned())
}

fn assert_batch(client: &mut Client, names: &[Name], claims: &Random) -> io::Result<()> {
    let lines: String = names.iter().map(|name| name.claim(claims).json() + "\n").collect();
    let answer = client.post("/v1/assert/batch", lines)?.ok();
    let expected = json!({"accepted": names.len(), "exists": 0, "rejected": 0, "errors": []});
    assert_eq!(answer, expected);
    Ok(())
}

/// Compares all that the server holds with all that was sent, then sends again what was not answered.
fn check(server: &Server, round: u64, ledger: &mut Ledger, claims: &Random) {
    let mut client = server.client();
    let rows = everything(&mut client, round);
    let held: HashMap<Name, &Row> = rows
        .iter()
        .map(|row| {
            let name = Name::of_path(&row.concept_path).filter(|name| ledger.contains_key(name));
            (name.unwrap_or_else(|| panic!("never sent: {row:?}")), row)
        })
        .collect();
    assert_eq!(held.len(), rows.len(), "a claim is stored once");
    for (name, row) in &held {
        let sent = name.claim(claims);
        assert!(sent.is_told_by(row), "sent: {sent:?}\nheld: {row:?}");
    }
    for (name, fate) in ledger.iter() {
        let Fate::Acknowledged(hash) = fate else { continue };
        let row = held.get(name).unwrap_or_else(|| panic!("{name:?} was acknowledged, and is not there"));
        assert!(hash.as_ref().is_none_or(|hash| *hash == row.hash), "{name:?} is not what was acknowledged");
    }
    assert_eq!(server.assertion_count(), rows.len() as u64, "health counts what there is");

    read_by_hash(&mut client, &held, claims);
    send_again(&mut client, &held, ledger, claims);
    assert_eq!(server.assertion_count(), ledger.len() as u64, "all that was sent is there now");
}

/// All claims that the server holds: asked for at once before some of the rounds, else round by round, which is quicker.
fn everything(client: &mut Client, round: u64) -> Vec<Row> {
    if round.is_multiple_of(ALL_AT_ONCE_EVERY) {
        return listing::all(client, "/*");
    }
    (0..round).flat_map(|round| listing::all(client, &format!("crash/{round}/*"))).collect()
}

/// Reads the claims of the last round that has any, one by one.
fn read_by_hash(client: &mut Client, held: &HashMap<Name, &Row>, claims: &Random) {
    let last = held.keys().map(|name| name.round).max();
    let newest: Vec<_> = held.iter().filter(|(name, _)| Some(name.round) == last).collect();
    for some in newest.chunks(PIPELINE) {
        let requests: Vec<u8> = some
            .iter()
            .flat_map(|(_, row)| http::request("GET", &format!("/v1/assertion/{}", row.hash), b""))
            .collect();
        client.send(&requests).expect("the server receives");
        for (name, _) in some {
            let row: Row =
                serde_json::from_value(client.response().expect("an answer").ok()).expect("a claim");
            assert!(name.claim(claims).is_told_by(&row), "by its hash {name:?} is {row:?}");
        }
    }
}

/// Sends again what was not answered: it exists if it was seen, and is new otherwise.
fn send_again(client: &mut Client, held: &HashMap<Name, &Row>, ledger: &mut Ledger, claims: &Random) {
    let mut unanswered: Vec<_> = ledger.iter_mut().filter(|(_, fate)| **fate == Fate::Unanswered).collect();
    for some in unanswered.chunks_mut(PIPELINE) {
        let requests: Vec<u8> = some
            .iter()
            .flat_map(|(name, _)| http::request("POST", "/v1/assert", name.claim(claims).json().as_bytes()))
            .collect();
        client.send(&requests).expect("the server receives");
        for (name, fate) in some {
            let response = client.response().expect("an answer");
            let expected = if held.contains_key(name) { (200, "exists") } else { (201, "created") };
            let answer = response.json();
            assert_eq!(
                (response.status, answer["status"].as_str()),
                (expected.0, Some(expected.1)),
                "{name:?}"
            );
            let hash = answer["hash"].as_str().expect("an answer has the hash").to_owned();
            if let Some(row) = held.get(name) {
                assert_eq!(row.hash, hash, "{name:?}");
            }
            **fate = Fate::Acknowledged(Some(hash));
        }
    }
}

/// Counts acknowledged claims across connections.
#[derive(Debug, Default)]
struct Progress {
    acknowledged: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    fn add(&self, claims: u64) {
        *self.acknowledged.lock().expect("no thread panics with the lock") += claims;
        self.changed.notify_all();
    }

    fn wait_for(&self, claims: u64) {
        let patience = Duration::from_secs(60);
        let acknowledged = self.acknowledged.lock().expect("no thread panics with the lock");
        let (acknowledged, _) = self
            .changed
            .wait_timeout_while(acknowledged, patience, |acknowledged| *acknowledged < claims)
            .expect("no thread panics with the lock");
        assert!(
            *acknowledged >= claims,
            "only {acknowledged} of {claims} claims acknowledged in {patience:?}"
        );
    }
}
