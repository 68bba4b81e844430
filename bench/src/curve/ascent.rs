//! Up the rates to the knee, and back to half of it.

use super::figures::{Figures, Step};
use super::knee::{Knee, Plan, Search};
use super::objective::Objective;

/// How the rates are gone through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ascent {
    /// What each rate is held against.
    pub objective: Objective,
    /// Which rates.
    pub plan: Plan,
    /// How often each is tried, at least once. Only the medians of all tries are judged, so that one disturbance of the
    /// machine neither ends the search nor moves the knee.
    pub tries: usize,
}

/// One of the tries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// The rate to try.
    pub target_per_s: f64,
    /// Which try at this rate it is, from 0.
    pub index: usize,
    /// How many tries are left in all, this one included, unless a rate breaks the objective.
    pub remaining_max: usize,
}

/// Where an ascent led.
#[derive(Debug, Clone, PartialEq)]
pub struct Ascended {
    /// The knee.
    pub knee: Knee,
    /// All that was tried, by rising rate.
    pub steps: Vec<Step>,
}

impl Ascent {
    /// Searches the knee, then tries half of its rate too. `attempt` measures; `done` is shown each step.
    ///
    /// # Errors
    ///
    /// With the first error of `attempt`.
    pub fn run<E>(
        &self,
        mut attempt: impl FnMut(Attempt) -> Result<Figures, E>,
        mut done: impl FnMut(&Step),
    ) -> Result<Ascended, E> {
        let mut search = Search::new(self.plan);
        let mut steps: Vec<Step> = Vec::new();
        while let Some(target_per_s) = search.next_rate_per_s() {
            // One more than the search says: the step at half of the knee's rate.
            let step = self.step(target_per_s, search.remaining_max() + 1, &mut attempt)?;
            done(&step);
            search.judge(step.meets);
            steps.push(step);
        }
        let knee = search.knee().expect("a search tries at least one rate");
        let half_per_s = knee.rate_per_s().map(|rate| rate / 2.0);
        if let Some(target_per_s) =
            half_per_s.filter(|half| steps.iter().all(|step| step.target_per_s != *half))
        {
            let step = self.step(target_per_s, 1, &mut attempt)?;
            done(&step);
            steps.push(step);
        }
        steps.sort_by(|one, other| one.target_per_s.total_cmp(&other.target_per_s));
        Ok(Ascended { knee, steps })
    }

    fn step<E>(
        &self,
        target_per_s: f64,
        steps_left: u32,
        attempt: &mut impl FnMut(Attempt) -> Result<Figures, E>,
    ) -> Result<Step, E> {
        assert!(self.tries > 0, "a rate is tried at least once");
        let tries: Result<Vec<_>, E> = (0..self.tries)
            .map(|index| {
                attempt(Attempt {
                    target_per_s,
                    index,
                    remaining_max: steps_left as usize * self.tries - index,
                })
            })
            .collect();
        let tries = tries?;
        let median = Figures::median(&tries);
        Ok(Step {
            target_per_s,
            meets: self.objective.breach(target_per_s, &median).is_none(),
            median,
            tries,
        })
    }
}
