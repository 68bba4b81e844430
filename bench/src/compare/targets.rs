//! The ratios, and what each should come to.

use std::fmt;

use serde::{Serialize, Serializer};

use super::round::Round;
use super::spread::Spread;
use crate::system::{Beside, Experiment, Name, Quantity};

use Experiment::{Batch, Cores, DiskWrite, Empty, File, HalfRate, Large, Memory, Query, Recovery, Write};
use Quantity::{DiskBytesPerSecond, P50Us, P99Us, PerSecond, ResidentBytesAClaim, ServerCpuUs};

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

/// A line of the table: what is computed in each round, and what it should come to.
pub struct Target {
    /// What it is.
    pub title: &'static str,
    /// Its aim.
    pub aim: Aim,
    /// Its value in a round in which all its parts were measured.
    pub value: fn(&Round) -> Option<f64>,
}

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
pub const TARGETS: &[Target] = &[
    Target {
        title: "single claims, 64 connections ÷ Redis, appendfsync always",
        aim: Aim::AtLeast(1.6),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), PerSecond),
                round.value(Name::Redis, Write(64), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 16 connections ÷ Redis",
        aim: Aim::AtLeast(1.5),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(16), PerSecond),
                round.value(Name::Redis, Write(16), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 256 connections ÷ Redis",
        aim: Aim::AtLeast(1.5),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(256), PerSecond),
                round.value(Name::Redis, Write(256), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, one connection ÷ Redis",
        aim: Aim::Told,
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(1), PerSecond),
                round.value(Name::Redis, Write(1), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 64 connections ÷ PostgreSQL, one row an INSERT",
        aim: Aim::AtLeast(4.0),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), PerSecond),
                round.value(Name::Postgres, Write(64), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 64 connections ÷ etcd, put",
        aim: Aim::AtLeast(7.0),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), PerSecond),
                round.value(Name::Etcd, Write(64), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 64 connections ÷ SQLite, WAL, synchronous FULL, its own loop",
        aim: Aim::AtLeast(10.0),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), PerSecond),
                round.value(Name::Sqlite, Write(1), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 64 connections ÷ NATS JetStream, sync_interval always",
        aim: Aim::Told,
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), PerSecond),
                round.value(Name::Nats, Write(64), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 64 connections ÷ nginx, empty reply to the same request",
        aim: Aim::AtLeast(0.75),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), PerSecond),
                round.value(Name::Nginx, Empty(64), PerSecond),
            )
        },
    },
    Target {
        title: "single claims, 256 connections ÷ nginx",
        aim: Aim::AtLeast(0.9),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(256), PerSecond),
                round.value(Name::Nginx, Empty(256), PerSecond),
            )
        },
    },
    Target {
        title: "p50 at one connection ÷ (durable 4 KiB write + nginx empty reply)",
        aim: Aim::AtMost(1.15),
        value: |round| {
            let parts =
                round.value(Name::Fio, DiskWrite(4), P50Us)? + round.value(Name::Nginx, Empty(1), P50Us)?;
            ratio(round.value(Name::StemeDb, Write(1), P50Us), Some(parts))
        },
    },
    Target {
        title: "p99 at half rate, open loop, 64 connections ÷ p50 of the durable 4 KiB write",
        aim: Aim::AtMost(6.0),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, HalfRate(Beside::Nothing), P99Us),
                round.value(Name::Fio, DiskWrite(4), P50Us),
            )
        },
    },
    Target {
        title: "batches of 1000, claims a second ÷ PostgreSQL COPY of 1000 rows, one index",
        aim: Aim::AtLeast(2.0),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Batch(8), PerSecond),
                round.value(Name::Postgres, Batch(8), PerSecond),
            )
        },
    },
    Target {
        title: "log bandwidth with large claims ÷ durable 64 KiB writes",
        aim: Aim::AtLeast(0.85),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Large(16), DiskBytesPerSecond),
                round.value(Name::Fio, DiskWrite(64), DiskBytesPerSecond),
            )
        },
    },
    Target {
        title: "point queries, 64 connections ÷ nginx, static file",
        aim: Aim::AtLeast(0.85),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Query(64), PerSecond),
                round.value(Name::Nginx, File(64), PerSecond),
            )
        },
    },
    Target {
        title: "server CPU a POST at 64 connections ÷ nginx, an empty reply",
        aim: Aim::AtMost(1.4),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Write(64), ServerCpuUs),
                round.value(Name::Nginx, Empty(64), ServerCpuUs),
            )
        },
    },
    Target {
        title: "server CPU a POST with two cores ÷ with one",
        aim: Aim::AtMost(1.15),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, Cores(2), ServerCpuUs),
                round.value(Name::StemeDb, Cores(1), ServerCpuUs),
            )
        },
    },
    Target {
        title: "recovery after kill -9, claims a second on one core",
        aim: Aim::AtLeast(2_000_000.0),
        value: |round| round.value(Name::StemeDb, Recovery, PerSecond),
    },
    Target {
        title: "resident bytes a claim, small claims",
        aim: Aim::AtMost(200.0),
        value: |round| round.value(Name::StemeDb, Memory, ResidentBytesAClaim),
    },
    Target {
        title: "p99 at half rate, metrics scraped each second ÷ alone",
        aim: Aim::AtMost(1.5),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, HalfRate(Beside::Scrapes), P99Us),
                round.value(Name::StemeDb, HalfRate(Beside::Nothing), P99Us),
            )
        },
    },
    Target {
        title: "p99 at half rate, 1000 subtree queries a second beside ÷ alone",
        aim: Aim::AtMost(3.0),
        value: |round| {
            ratio(
                round.value(Name::StemeDb, HalfRate(Beside::Subtrees), P99Us),
                round.value(Name::StemeDb, HalfRate(Beside::Nothing), P99Us),
            )
        },
    },
];

fn ratio(numerator: Option<f64>, denominator: Option<f64>) -> Option<f64> {
    let ratio = numerator? / denominator?;
    if ratio.is_finite() { Some(ratio) } else { None }
}

/// What became of each target for which there is a round with all its parts.
pub fn evaluate(rounds: &[Round]) -> Vec<Outcome> {
    let outcome = |target: &Target| {
        let spread = Spread::of(rounds.iter().filter_map(target.value))?;
        Some(Outcome {
            title: target.title,
            aim: target.aim,
            verdict: target.aim.verdict(spread.median),
            spread,
        })
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
        assert_eq!(ratio(Some(1.0), Some(0.0)), None);
        assert_eq!(ratio(None, Some(1.0)), None);
    }
}
