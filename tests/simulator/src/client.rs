//! Clients: what they send, and whether what they are told can be true.

use std::collections::VecDeque;

use stemedb_engine::slot::{CoreId, Slot, SlotMap};
use stemedb_tests::Random;

use crate::answers::Answers;
use crate::model::{Asked, Claim, ClaimNumber, Model, Moment, RetractionNumber, Stored};
use crate::scenario::Scenario;
use crate::wording::{Response, claim_json, get, post, post_chunked, value_of};

/// The path below which all subjects are.
const ROOT: &str = "sim";

/// The oldest timestamp of a claim, microseconds since 1970.
const OLDEST_US: u64 = 1_500_000_000_000_000;

/// Claims of a batch.
const BATCH_CLAIMS_MAX: u64 = 30;

/// A batch that is longer is sent line by line: an array has to fit into a body.
const ARRAY_BYTES_MAX: usize = 16_000;

/// Subjects among which one is looked for that a given core owns.
const SUBJECTS_TRIED_MAX: usize = 10_000;

/// Claims that a client remembers to send once more.
const RETRIES_MAX: usize = 64;

/// A client, which has at most one connection.
#[derive(Debug)]
pub(crate) struct Client {
    random: Random,
    /// What has been received and not been read.
    received: Vec<u8>,
    /// Requests on the connection whose answers have not come, in order.
    outstanding: VecDeque<Outstanding>,
    /// Claims whose fate is unknown.
    uncertain: Vec<ClaimNumber>,
    /// A list that is being read page by page.
    reading: Option<Reading>,
    /// Whether the connection is spoilt: the server may say anything about what it is sent, and close it.
    is_rude: bool,
    /// Whether it will get no further answers.
    is_ending: bool,
    /// Whether the server has said that it will close the connection.
    was_told_of_end: bool,
    /// Of who inspects a server at rest, what may be refused all the same.
    inspects: Option<Inspection>,
}

/// What an inspector may be refused.
#[derive(Debug, Clone, Copy)]
struct Inspection {
    /// Whether the indexes have a bound that they may have come to.
    may_be_full: bool,
}

/// A request whose answer has not come.
#[derive(Debug)]
struct Outstanding {
    sent_us: u64,
    question: Question,
}

/// What was asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// To store a claim.
    Claim(ClaimNumber),
    /// To store many; `None` stands for a line that is no claim.
    Batch(Vec<Option<ClaimNumber>>),
    /// To take back claims.
    Retraction(RetractionNumber),
    /// For a list of claims.
    List(Reading),
    /// For the claim that a lens picks, for each predicate.
    Lens { subject: String, lens: &'static str, as_of_us: Option<i64>, sent: Moment },
    /// How the server is; how many claims it must hold at least, if that is known of all its cores, or exactly, how many lanes had failed, and
    /// whether the upkeep had.
    Health { certain: Option<usize>, exactly: bool, lanes_failed: usize, upkeep_failed: bool },
    /// For the figures, of which some may be known; how many lanes had failed.
    Metrics { known: Option<KnownFigures>, lanes_failed: usize },
    /// Whether it is ready; how many lanes had failed.
    Ready { lanes_failed: usize },
    /// Something that has to be refused with this status.
    Wrong(u16),
}

/// What the figures must say of a server at rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownFigures {
    /// Claims held.
    pub(crate) claims: u64,
    /// Claims that came since the start.
    pub(crate) new_claims: u64,
    /// Segments of the lanes that have a core, and bytes of their files.
    pub(crate) segments: u64,
    pub(crate) segment_bytes: u64,
    /// Tables, and claims in them.
    pub(crate) tables: u64,
    pub(crate) table_entries: u64,
}

/// A list that is read page by page.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// `None` for all subjects.
    pub(crate) subject: Option<String>,
    pub(crate) asked: Asked,
    pub(crate) limit: u64,
    pub(crate) sent: Moment,
    pub(crate) rows: Vec<Stored>,
    pub(crate) cursor: Option<String>,
}

impl Client {
    /// A client without a connection.
    pub(crate) fn new(random: Random) -> Client {
        Client {
            random,
            received: Vec::new(),
            outstanding: VecDeque::new(),
            uncertain: Vec::new(),
            reading: None,
            is_rude: false,
            is_ending: false,
            was_told_of_end: false,
            inspects: None,
        }
    }

    /// A client that asks a server at rest, which must do what it is asked. The indexes may be full.
    pub(crate) fn inspector(random: Random, may_be_full: bool) -> Client {
        Client { inspects: Some(Inspection { may_be_full }), ..Client::new(random) }
    }

    /// How many answers it waits for.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Since when it has waited for the first of them, monotonic microseconds.
    pub(crate) fn waits_since_us(&self) -> Option<u64> {
        self.outstanding.front().map(|outstanding| outstanding.sent_us)
    }

    /// Whether it may send another request now.
    pub(crate) fn may_ask(&self, scenario: &Scenario) -> bool {
        !self.is_rude
            && !self.is_ending
            && (self.outstanding.len() as u64) < scenario.pipeline_max
            && (self.reading.is_none() || self.outstanding.is_empty())
    }

    /// Whether it wants to ask for the rest of a list.
    pub(crate) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether it would rather have another connection.
    pub(crate) fn is_done_with_connection(&self) -> bool {
        self.is_rude || self.is_ending
    }

    /// The next request. `operations` is lowered by what it asks for.
    pub(crate) fn ask(
        &mut self,
        model: &mut Model,
        scenario: &Scenario,
        now_us: u64,
        operations: &mut u64,
    ) -> Vec<u8> {
        let (question, request, count) = if let Some(reading) = self.reading.take() {
            let request = get(&reading.target());
            (Question::List(reading), request, 1)
        } else if scenario.rude.happens(&mut self.random) {
            self.is_rude = true;
            *operations = operations.saturating_sub(1);
            return crate::rude::bytes(&mut self.random);
        } else {
            self.question(model, scenario)
        };
        *operations = operations.saturating_sub(count);
        self.outstanding.push_back(Outstanding { sent_us: now_us, question });
        request
    }

    fn question(&mut self, model: &mut Model, scenario: &Scenario) -> (Question, Vec<u8>, u64) {
        match self.random.within(0..=99) {
            0..=39 => {
                let number = self.claim(model, scenario);
                let body = claim_json(model.claim(number));
                (Question::Claim(number), post("/v1/assert", &body), 1)
            }
            40..=59 => self.batch(model, scenario),
            60..=66 => self.retraction(model, scenario),
            67..=81 => {
                let subject = self.random.within(0..=5) != 0;
                let reading = Reading {
                    subject: subject.then(|| self.subject(scenario)),
                    asked: if self.random.once_in(2) { Asked::Active } else { Asked::All },
                    limit: self.random.within(1..=200),
                    sent: model.tick(),
                    rows: Vec::new(),
                    cursor: None,
                };
                let request = get(&reading.target());
                (Question::List(reading), request, 1)
            }
            82..=90 => self.lens(model, scenario),
            91..=92 => {
                let certain = model.is_open.then(|| model.certain());
                let (lanes_failed, upkeep_failed) = (model.lanes_failed.len(), model.upkeep_failed);
                (
                    Question::Health { certain, exactly: false, lanes_failed, upkeep_failed },
                    get("/v1/health"),
                    1,
                )
            }
            93 => {
                let lanes_failed = model.lanes_failed.len();
                (Question::Metrics { known: None, lanes_failed }, get("/metrics"), 1)
            }
            94 => (Question::Ready { lanes_failed: model.lanes_failed.len() }, get("/ready"), 1),
            _ => self.wrong(scenario),
        }
    }

    fn subject(&mut self, scenario: &Scenario) -> String {
        format!("{ROOT}/{}", self.random.within(0..=scenario.subjects - 1))
    }

    fn source(&mut self, scenario: &Scenario) -> String {
        let source = self.random.within(0..=scenario.sources - 1);
        if self.random.once_in(2) { format!("src/{source}") } else { format!("src/{source}/page") }
    }

    /// A claim to send: a new one, or one of unknown fate once more.
    fn claim(&mut self, model: &mut Model, scenario: &Scenario) -> ClaimNumber {
        if !self.uncertain.is_empty() && self.random.once_in(2) {
            let at = self.random.within(0..=self.uncertain.len() as u64 - 1) as usize;
            let number = self.uncertain.swap_remove(at);
            if model.claim(number).timestamp_us.is_some() {
                model.send_again(number);
                return number;
            }
        }
        let is_long = self.random.once_in(scenario.values_long_once_in);
        let filling_bytes = self.random.within(0..=if is_long { scenario.value_bytes_max } else { 100 });
        let source = self.random.once_in(2).then(|| self.source(scenario));
        let subject = self.subject(scenario);
        self.new_claim(subject, source, filling_bytes, model)
    }

    fn new_claim(
        &mut self,
        subject: String,
        source: Option<String>,
        filling_bytes: u64,
        model: &mut Model,
    ) -> ClaimNumber {
        let filling = self.random.text(filling_bytes as usize);
        let timestamp_us = OLDEST_US + self.random.within(0..=50) * 1_000_000;
        let claim = Claim {
            subject,
            predicate: format!("p{}", self.random.within(0..=2)),
            source,
            value: value_of(model.next_claim(), &filling),
            confidence_milli: self.random.within(0..=1000),
            timestamp_us: (!self.random.once_in(10)).then_some(timestamp_us as i64),
        };
        model.send_new(claim)
    }

    fn batch(&mut self, model: &mut Model, scenario: &Scenario) -> (Question, Vec<u8>, u64) {
        let count = self.random.within(1..=BATCH_CLAIMS_MAX);
        let (mut lines, mut body) = (Vec::new(), String::new());
        for _ in 0..count {
            let is_wrong = self.random.once_in(20);
            if is_wrong {
                lines.push(None);
                body.push_str(r#"{"subject":"x","predicate":"p","object":1,"confidence":7}"#);
            } else {
                let number = self.claim(model, scenario);
                lines.push(Some(number));
                body.push_str(&claim_json(model.claim(number)));
            }
            body.push('\n');
        }
        if self.random.once_in(2) {
            body.pop();
        }
        if self.random.once_in(4) && body.len() < ARRAY_BYTES_MAX {
            body = format!("[{}]", body.trim_end().replace('\n', ","));
        }
        let path = "/v1/assert/batch";
        let request = if self.random.once_in(3) {
            let chunk_bytes = self.random.within(1..=3000) as usize;
            post_chunked(path, &body, chunk_bytes)
        } else {
            post(path, &body)
        };
        (Question::Batch(lines), request, count)
    }

    fn retraction(&mut self, model: &mut Model, scenario: &Scenario) -> (Question, Vec<u8>, u64) {
        let path = match self.random.within(0..=2) {
            0 => self.subject(scenario),
            1 => self.source(scenario),
            _ => format!("src/{}", self.random.within(0..=scenario.sources - 1)),
        };
        let body = format!(r#"{{"concept_path":"{path}","reason":"simulated"}}"#);
        let number = model.send_retraction(path);
        (Question::Retraction(number), post("/v1/retract", &body), 1)
    }

    fn lens(&mut self, model: &mut Model, scenario: &Scenario) -> (Question, Vec<u8>, u64) {
        let subject = self.subject(scenario);
        let lens = if self.random.once_in(2) { "recency" } else { "confidence" };
        let as_of_us = self.random.once_in(3).then(|| {
            let seconds = self.random.within(0..=50);
            (OLDEST_US + seconds * 1_000_000) as i64
        });
        let mut target = format!("/v1/query?concept_path={subject}&lens={lens}");
        if let Some(as_of_us) = as_of_us {
            target += &format!("&as_of={}", as_of_us / 1_000_000);
        }
        let question = Question::Lens { subject, lens, as_of_us, sent: model.tick() };
        (question, get(&target), 1)
    }

    fn wrong(&mut self, scenario: &Scenario) -> (Question, Vec<u8>, u64) {
        let subject = self.subject(scenario);
        let (status, request) = match self.random.within(0..=5) {
            0 => (400, post("/v1/assert", &format!(r#"{{"subject":"{subject}","predicate":"p"}}"#))),
            1 => (400, post("/v1/assert", r#"{"subject":"#)),
            2 => (404, get("/v1/nothing")),
            3 => (405, get("/v1/assert")),
            4 => (400, get("/v1/query?concept_path=a&limit=0")),
            _ => (404, get(&format!("/v1/assertion/{:064x}", self.random.next_u64()))),
        };
        (Question::Wrong(status), request, 1)
    }

    /// Asks a server at rest whether it is ready, and each of its cores to store a claim.
    pub(crate) fn ask_for_progress(&mut self, model: &mut Model, cores: u16, now_us: u64) -> Vec<u8> {
        let mut requests = get("/ready");
        let mut questions = vec![Question::Ready { lanes_failed: 0 }];
        let slots = SlotMap::new(cores);
        for core in 0..cores {
            let is_its_own = |subject: &String| slots.owner(Slot::of(subject.as_bytes())) == CoreId(core);
            let subjects = (0..).map(|number: u64| format!("{ROOT}/of-core/{number}"));
            let subject = subjects.take(SUBJECTS_TRIED_MAX).find(is_its_own).expect("a core has a subject");
            let number = self.new_claim(subject, None, 0, model);
            requests.extend(post("/v1/assert", &claim_json(model.claim(number))));
            questions.push(Question::Claim(number));
        }
        let waits = questions.into_iter().map(|question| Outstanding { sent_us: now_us, question });
        self.outstanding.extend(waits);
        requests
    }

    /// Asks a server at rest for its figures.
    pub(crate) fn ask_for_figures(&mut self, known: KnownFigures, now_us: u64) -> Vec<u8> {
        let certain = Some(known.claims as usize);
        let health = Question::Health { certain, exactly: true, lanes_failed: 0, upkeep_failed: false };
        let metrics = Question::Metrics { known: Some(known), lanes_failed: 0 };
        let waits = [health, metrics].map(|question| Outstanding { sent_us: now_us, question });
        self.outstanding.extend(waits);
        [get("/v1/health"), get("/metrics")].concat()
    }

    /// Takes what has come over the connection, and checks the answers in it.
    pub(crate) fn receive(&mut self, bytes: &[u8], model: &mut Model, answers: &mut Answers) {
        self.received.extend_from_slice(bytes);
        while let Some(response) = Response::take(&mut self.received) {
            answers.count(response.status);
            self.is_ending |= response.closes;
            self.was_told_of_end |= response.closes;
            if response.status == 408 || (self.is_rude && self.outstanding.is_empty()) {
                assert!(response.status >= 400, "{} was said to nonsense", response.status);
                continue;
            }
            let Some(Outstanding { question, .. }) = self.outstanding.pop_front() else {
                panic!("an answer to nothing: {response:?}")
            };
            if let Some(Inspection { may_be_full }) = self.inspects {
                let is_full = || may_be_full && response.error_code() == "memory_full";
                assert!(response.status < 300 || is_full(), "at rest, {question:?} is refused: {response:?}");
            }
            let (uncertain, reading) = answers.check(question, &response, model);
            self.reading = self.reading.take().or(reading);
            self.uncertain.extend(uncertain);
        }
    }

    /// It has said that it will send no more over this connection.
    pub(crate) fn says_no_more(&mut self) {
        self.is_ending = true;
    }

    /// Whether the server may close the connection: it owes no answer, or has said that it will give no more.
    pub(crate) fn may_be_left(&self) -> bool {
        self.outstanding.is_empty() || self.was_told_of_end
    }

    /// The connection is gone: what was not answered may have happened or not.
    pub(crate) fn disconnected(&mut self) {
        for Outstanding { question, .. } in std::mem::take(&mut self.outstanding) {
            match question {
                Question::Claim(number) => self.uncertain.push(number),
                Question::Batch(lines) => self.uncertain.extend(lines.into_iter().flatten()),
                _ => {}
            }
        }
        let surplus = self.uncertain.len().saturating_sub(RETRIES_MAX);
        self.uncertain.drain(..surplus);
        self.received.clear();
        self.reading = None;
        self.is_rude = false;
        self.is_ending = false;
        self.was_told_of_end = false;
    }
}

impl Reading {
    fn target(&self) -> String {
        let path = self.subject.clone().unwrap_or_else(|| format!("{ROOT}/*"));
        let mut target = format!("/v1/query?concept_path={path}&limit={}", self.limit);
        if self.asked == Asked::All {
            target += "&include_retracted=true";
        }
        if let Some(cursor) = &self.cursor {
            target += "&cursor=";
            target += cursor;
        }
        target
    }
}
