//! The ratios, and what each should come to.

use std::fmt;

use serde::{Serialize, Serializer};

use super::round::Round;
use super::spread::Spread;
use crate::system::{Beside, Experiment, Name, Quantity};

use Aim::{AtLeast, AtMost, Told};
use Experiment::{
    Batch, Cores, DiskWrite, Empty, File, HalfRate, HalfRateQuery, Large, Memory, Query, Recovery, Write,
};
use Name::{Etcd, Fio, Nats, Nginx, Postgres, Redis, Sqlite, StemeDb};
use Quantity::{DiskBytesPerSecond, P50Us, P99Us, PerSecond, ResidentBytesAClaim, ServerCpuUs};
use Value::{Plain, Ratio};

/// What a ratio should come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// It is told without an aim.
    Told,
}

/// Whether an aim was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The median reaches it.
    Met,
    /// The median does not.
    Missed,
    /// There is no aim.
    Told,
}

/// A number that is measured.
type Part = (Name, Experiment, Quantity);

/// What is computed in a round.
enum Value {
    /// What was measured, as it is.
    Plain(Part),
    /// It, divided by the sum of these.
    Ratio(Part, &'static [Part]),
}

/// A line of the table: what is computed in each round, and what it should come to.
struct Target(&'static str, Aim, Value);

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What it is.
    pub title: &'static str,
    /// Its aim.
    pub aim: Aim,
    /// Whether its median reached the aim.
    pub verdict: Verdict,
    /// Its value over the rounds.
    #[serde(flatten)]
    pub spread: Spread,
}

/// All of them, in the order in which they are shown.
const TARGETS: &[Target] = &[
    Target(
        "single claims, 64 connections ÷ Redis, appendfsync always",
        AtLeast(1.6),
        Ratio((StemeDb, Write(64), PerSecond), &[(Redis, Write(64), PerSecond)]),
    ),
    Target(
        "single claims, 16 connections ÷ Redis",
        AtLeast(1.5),
        Ratio((StemeDb, Write(16), PerSecond), &[(Redis, Write(16), PerSecond)]),
    ),
    Target(
        "single claims, 256 connections ÷ Redis",
        AtLeast(1.5),
        Ratio((StemeDb, Write(256), PerSecond), &[(Redis, Write(256), PerSecond)]),
    ),
    Target(
        "single claims, one connection ÷ Redis",
        Told,
        Ratio((StemeDb, Write(1), PerSecond), &[(Redis, Write(1), PerSecond)]),
    ),
    Target(
        "single claims, 64 connections ÷ PostgreSQL, one row an INSERT",
        AtLeast(4.0),
        Ratio((StemeDb, Write(64), PerSecond), &[(Postgres, Write(64), PerSecond)]),
    ),
    Target(
        "single claims, 64 connections ÷ etcd, put",
        AtLeast(7.0),
        Ratio((StemeDb, Write(64), PerSecond), &[(Etcd, Write(64), PerSecond)]),
    ),
    Target(
        "single claims, 64 connections ÷ SQLite, WAL, synchronous FULL, its own loop",
        AtLeast(10.0),
        Ratio((StemeDb, Write(64), PerSecond), &[(Sqlite, Write(1), PerSecond)]),
    ),
    Target(
        "single claims, 64 connections ÷ NATS JetStream, sync_interval always",
        Told,
        Ratio((StemeDb, Write(64), PerSecond), &[(Nats, Write(64), PerSecond)]),
    ),
    Target(
        "single claims, 64 connections ÷ nginx, empty reply to the same request",
        AtLeast(0.75),
        Ratio((StemeDb, Write(64), PerSecond), &[(Nginx, Empty(64), PerSecond)]),
    ),
    Target(
        "single claims, 256 connections ÷ nginx",
        AtLeast(0.9),
        Ratio((StemeDb, Write(256), PerSecond), &[(Nginx, Empty(256), PerSecond)]),
    ),
    Target(
        "p50 at one connection ÷ (durable 4 KiB write + nginx empty reply)",
        AtMost(1.15),
        Ratio((StemeDb, Write(1), P50Us), &[(Fio, DiskWrite(4), P50Us), (Nginx, Empty(1), P50Us)]),
    ),
    Target(
        "p99 at half rate, open loop, 64 connections ÷ p50 of the durable 4 KiB write",
        AtMost(6.0),
        Ratio((StemeDb, HalfRate(Beside::Nothing), P99Us), &[(Fio, DiskWrite(4), P50Us)]),
    ),
    Target(
        "p99 of point queries at the same rate ÷ p50 of the durable 4 KiB write",
        Told,
        Ratio((StemeDb, HalfRateQuery, P99Us), &[(Fio, DiskWrite(4), P50Us)]),
    ),
    Target(
        "batches of 1000, claims a second ÷ PostgreSQL COPY of 1000 rows, one index",
        AtLeast(2.0),
        Ratio((StemeDb, Batch(8), PerSecond), &[(Postgres, Batch(8), PerSecond)]),
    ),
    Target(
        "log bandwidth with large claims ÷ durable 64 KiB writes",
        AtLeast(0.85),
        Ratio((StemeDb, Large(16), DiskBytesPerSecond), &[(Fio, DiskWrite(64), DiskBytesPerSecond)]),
    ),
    Target(
        "point queries, 64 connections ÷ nginx, static file",
        AtLeast(0.85),
        Ratio((StemeDb, Query(64), PerSecond), &[(Nginx, File(64), PerSecond)]),
    ),
    Target(
        "server CPU a POST at 64 connections ÷ nginx, an empty reply",
        AtMost(1.4),
        Ratio((StemeDb, Write(64), ServerCpuUs), &[(Nginx, Empty(64), ServerCpuUs)]),
    ),
    Target(
        "server CPU a POST with two cores ÷ with one",
        AtMost(1.15),
        Ratio((StemeDb, Cores(2), ServerCpuUs), &[(StemeDb, Cores(1), ServerCpuUs)]),
    ),
    Target(
        "recovery after kill -9, claims a second on one core",
        AtLeast(2_000_000.0),
        Plain((StemeDb, Recovery, PerSecond)),
    ),
    Target(
        "resident bytes a claim, small claims",
        AtMost(200.0),
        Plain((StemeDb, Memory, ResidentBytesAClaim)),
    ),
    Target(
        "p99 at half rate, metrics scraped each second ÷ alone",
        AtMost(1.5),
        Ratio((StemeDb, HalfRate(Beside::Scrapes), P99Us), &[(StemeDb, HalfRate(Beside::Nothing), P99Us)]),
    ),
    Target(
        "p99 at half rate, 1000 subtree queries a second beside ÷ alone",
        AtMost(3.0),
        Ratio((StemeDb, HalfRate(Beside::Subtrees), P99Us), &[(StemeDb, HalfRate(Beside::Nothing), P99Us)]),
    ),
];

impl Value {
    /// Its value in a round in which all its parts were measured.
    fn of(&self, round: &Round) -> Option<f64> {
        let measured = |(name, experiment, quantity): Part| round.value(name, experiment, quantity);
        let value = match self {
            Value::Plain(part) => measured(*part)?,
            Value::Ratio(part, others) => {
                let others: Option<f64> = others.iter().map(|other| measured(*other)).sum();
                measured(*part)? / others?
            }
        };
        value.is_finite().then_some(value)
    }
}

/// What became of each target for which there is a round with all its parts.
pub fn evaluate(rounds: &[Round]) -> Vec<Outcome> {
    let outcome = |Target(title, aim, value): &Target| {
        let spread = Spread::of(rounds.iter().filter_map(|round| value.of(round)))?;
        Some(Outcome { title, aim: *aim, verdict: aim.verdict(spread.median), spread })
    };
    TARGETS.iter().filter_map(outcome).collect()
}

impl Aim {
    fn verdict(self, value: f64) -> Verdict {
        let is_met = match self {
            Aim::AtLeast(bound) => value >= bound,
            Aim::AtMost(bound) => value <= bound,
            Aim::Told => return Verdict::Told,
        };
        if is_met { Verdict::Met } else { Verdict::Missed }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aim::AtLeast(bound) if *bound >= 1e6 => write!(f, "≥ {} million", bound / 1e6),
            Aim::AtLeast(bound) => write!(f, "≥ {bound}"),
            Aim::AtMost(bound) => write!(f, "≤ {bound}"),
            Aim::Told => Ok(()),
        }
    }
}

impl Serialize for Aim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::Told => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Measurement;

    fn round(measured: &[(Name, Experiment, Quantity, f64)]) -> Round {
        let mut round = Round::default();
        for (name, experiment, quantity, value) in measured {
            round.add(*name, [(*experiment, Measurement::default().with(*quantity, *value))]);
        }
        round
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let rounds: Vec<Round> = [(100.0, 50.0), (300.0, 200.0), (170.0, 100.0)]
            .map(|(ours, theirs)| {
                round(&[
                    (Name::StemeDb, Write(64), PerSecond, ours),
                    (Name::Redis, Write(64), PerSecond, theirs),
                ])
            })
            .into();
        let outcomes = evaluate(&rounds);
        assert_eq!(outcomes.len(), 1, "all others have parts that were not measured");
        let spread = Spread { median: 1.7, min: 1.5, max: 2.0, rounds: 3 };
        assert_eq!(outcomes[0].spread, spread);
        assert_eq!(outcomes[0].verdict, Verdict::Met);
    }

    #[test]
    fn a_round_without_a_part_does_not_count() {
        let whole = round(&[(Name::StemeDb, Recovery, PerSecond, 1e6)]);
        let outcomes = evaluate(&[whole, Round::default()]);
        assert_eq!(outcomes[0].spread.rounds, 1);
        assert_eq!(outcomes[0].verdict, Verdict::Missed);
        assert_eq!(outcomes[0].aim.to_string(), "≥ 2 million");
    }

    #[test]
    fn the_floor_of_one_connection_is_a_sum() {
        let round = round(&[
            (Name::StemeDb, Write(1), P50Us, 260.0),
            (Name::Fio, DiskWrite(4), P50Us, 180.0),
            (Name::Nginx, Empty(1), P50Us, 80.0),
        ]);
        let outcomes = evaluate(&[round]);
        assert_eq!((outcomes[0].spread.median, outcomes[0].verdict), (1.0, Verdict::Met));
    }

    #[test]
    fn what_cannot_be_divided_is_no_ratio() {
        let nothing = round(&[
            (Name::StemeDb, Write(64), PerSecond, 1.0),
            (Name::Redis, Write(64), PerSecond, 0.0),
            (Name::Nginx, Empty(64), PerSecond, 2.0),
        ]);
        let titles: Vec<&str> = evaluate(&[nothing]).iter().map(|outcome| outcome.title).collect();
        assert_eq!(titles, ["single claims, 64 connections ÷ nginx, empty reply to the same request"]);
    }
}
