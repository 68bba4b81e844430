//! The rate–latency curve: latencies at rising rates, up to the knee, beyond which the server does not hold its objective.

mod ascent;
mod cautions;
mod distribution;
mod exposition;
mod figures;
mod knee;
mod measure;
mod objective;
mod server;

pub use ascent::{Ascended, Ascent, Attempt};
pub use distribution::{Distribution, DistributionError};
pub use exposition::ExpositionError;
pub use figures::{Commits, Figures, Generator, Latency, Quantile, ServerUse, Step};
pub use knee::{Knee, Plan, Search};
pub use measure::{Bench, BenchError, Drive};
pub use objective::{Breach, LatencyLimit, LatencyLimitError, Objective};
pub use server::{ServerError, Source};

pub(crate) use exposition::samples;
pub(crate) use server::Server;

use serde::Serialize;

/// A curve with all that it was measured with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// How it was measured.
    pub setup: Setup,
    /// What was demanded of each step.
    pub objective: Objective,
    /// What a short run without pauses achieved: the measure of the steps.
    pub probe_per_s: f64,
    /// Where the objective breaks.
    pub knee: Knee,
    /// What was measured, by rising rate.
    pub steps: Vec<Step>,
}

/// How a curve was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setup {
    /// The command line.
    pub command: String,
    /// When it began, in UTC.
    pub began: String,
    /// The machine: processor, CPUs, memory, kernel.
    pub machine: String,
    /// The server: its version, and the CPUs it was bound to.
    pub server: String,
    /// What was asked of it.
    pub workload: String,
    /// Connections to it.
    pub connections: usize,
    /// Requests that a connection may have unanswered.
    pub depth: u32,
    /// How often each rate was tried.
    pub tries: usize,
    /// How long load ran in each try before it was measured.
    pub warm_up_s: f64,
    /// How long it was measured.
    pub duration_s: f64,
}

impl Curve {
    /// The step at the knee: the one with the highest rate of those that meet the objective below the knee.
    pub fn knee_step(&self) -> Option<&Step> {
        let rate = self.knee.rate_per_s()?;
        self.steps.iter().find(|step| step.target_per_s == rate)
    }

    /// The step at half of the knee's rate: how the server does when it has room.
    pub fn half_step(&self) -> Option<&Step> {
        let rate = self.knee.rate_per_s()? / 2.0;
        self.steps.iter().find(|step| step.target_per_s == rate)
    }
}
