//! `stemedb-admin query`.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stemedb_engine::time::UnixMicros;

use super::client::Client;
use super::error::AdminError;
use super::text::{printable, table};
use super::{ServerOptions, moment};

/// The most claims the server returns at once.
const PAGE_CLAIMS_MAX: u64 = 10_000;

/// On a terminal, long texts are cut so that a claim stays on one line; elsewhere nothing is cut.
const TERMINAL_CELL_CHARS_MAX: usize = 48;

/// What `query` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct QueryOptions {
    /// The concept path; with `/*` at its end, everything below it too (quote it: the shell has its own use for *)
    path: String,
    /// Only claims with this predicate
    #[arg(long)]
    predicate: Option<String>,
    /// Let this lens pick one winner for each path and predicate: recency, consensus, confidence, …
    #[arg(long)]
    lens: Option<String>,
    /// How many claims to show at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Show all there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Only what was known at this time: Unix seconds, or UTC as in 2026-01-28T14:30:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Only claims in this state: proposed, under_review, approved, deprecated, rejected; any for all [default: approved]
    #[arg(long)]
    lifecycle: Option<String>,
    /// Only claims of this epoch
    #[arg(long)]
    epoch: Option<String>,
    /// Only claims of this class: regulatory, clinical, observational, expert, community, anecdotal
    #[arg(long)]
    source_class: Option<String>,
    /// Only claims with at least this confidence, 0 to 1
    #[arg(long)]
    min_confidence: Option<f64>,
    /// Retracted claims too
    #[arg(long)]
    include_retracted: bool,
    /// Let confidence fade with age, by the half-life of the source class
    #[arg(long)]
    decay: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  stemedb-admin query debian/package/openssh-server
  stemedb-admin query debian/package/openssh-server --predicate version --lens recency
  stemedb-admin query 'debian/package/*' --predicate version --lens consensus --limit 20
  stemedb-admin query drug/aspirin --as-of 2026-01-28T14:30:00Z
  stemedb-admin query 'drug/*' --all --json | jq -c '.assertions[]' > drugs.ndjson

With a lens, HELD BY says how many of the claims hold the winning value, and RUNNER-UP which \
other value came next. With --json the answers of the server are printed as they came, one line for each page of at \
most 10,000 claims.";

/// Asks page by page and prints each as it comes.
pub(super) fn run(as_json: bool, options: &QueryOptions) -> Result<ExitCode, AdminError> {
    let client = Client::new(&options.server)?;
    let as_of = options.as_of.as_deref().map(moment::parse).transpose()?;
    let mut left = if options.all { u64::MAX } else { options.limit };
    let mut cursor = None;
    let mut out = stdout().lock();
    let cell_chars_max = if out.is_terminal() { TERMINAL_CELL_CHARS_MAX } else { usize::MAX };
    loop {
        let request = options.request(as_of, left.min(PAGE_CLAIMS_MAX), cursor.as_deref());
        let body = serde_json::to_vec(&request).expect("a request of strings and finite numbers is JSON");
        let answer = client.send("/v1/query", "application/json", &body)?;
        let page: Page<'_> = answer.json(client.url())?;
        if as_json {
            out.write_all(&answer.body)?;
            writeln!(out)?;
        } else {
            out.write_all(page.to_text(cell_chars_max).as_bytes())?;
        }
        left = left.saturating_sub(page.assertions.len() as u64);
        // An empty page with a cursor would promise more for ever.
        cursor = page.cursor.filter(|_| !page.assertions.is_empty());
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    if cursor.is_some() && !as_json {
        eprintln!("There are more: --limit {} or --all shows them.", options.limit.saturating_mul(10));
    }
    Ok(ExitCode::SUCCESS)
}

/// The body of `POST /v1/query`.
#[derive(Serialize)]
struct Request<'a> {
    concept_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lens: Option<&'a str>,
    limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_confidence: Option<f64>,
    include_retracted: bool,
    decay: bool,
}

impl QueryOptions {
    fn request<'a>(&'a self, as_of: Option<UnixMicros>, limit: u64, cursor: Option<&'a str>) -> Request<'a> {
        Request {
            concept_path: &self.path,
            predicate: self.predicate.as_deref(),
            lens: self.lens.as_deref(),
            limit,
            cursor,
            as_of: as_of.map(UnixMicros::as_seconds),
            lifecycle: self.lifecycle.as_deref(),
            epoch: self.epoch.as_deref(),
            source_class: self.source_class.as_deref(),
            min_confidence: self.min_confidence,
            include_retracted: self.include_retracted,
            decay: self.decay,
        }
    }
}

/// An answer to `POST /v1/query`, as far as a table needs it.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    assertions: Vec<Hit<'a>>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    concept_path: String,
    predicate: String,
    #[serde(borrow)]
    value: &'a RawValue,
    confidence: f64,
    effective_confidence: Option<f64>,
    timestamp: f64,
    source: Option<String>,
    source_class: String,
    lifecycle: String,
    status: String,
    #[serde(borrow)]
    resolution: Option<Resolution<'a>>,
}

/// How a lens came to its winner.
#[derive(Deserialize)]
struct Resolution<'a> {
    candidates: u64,
    supporting: u64,
    #[serde(borrow)]
    runner_up: Option<RunnerUp<'a>>,
}

#[derive(Deserialize)]
struct RunnerUp<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Page<'_> {
    fn to_text(&self, cell_chars_max: usize) -> String {
        if self.assertions.is_empty() {
            return "no claims\n".to_owned();
        }
        let rows: Vec<_> = self.assertions.iter().map(|hit| hit.row(cell_chars_max)).collect();
        table(
            [
                "PATH",
                "PREDICATE",
                "VALUE",
                "CONFIDENCE",
                "DECAYED",
                "CLASS",
                "SOURCE",
                "TIME",
                "STATE",
                "HELD BY",
                "RUNNER-UP",
            ],
            &rows,
        )
    }
}

impl Hit<'_> {
    fn row(&self, cell_chars_max: usize) -> [String; 11] {
        let cell = |text: &str| printable(text, cell_chars_max);
        let state = match (self.lifecycle.as_str(), self.status.as_str()) {
            ("approved", "active") => String::new(),
            (lifecycle, "active") => cell(lifecycle),
            (_, status) => cell(status),
        };
        let resolution = self.resolution.as_ref();
        let runner_up = resolution.and_then(|found| found.runner_up.as_ref());
        [
            cell(&self.concept_path),
            cell(&self.predicate),
            cell(self.value.get()),
            self.confidence.to_string(),
            self.effective_confidence.map(|confidence| format!("{confidence:.3}")).unwrap_or_default(),
            cell(&self.source_class),
            cell(self.source.as_deref().unwrap_or_default()),
            moment::format(UnixMicros((self.timestamp * UnixMicros::PER_SECOND as f64).round() as i64)),
            state,
            resolution
                .map(|found| format!("{} of {}", found.supporting, found.candidates))
                .unwrap_or_default(),
            runner_up.map(|found| cell(found.value.get())).unwrap_or_default(),
        ]
    }
}
