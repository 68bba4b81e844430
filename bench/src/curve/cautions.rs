//! What makes the figures of a curve worth less than they seem.

use super::{Curve, Knee, Step};
use crate::chart::Unit;

/// A generator that uses more of its CPU than this may be what limits the rate.
const GENERATOR_CPU_SHARE_MAX: f64 = 0.9;

/// A generator that is later than this share of the limited latency adds to it noticeably.
const LATE_SHARE_MAX: f64 = 0.1;

impl Curve {
    /// What a reader has to know before believing the knee, each in a sentence or two.
    pub fn cautions(&self) -> Vec<String> {
        let mut cautions = Vec::new();
        let broken = match self.knee {
            Knee::Between { broken_per_s, .. } | Knee::Below { broken_per_s } => Some(broken_per_s),
            Knee::Beyond { .. } => None,
        };
        let broken = self.steps.iter().find(|step| Some(step.target_per_s) == broken);
        for step in [self.knee_step(), broken].into_iter().flatten() {
            self.caution_generator(step, &mut cautions);
        }
        let disagreeing = self.steps.iter().filter(|step| self.is_split(step)).count();
        if disagreeing > 0 {
            cautions.push(format!(
                "At {disagreeing} of {} rates some tries met the objective and others did not: something else than \
                 the rate decides there.",
                self.steps.len()
            ));
        }
        cautions
    }

    fn caution_generator(&self, step: &Step, cautions: &mut Vec<String>) {
        let (rate, generator) = (Unit::Count.label(step.target_per_s), step.median.generator);
        if generator.cpu_share > GENERATOR_CPU_SHARE_MAX {
            cautions.push(format!(
                "At {rate} requests a second the load generator used {} of its CPU: the knee may be its own, not the \
                 server's.",
                Unit::Share.label(generator.cpu_share)
            ));
        }
        if step.meets && generator.late_p99_us > LATE_SHARE_MAX * self.objective.latency_us_max {
            cautions.push(format!(
                "At {rate} requests a second the load generator sent one of 100 requests {} late or more. That is part \
                 of the latencies.",
                Unit::Microseconds.label(generator.late_p99_us)
            ));
        }
    }

    /// Whether the tries of a step disagree about the objective.
    fn is_split(&self, step: &Step) -> bool {
        step.tries.iter().any(|one| self.objective.breach(step.target_per_s, one).is_none() != step.meets)
    }
}
