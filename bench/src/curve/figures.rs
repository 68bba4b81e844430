//! What is measured at one rate.

use std::fmt::{self, Display};

use serde::Serialize;

/// Which of all latencies of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Quantile {
    /// Half of all were at most as long.
    #[serde(rename = "p50")]
    P50,
    /// Nine of ten.
    #[serde(rename = "p90")]
    P90,
    /// 99 of 100.
    #[serde(rename = "p99")]
    P99,
    /// 999 of 1000.
    #[serde(rename = "p99.9")]
    P999,
    /// All.
    #[serde(rename = "max")]
    Max,
}

/// Latencies of the requests of one run, counted from when each was due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// In half of all.
    pub p50_us: f64,
    /// In nine of ten.
    pub p90_us: f64,
    /// In 99 of 100.
    pub p99_us: f64,
    /// In 999 of 1000.
    pub p999_us: f64,
    /// In the slowest.
    pub max_us: f64,
}

/// What the server's log did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Commits {
    /// Durable writes a second.
    pub frames_per_s: f64,
    /// Records that a durable write held, on average.
    pub records_mean: f64,
    /// … at most, in half of the writes.
    pub records_p50: f64,
    /// … at most, in 99 of 100.
    pub records_p99: f64,
    /// Time of a durable write, in half of them.
    pub write_p50_us: f64,
    /// … in 99 of 100.
    pub write_p99_us: f64,
}

/// What the server used meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ServerUse {
    /// CPU time over time: 1 is one core.
    pub cpu_share: f64,
    /// CPU time a request.
    pub cpu_us_a_request: f64,
    /// Resident memory at the end.
    pub resident_bytes: f64,
}

/// What the load generator did: whether it is what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Generator {
    /// CPU time over time: 1 is one core.
    pub cpu_share: f64,
    /// How long after they were due requests were sent, in 99 of 100.
    pub late_p99_us: f64,
}

/// All that is measured in one run at one rate, or the medians of several such runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Requests answered a second.
    pub achieved_per_s: f64,
    /// How long answers took.
    pub latency: Latency,
    /// Unknown where the server wrote nothing.
    pub commits: Option<Commits>,
    /// Unknown where the server runs elsewhere.
    pub server: Option<ServerUse>,
    /// How the load generator kept up.
    pub generator: Generator,
}

/// One rate, with all tries at it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The rate that was asked for.
    pub target_per_s: f64,
    /// Whether the medians meet the objective.
    pub meets: bool,
    /// The median of each figure over all tries; but the longest latency is the longest of all tries.
    pub median: Figures,
    /// Each try, in order.
    pub tries: Vec<Figures>,
}

impl Quantile {
    /// All, from the shortest latency to the longest.
    pub const ALL: [Quantile; 5] =
        [Quantile::P50, Quantile::P90, Quantile::P99, Quantile::P999, Quantile::Max];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Quantile::P50 => "p50",
            Quantile::P90 => "p90",
            Quantile::P99 => "p99",
            Quantile::P999 => "p99.9",
            Quantile::Max => "max",
        }
    }
}

impl Display for Quantile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Latency {
    /// One of the latencies, in microseconds.
    pub fn at(&self, quantile: Quantile) -> f64 {
        match quantile {
            Quantile::P50 => self.p50_us,
            Quantile::P90 => self.p90_us,
            Quantile::P99 => self.p99_us,
            Quantile::P999 => self.p999_us,
            Quantile::Max => self.max_us,
        }
    }
}

impl Figures {
    /// The median of each figure over `tries`, of which there is at least one; but the longest latency is the longest
    /// of all. One try that the host disturbed does not show in medians.
    pub fn median(tries: &[Figures]) -> Figures {
        let of = |figure: fn(&Figures) -> f64| median(tries.iter().map(figure).collect());
        let commits: Vec<_> = tries.iter().filter_map(|one| one.commits).collect();
        let commit = |figure: fn(&Commits) -> f64| median(commits.iter().map(figure).collect());
        let servers: Vec<_> = tries.iter().filter_map(|one| one.server).collect();
        let server = |figure: fn(&ServerUse) -> f64| median(servers.iter().map(figure).collect());
        Figures {
            achieved_per_s: of(|one| one.achieved_per_s),
            latency: Latency {
                p50_us: of(|one| one.latency.p50_us),
                p90_us: of(|one| one.latency.p90_us),
                p99_us: of(|one| one.latency.p99_us),
                p999_us: of(|one| one.latency.p999_us),
                max_us: tries.iter().map(|one| one.latency.max_us).fold(0.0, f64::max),
            },
            commits: (!commits.is_empty()).then(|| Commits {
                frames_per_s: commit(|one| one.frames_per_s),
                records_mean: commit(|one| one.records_mean),
                records_p50: commit(|one| one.records_p50),
                records_p99: commit(|one| one.records_p99),
                write_p50_us: commit(|one| one.write_p50_us),
                write_p99_us: commit(|one| one.write_p99_us),
            }),
            server: (!servers.is_empty()).then(|| ServerUse {
                cpu_share: server(|one| one.cpu_share),
                cpu_us_a_request: server(|one| one.cpu_us_a_request),
                resident_bytes: server(|one| one.resident_bytes),
            }),
            generator: Generator {
                cpu_share: of(|one| one.generator.cpu_share),
                late_p99_us: of(|one| one.generator.late_p99_us),
            },
        }
    }
}

/// The value in the middle; of an even number, the mean of the two there.
fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing has no median");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Figures of a run with one latency in all of its quantiles.
    pub(crate) fn figures(achieved_per_s: f64, latency_us: f64) -> Figures {
        Figures {
            achieved_per_s,
            latency: Latency {
                p50_us: latency_us,
                p90_us: latency_us,
                p99_us: latency_us,
                p999_us: latency_us,
                max_us: latency_us,
            },
            commits: None,
            server: None,
            generator: Generator { cpu_share: 0.5, late_p99_us: 1.0 },
        }
    }

    #[test]
    fn one_disturbed_try_does_not_move_a_median_but_shows_in_the_longest_latency() {
        let median =
            Figures::median(&[figures(1_000.0, 200.0), figures(400.0, 90_000.0), figures(999.0, 210.0)]);
        assert_eq!((median.achieved_per_s, median.latency.p99_us), (999.0, 210.0));
        assert_eq!(median.latency.max_us, 90_000.0);
        assert_eq!((median.commits, median.server), (None, None));
    }

    #[test]
    fn medians_of_few() {
        assert_eq!([vec![3.0], vec![4.0, 1.0], vec![9.0, 1.0, 2.0]].map(median), [3.0, 2.5, 2.0]);
    }
}
