//! What a server answers, claim by claim, beside what is stored.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use stemedb_engine::claim::ClaimHash;

use super::named::Named;
use super::spill::Claim;
use super::stored::{Stored, stored_since};
use crate::admin::client::{Answer, Client};
use crate::admin::error::AdminError;
use crate::admin::progress::Progress;

/// The most claims a server returns at once.
const PAGE_CLAIMS_MAX: u64 = 10_000;

/// So many claims that are served and were not stored when that was looked at are remembered, until the log is looked at again.
const UNKNOWN_MAX: usize = 500_000;

/// A server with more claims than this is not asked for all of them at once, which takes it longer with every page.
const LISTED_MAX: u64 = 1_000_000;

/// How long a server has to make visible what is durable, over all that is compared.
const SETTLE: Duration = Duration::from_secs(5);

/// How often a server that has too much to do is asked again.
const OVERLOADED_MAX: usize = 30;

/// How long to wait before a path is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What came out of it.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) paths: u64,
    /// Different claims that are stored.
    pub(super) claims: u64,
    /// Stored and not served.
    pub(super) missing: Named,
    /// Served and not stored.
    pub(super) orphans: Named,
    /// Served without something that every claim has.
    pub(super) incomplete: Named,
}

/// A comparison under way.
pub(super) struct Comparison<'c> {
    client: &'c Client,
    wal: &'c Path,
    db: &'c Path,
    checkpoints: u64,
    compared: Compared,
    /// What was served and not stored: where it is about.
    unknown: BTreeMap<ClaimHash, String>,
    /// Up to when claims that are missing are asked for again.
    patience: Duration,
}

/// A claim as the server shows it.
#[derive(Deserialize)]
struct Row {
    hash: Option<String>,
    concept_path: Option<String>,
    predicate: Option<String>,
    /// Whether there is one: it may be null.
    #[serde(rename = "value", default, deserialize_with = "is_there")]
    has_value: bool,
    #[serde(rename = "type")]
    value_type: Option<String>,
    confidence: Option<f64>,
    timestamp: Option<f64>,
    source_class: Option<String>,
    lifecycle: Option<String>,
    status: Option<String>,
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

#[derive(Deserialize)]
struct Page {
    assertions: Vec<Row>,
    cursor: Option<Value>,
}

impl<'c> Comparison<'c> {
    /// Of what was stored at `checkpoints`, in these directories, with what this server answers.
    pub(super) fn new(client: &'c Client, wal: &'c Path, db: &'c Path, checkpoints: u64) -> Comparison<'c> {
        let compared = Compared::default();
        Comparison { client, wal, db, checkpoints, compared, unknown: BTreeMap::new(), patience: SETTLE }
    }

    /// Asks for every path that claims are stored about, and, if the server had more claims `before` than were stored, for all others.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or the files cannot be read.
    pub(super) fn run(mut self, stored: &mut Stored, before: u64) -> Result<Compared, AdminError> {
        let mut progress = Progress::counting("Comparing", stored.claims.claims, "claims");
        for part in 0..stored.claims.parts() {
            let claims = stored.claims.part(part)?;
            for of_path in claims.chunk_by(|one, next| one.path == next.path) {
                self.path(of_path, &stored.places)?;
                progress.advance(of_path.len() as u64);
            }
        }
        if before > self.compared.claims && before <= LISTED_MAX {
            self.list_all(stored)?;
        }
        self.resolve()?;
        for (hash, path) in std::mem::take(&mut self.unknown) {
            self.compared.orphans.add(format!("the claim {hash} about {path}"));
        }
        Ok(self.compared)
    }

    /// Compares all claims about one path.
    fn path(&mut self, stored: &[Claim], places: &[String]) -> Result<(), AdminError> {
        let path = stored[0].path.as_str();
        let mut known = HashSet::with_capacity(stored.len());
        known.extend(stored.iter().map(|claim| claim.hash));
        self.compared.paths += 1;
        self.compared.claims += known.len() as u64;
        let mut served = match self.served(path) {
            // A value that is not in memory may be damaged where it is stored; other paths are still worth a look.
            Err(error @ AdminError::Refused { .. }) => {
                self.compared.missing.add(format!("all claims about {path}: {error}"));
                return Ok(());
            }
            served => served?,
        };
        let began = Instant::now();
        while began.elapsed() < self.patience && !known.is_subset(&served) {
            thread::sleep(ASK_AGAIN);
            served = self.served(path)?;
        }
        self.patience = self.patience.saturating_sub(began.elapsed());
        for claim in stored.iter().filter(|claim| !served.contains(&claim.hash)) {
            let place = &places[claim.place as usize];
            self.compared.missing.add(format!("the claim {} about {path}, which is in {place}", claim.hash));
        }
        for hash in served.difference(&known) {
            self.unknown.insert(*hash, path.to_owned());
        }
        if self.unknown.len() > UNKNOWN_MAX {
            self.resolve()?;
        }
        Ok(())
    }

    /// Asks for all claims there are, and keeps those that are not stored.
    fn list_all(&mut self, stored: &mut Stored) -> Result<(), AdminError> {
        let mut known = HashSet::new();
        for part in 0..stored.claims.parts() {
            known.extend(stored.claims.part(part)?.into_iter().map(|claim| claim.hash));
        }
        let mut unknown = BTreeMap::new();
        self.each("*", &mut |path, hash| {
            if !known.contains(&hash) {
                unknown.insert(hash, path);
            }
        })?;
        self.unknown.extend(unknown);
        Ok(())
    }

    /// Forgets of what is unknown what was written since.
    fn resolve(&mut self) -> Result<(), AdminError> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let unknown = &mut self.unknown;
        stored_since(self.wal, self.db, self.checkpoints, &mut |hash| {
            unknown.remove(hash);
        })
    }

    /// The claims that the server finds about a path.
    fn served(&mut self, path: &str) -> Result<HashSet<ClaimHash>, AdminError> {
        let mut hashes = HashSet::new();
        // A path that ends in `/*` asks for those below it, too.
        self.each(path, &mut |of, hash| {
            if of == path {
                hashes.insert(hash);
            }
        })?;
        Ok(hashes)
    }

    /// Asks once, or again while the server has too much to do.
    fn ask(&self, query: &[u8]) -> Result<Answer, AdminError> {
        for _ in 0..OVERLOADED_MAX {
            let answer = self.client.send("/v1/query", "application/json", query)?;
            if answer.status != 503 {
                return Ok(answer);
            }
            thread::sleep(answer.retry_after.unwrap_or(ASK_AGAIN));
        }
        self.client.send("/v1/query", "application/json", query)
    }

    /// Asks for all claims about a path, page by page, and gives path and hash of each.
    fn each(&mut self, path: &str, visit: &mut dyn FnMut(String, ClaimHash)) -> Result<(), AdminError> {
        let mut cursor: Option<Value> = None;
        loop {
            let mut query = json!({
                "concept_path": path, "lifecycle": "any", "include_retracted": true, "limit": PAGE_CLAIMS_MAX,
            });
            if let Some(cursor) = cursor {
                query["cursor"] = cursor;
            }
            let answer = self.ask(query.to_string().as_bytes())?;
            let page: Page = answer.json(self.client.url())?;
            for row in page.assertions {
                match row.complete() {
                    Ok((path, hash)) => visit(path, hash),
                    Err(lacking) => self.compared.incomplete.add(lacking),
                }
            }
            if page.cursor.is_none() {
                return Ok(());
            }
            cursor = page.cursor;
        }
    }
}

impl Row {
    /// Path and hash of a claim that has all that every claim has, or what is wrong with it.
    fn complete(self) -> Result<(String, ClaimHash), String> {
        let has = [
            ("predicate", self.predicate.is_some()),
            ("value", self.has_value),
            ("type", self.value_type.is_some()),
            ("confidence", self.confidence.is_some()),
            ("timestamp", self.timestamp.is_some()),
            ("source_class", self.source_class.is_some()),
            ("lifecycle", self.lifecycle.is_some()),
            ("status", self.status.is_some()),
        ];
        let mut bytes = [0; ClaimHash::BYTES];
        let is_hash = self.hash.as_ref().is_some_and(|hash| hex::decode_to_slice(hash, &mut bytes).is_ok());
        let lacking = has.iter().find(|(_, is_there)| !is_there).map(|(name, _)| *name);
        match (self.concept_path, lacking) {
            (Some(path), None) if is_hash => Ok((path, ClaimHash(bytes))),
            (path, lacking) => Err(format!(
                "the claim {} about {} has no {}",
                self.hash.unwrap_or_default(),
                path.unwrap_or_default(),
                lacking.unwrap_or("path or hash")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a claim is taken only with all that every claim has. Method: each field is left out in turn.
    #[test]
    fn a_claim_without_one_of_its_fields_is_told() {
        let whole = json!({
            "hash": "0f".repeat(32), "concept_path": "a/b", "predicate": "is", "value": 1, "type": "Integer", "confidence": 1.0,
            "timestamp": 1.5, "source_class": "expert", "lifecycle": "approved", "status": "active",
        });
        let row = |value: &Value| Row::deserialize(value).expect("it is a row");
        assert_eq!(row(&whole).complete(), Ok(("a/b".to_owned(), ClaimHash([15; 32]))));
        for name in whole.as_object().expect("it is one").keys() {
            let mut less = whole.clone();
            less.as_object_mut().expect("it is one").remove(name);
            let lacking = row(&less).complete().expect_err(name);
            assert!(lacking.contains(name.trim_start_matches("concept_")), "{lacking}");
        }
    }
}
