//! The search for the highest rate that still meets the objective.

use serde::Serialize;

/// Which rates are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The first rate, and by how much each next one is greater, until one breaks the objective.
    pub step_per_s: f64,
    /// How often the rate may be raised, at least 1: where no rate breaks the objective, the search ends here.
    pub climbs_max: u32,
    /// How often the gap between the last good and the first bad rate is halved.
    pub bisections: u32,
}

/// The knee: where a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Knee {
    /// Between a rate that meets the objective and one that breaks it.
    Between {
        /// The highest rate that met it: the knee.
        rate_per_s: f64,
        /// The lowest rate that broke it.
        broken_per_s: f64,
    },
    /// No rate was low enough to meet the objective.
    Below {
        /// The lowest rate that was tried.
        broken_per_s: f64,
    },
    /// No rate was high enough to break the objective.
    Beyond {
        /// The highest rate that was tried.
        rate_per_s: f64,
    },
}

impl Knee {
    /// The highest rate that met the objective, if there was one.
    pub fn rate_per_s(self) -> Option<f64> {
        match self {
            Knee::Between { rate_per_s, .. } | Knee::Beyond { rate_per_s } => Some(rate_per_s),
            Knee::Below { .. } => None,
        }
    }
}

/// A search under way: says which rate to try next, and is told how that went.
#[derive(Debug, Clone)]
pub struct Search {
    plan: Plan,
    climbs: u32,
    bisections: u32,
    /// The highest rate that met the objective below all that broke it.
    good_per_s: Option<f64>,
    /// The lowest rate that broke the objective.
    bad_per_s: Option<f64>,
}

impl Search {
    /// A search that has not tried anything. Panics if the plan's step is not greater than 0 or has no climb.
    pub fn new(plan: Plan) -> Search {
        assert!(plan.step_per_s.is_finite() && plan.step_per_s > 0.0, "cannot climb by {}", plan.step_per_s);
        assert!(plan.climbs_max > 0, "a search tries at least one rate");
        Search { plan, climbs: 0, bisections: 0, good_per_s: None, bad_per_s: None }
    }

    /// The rate to try next; none when the search is over.
    pub fn next_rate_per_s(&self) -> Option<f64> {
        match self.bad_per_s {
            None => (self.climbs < self.plan.climbs_max)
                .then(|| f64::from(self.climbs + 1) * self.plan.step_per_s),
            // Where even the first rate was bad, nothing is known to be good but no load at all.
            Some(bad) => (self.bisections < self.plan.bisections)
                .then(|| f64::midpoint(self.good_per_s.unwrap_or(0.0), bad)),
        }
    }

    /// Takes in whether the rate that was to be tried next met the objective. Panics when the search is over.
    pub fn judge(&mut self, meets: bool) {
        let rate = self.next_rate_per_s().expect("a search that is over tries nothing");
        match self.bad_per_s {
            None => self.climbs += 1,
            Some(_) => self.bisections += 1,
        }
        if meets {
            self.good_per_s = Some(rate);
        } else {
            self.bad_per_s = Some(rate);
        }
        assert!(self.good_per_s.unwrap_or(0.0) < self.bad_per_s.unwrap_or(f64::INFINITY), "{self:?}");
    }

    /// How many rates are still to be tried, if each one from now on meets the objective.
    pub fn remaining_max(&self) -> u32 {
        match self.bad_per_s {
            None => self.plan.climbs_max - self.climbs,
            Some(_) => self.plan.bisections - self.bisections,
        }
    }

    /// Where the search ended. None before anything was tried.
    pub fn knee(&self) -> Option<Knee> {
        match (self.good_per_s, self.bad_per_s) {
            (Some(rate_per_s), Some(broken_per_s)) => Some(Knee::Between { rate_per_s, broken_per_s }),
            (None, Some(broken_per_s)) => Some(Knee::Below { broken_per_s }),
            (Some(rate_per_s), None) => Some(Knee::Beyond { rate_per_s }),
            (None, None) => None,
        }
    }
}
