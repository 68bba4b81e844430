//! What a server is expected to hold: its service level objective.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::figures::{Figures, Quantile};
use crate::chart::Unit;

/// The objective: a latency that a share of all requests stays within, at the rate that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Objective {
    /// Which of the latencies is limited.
    pub quantile: Quantile,
    /// Its limit.
    pub latency_us_max: f64,
    /// How much of the rate asked for must be achieved at least, from 0 to 1.
    pub achieved_share_min: f64,
}

/// How an objective was missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Breach {
    /// The rate was not achieved, but only this share of it.
    Rate(f64),
    /// The latency was longer: this quantile took so many microseconds.
    Latency(Quantile, f64),
}

/// A limit of a latency as it is written: `p99=5ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyLimit {
    /// Which latency.
    pub quantile: Quantile,
    /// Its limit, greater than 0.
    pub us_max: f64,
}

/// Why a text is not a limit of a latency.
#[derive(Debug, Error, PartialEq)]
#[error(
    "expected one of p50, p90, p99, p99.9 and max, `=`, and a duration in us, ms or s, such as p99=5ms; got `{0}`"
)]
pub struct LatencyLimitError(String);

impl Objective {
    /// How figures measured at a rate miss the objective, if they do.
    pub fn breach(&self, target_per_s: f64, figures: &Figures) -> Option<Breach> {
        let achieved_share = figures.achieved_per_s / target_per_s;
        if achieved_share < self.achieved_share_min {
            return Some(Breach::Rate(achieved_share));
        }
        let latency_us = figures.latency.at(self.quantile);
        (latency_us > self.latency_us_max).then_some(Breach::Latency(self.quantile, latency_us))
    }
}

impl Display for Objective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = Unit::Microseconds.label(self.latency_us_max);
        let achieved = Unit::Share.label(self.achieved_share_min);
        write!(formatter, "{} ≤ {latency}, and at least {achieved} of the rate achieved", self.quantile)
    }
}

impl Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Rate(share) => write!(formatter, "{} of the rate", Unit::Share.label(*share)),
            Breach::Latency(quantile, us) => {
                write!(formatter, "{quantile} {}", Unit::Microseconds.label(*us))
            }
        }
    }
}

impl FromStr for LatencyLimit {
    type Err = LatencyLimitError;

    fn from_str(text: &str) -> Result<LatencyLimit, LatencyLimitError> {
        let limit = || {
            let (quantile, duration) = text.split_once('=')?;
            let quantile = Quantile::ALL.into_iter().find(|known| known.name() == quantile)?;
            let (number, factor) = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)]
                .into_iter()
                .find_map(|(unit, factor)| Some((duration.strip_suffix(unit)?, factor)))?;
            let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let us_max = number.parse::<f64>().ok().filter(|_| plain)? * factor;
            (us_max > 0.0).then_some(LatencyLimit { quantile, us_max })
        };
        limit().ok_or_else(|| LatencyLimitError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::figures::tests::figures;

    #[test]
    fn limits_are_read() {
        let limit = |quantile, us_max| Ok(LatencyLimit { quantile, us_max });
        assert_eq!("p99=5ms".parse(), limit(Quantile::P99, 5_000.0));
        assert_eq!("p99.9=0.5s".parse(), limit(Quantile::P999, 500_000.0));
        assert_eq!("max=750us".parse(), limit(Quantile::Max, 750.0));
        for wrong in [
            "",
            "p99",
            "p99=",
            "p99=5",
            "p98=5ms",
            "p99=-1ms",
            "p99=0ms",
            "p99=inf s",
            "p99=infs",
            "p99=1e3ms",
        ] {
            assert_eq!(wrong.parse::<LatencyLimit>(), Err(LatencyLimitError(wrong.to_owned())));
        }
    }

    #[test]
    fn either_the_rate_or_the_latency_breaks_it() {
        let objective =
            Objective { quantile: Quantile::P99, latency_us_max: 5_000.0, achieved_share_min: 0.99 };
        assert_eq!(objective.breach(1_000.0, &figures(990.0, 5_000.0)), None);
        assert_eq!(objective.breach(1_000.0, &figures(989.0, 100.0)), Some(Breach::Rate(0.989)));
        let slow = objective.breach(1_000.0, &figures(1_000.0, 5_001.0));
        assert_eq!(slow, Some(Breach::Latency(Quantile::P99, 5_001.0)));
        assert_eq!(slow.unwrap().to_string(), "p99 5 ms");
        assert_eq!(objective.to_string(), "p99 ≤ 5 ms, and at least 99 % of the rate achieved");
    }
}
