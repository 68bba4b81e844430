//! Whether answers can be true.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::client::{KnownFigures, Question, Reading};
use crate::model::{Asked, Claim, ClaimNumber, Model, Moment, Stored};
use crate::wording::{BatchAnswer, HealthAnswer, LineError, Page, Response, RetractAnswer};

/// How many answers there were, by status.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    by_status: BTreeMap<u16, u64>,
    log_full: u64,
}

/// What an answer says about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// Nothing was written.
    Refused,
    Unknown,
}

impl Answers {
    /// Counts an answer.
    pub(crate) fn count(&mut self, status: u16) {
        *self.by_status.entry(status).or_default() += 1;
    }

    /// How many there were, by status.
    pub(crate) fn by_status(&self) -> &BTreeMap<u16, u64> {
        &self.by_status
    }

    /// How many said that something was refused because the log is as large as it may be.
    pub(crate) fn log_full(&self) -> u64 {
        self.log_full
    }

    /// Checks the answer to a question. Gives claims whose fate stays unknown, or was refused, and the rest of a list
    /// that is to be asked for.
    pub(crate) fn check(
        &mut self,
        question: Question,
        response: &Response,
        model: &mut Model,
    ) -> (Vec<ClaimNumber>, Option<Reading>) {
        let is_write = matches!(question, Question::Claim(_) | Question::Batch(_) | Question::Retraction(_));
        self.log_full += u64::from(is_write && response.body.windows(8).any(|part| part == b"log_full"));
        match question {
            Question::Claim(number) => (check_claim(number, response, model), None),
            Question::Batch(lines) => (check_batch(&lines, response, model), None),
            Question::Retraction(number) => {
                match fate(response) {
                    Fate::Done => model.retracted(number, response.json::<RetractAnswer>().retracted),
                    Fate::Refused => model.retraction_refused(number),
                    Fate::Unknown => {}
                }
                (Vec::new(), None)
            }
            Question::List(reading) if is_unreadable(response, model) || is_turned_away(response) => {
                drop(reading);
                (Vec::new(), None)
            }
            Question::List(reading) => (Vec::new(), check_page(reading, response, model)),
            Question::Lens { subject, lens, as_of_us, sent } => {
                if !is_unreadable(response, model) && !is_turned_away(response) {
                    check_lens(&subject, lens, as_of_us, sent, response, model);
                }
                (Vec::new(), None)
            }
            Question::Health { certain, exactly, lanes_failed, upkeep_failed } => {
                if !is_turned_away(response) {
                    let possible = if exactly { certain } else { None }.unwrap_or_else(|| model.possible());
                    let held = certain.map(|certain| certain..=possible);
                    check_health(held, lanes_failed, upkeep_failed, response, model);
                }
                (Vec::new(), None)
            }
            Question::Metrics { known, lanes_failed } => {
                if !is_turned_away(response) {
                    check_figures(known, lanes_failed, response, model);
                }
                (Vec::new(), None)
            }
            Question::Ready { lanes_failed } => {
                match response.status {
                    200 => assert_eq!(lanes_failed, 0, "ready with lanes that have failed"),
                    503 => assert!(matches!(&*response.error_code(), "not_ready" | "shutting_down")),
                    _ => panic!("readiness: {response:?}"),
                }
                (Vec::new(), None)
            }
            Question::Wrong(status) => {
                let text = String::from_utf8_lossy(&response.body);
                assert!(
                    response.status == status || is_turned_away(response),
                    "{} instead of {status}: {text}",
                    response.status
                );
                (Vec::new(), None)
            }
        }
    }
}

fn check_health(
    held: Option<RangeInclusive<usize>>,
    lanes_failed: usize,
    upkeep_failed: bool,
    response: &Response,
    model: &Model,
) {
    let health: HealthAnswer<'_> = response.json();
    if let Some(held) = held {
        assert!(held.contains(&health.assertion_count), "{health:?}, with {held:?} claims");
    }
    let lanes_failed = lanes_failed..=model.lanes_failed.len();
    assert!(
        lanes_failed.contains(&health.lanes_failed),
        "{health:?} with {lanes_failed:?} lanes that failed"
    );
    let upkeep_failed = upkeep_failed..=model.upkeep_failed;
    assert!(upkeep_failed.contains(&health.upkeep_failed), "{health:?} with {upkeep_failed:?} as to upkeep");
    let may_be_damaged = model.reads_failed || model.damage_met || health.upkeep_failed;
    assert!(health.damage.is_empty() || may_be_damaged, "{health:?} of a sound store");
    let has_failed = health.lanes_failed > 0 || health.upkeep_failed || !health.damage.is_empty();
    let is_whole = !health.recovering && !has_failed;
    let status = if is_whole { "healthy" } else { "degraded" };
    assert_eq!(health.status, status, "{health:?}");
}

fn check_figures(known: Option<KnownFigures>, lanes_failed: usize, response: &Response, model: &Model) {
    assert_eq!(response.status, 200, "metrics: {response:?}");
    let figures = std::str::from_utf8(&response.body).expect("metrics are text");
    let lanes_failed = lanes_failed as u64..=model.lanes_failed.len() as u64;
    let errors = figure(figures, "stemedb_wal_fsync_errors_total");
    assert!(lanes_failed.contains(&errors), "{errors} failures are counted, of {lanes_failed:?}");
    if let Some(known) = known {
        let KnownFigures { claims, new_claims, segments, segment_bytes, tables, table_entries } = known;
        assert_eq!(figure(figures, "stemedb_assertions_total"), claims, "claims held");
        assert_eq!(figure(figures, "stemedb_assertions_ingested_total"), new_claims, "claims that came");
        assert_eq!(figure(figures, "stemedb_wal_segments_total"), segments, "segments");
        assert_eq!(figure(figures, "stemedb_wal_disk_usage_bytes"), segment_bytes, "bytes of segments");
        assert_eq!(figure(figures, "stemedb_tables"), tables, "tables");
        assert_eq!(figure(figures, "stemedb_tables_assertions"), table_entries, "claims in tables");
    }
}

/// A figure without labels.
fn figure(figures: &str, name: &str) -> u64 {
    let value = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {figures}"))
}

/// Whether the server has not taken on a question at all, which it may when it starts, stops or is full.
fn is_turned_away(response: &Response) -> bool {
    let is_away = response.status == 503;
    assert!(
        is_away || response.status < 500,
        "status {}: {}",
        response.status,
        String::from_utf8_lossy(&response.body)
    );
    is_away
}

/// Whether the answer is that a claim cannot be read, which it may be when the disk has not given back what was written.
fn is_unreadable(response: &Response, model: &Model) -> bool {
    if response.status != 500 || response.error_code() != "storage_damaged" {
        return false;
    }
    assert!(model.reads_failed, "all reads were right: {}", String::from_utf8_lossy(&response.body));
    true
}

/// What the answer to a single write says.
fn fate(response: &Response) -> Fate {
    match response.status {
        200 | 201 => Fate::Done,
        503 => Fate::Refused,
        500 => {
            assert_eq!(response.error_code(), "storage_failed");
            Fate::Unknown
        }
        status => panic!("{status} to a valid write: {}", String::from_utf8_lossy(&response.body)),
    }
}

fn note(number: ClaimNumber, fate: Fate, model: &mut Model) -> Option<ClaimNumber> {
    match fate {
        Fate::Done => {
            model.acknowledged(number);
            None
        }
        Fate::Refused => {
            model.refused(number);
            Some(number)
        }
        Fate::Unknown => Some(number),
    }
}

fn check_claim(number: ClaimNumber, response: &Response, model: &mut Model) -> Vec<ClaimNumber> {
    let (must_exist, may_exist) = model.existed(number);
    match response.status {
        201 => assert!(!must_exist, "claim {number} was stored, and is created"),
        200 => assert!(may_exist, "claim {number} was never sent before, and exists"),
        _ => {}
    }
    note(number, fate(response), model).into_iter().collect()
}

fn check_batch(lines: &[Option<ClaimNumber>], response: &Response, model: &mut Model) -> Vec<ClaimNumber> {
    if response.status == 503 {
        return lines.iter().flatten().filter_map(|number| note(*number, Fate::Refused, model)).collect();
    }
    assert_eq!(response.status, 200, "a batch: {}", String::from_utf8_lossy(&response.body));
    let BatchAnswer { accepted, exists, rejected, errors } = response.json();
    assert_eq!(accepted + exists + rejected, lines.len() as u64, "lines of a batch: {lines:?}");
    assert_eq!(errors.len() as u64, rejected, "every line of a short batch is accounted for");
    let mut fates = vec![Fate::Done; lines.len()];
    for LineError { line, code } in errors {
        let is_wrong = lines[line - 1].is_none();
        let fate = match code.as_str() {
            "storage_failed" => Fate::Unknown,
            "overloaded" | "disk_full" | "log_full" | "memory_full" | "not_ready" | "shutting_down" => {
                Fate::Refused
            }
            "invalid_confidence" if is_wrong => Fate::Refused,
            code => panic!("line {line} of a batch was refused for {code}"),
        };
        assert!(fates[line - 1] == Fate::Done, "line {line} was refused twice");
        fates[line - 1] = fate;
    }
    let done =
        || lines.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Done).filter_map(|(line, _)| *line);
    let must_exist = done().filter(|number| model.existed(*number).0).count() as u64;
    let may_exist = done().filter(|number| model.existed(*number).1).count() as u64;
    assert!(
        (must_exist..=may_exist).contains(&exists),
        "{exists} claims of a batch existed, not {must_exist} to {may_exist}"
    );
    let mut open = Vec::new();
    for (line, fate) in lines.iter().zip(fates) {
        match line {
            Some(number) => open.extend(note(*number, fate, model)),
            None => assert_eq!(fate, Fate::Refused, "a line that is no claim was stored"),
        }
    }
    open
}

fn check_page(mut reading: Reading, response: &Response, model: &mut Model) -> Option<Reading> {
    assert_eq!(response.status, 200, "a list: {}", String::from_utf8_lossy(&response.body));
    let page: Page<'_> = response.json();
    assert_eq!(page.count, page.assertions.len(), "the count of a page");
    assert!(page.count as u64 <= reading.limit, "a page of {} with a limit of {}", page.count, reading.limit);
    reading.rows.extend(page.assertions.iter().map(|row| row.stored()));
    let is_sorted = reading.rows.is_sorted_by(|one, next| one.timestamp_us >= next.timestamp_us);
    assert!(is_sorted, "a list is not newest first");
    if let Some(cursor) = page.cursor {
        reading.cursor = Some(cursor.to_owned());
        return Some(reading);
    }
    let Reading { subject, asked, sent, rows, .. } = reading;
    let covers = |claim: &Claim| subject.as_ref().is_none_or(|subject| claim.subject == *subject);
    model.check_list(&rows, asked, sent, covers, "a list");
    if subject.is_some() && page.count == rows.len() {
        model.check_moment(&rows, asked, covers);
    }
    None
}

/// A lens picks one claim for each predicate: one that may be there, and none that must be there beats it.
fn check_lens(
    subject: &str,
    lens: &str,
    as_of_us: Option<i64>,
    sent: Moment,
    response: &Response,
    model: &mut Model,
) {
    assert_eq!(response.status, 200, "a lens: {}", String::from_utf8_lossy(&response.body));
    let page: Page<'_> = response.json();
    let mut winners: BTreeMap<String, Stored> = BTreeMap::new();
    for row in &page.assertions {
        let row = row.stored();
        model.check_row(&row, Asked::Active, sent, "a lens");
        assert_eq!(row.subject, subject, "a lens picked for another subject");
        assert!(as_of_us.is_none_or(|as_of_us| row.timestamp_us <= as_of_us), "{row:?} is too young");
        let earlier = winners.insert(row.predicate.clone(), row);
        assert!(earlier.is_none(), "a lens picked twice: {earlier:?}");
    }
    let candidates: Vec<_> = model.claims_where(|claim| claim.subject == subject).collect();
    for number in candidates {
        let claim = model.claim(number);
        // Of a claim without a timestamp of its own the model does not know when it became one.
        let Some(timestamp_us) = claim.timestamp_us else { continue };
        let is_candidate = as_of_us.is_none_or(|as_of_us| timestamp_us <= as_of_us);
        if !is_candidate || !model.must_be_active(number, sent) {
            continue;
        }
        let winner = winners.get(&claim.predicate);
        let Some(winner) = winner else { panic!("{lens} picked nothing, although there is {claim:?}") };
        let is_beaten = match lens {
            "recency" => timestamp_us <= winner.timestamp_us,
            _ => claim.confidence_milli <= winner.confidence_milli,
        };
        assert!(is_beaten, "{lens} picked {winner:?} instead of {claim:?}");
    }
}
