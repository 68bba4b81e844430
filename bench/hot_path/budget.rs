//! The budget: how many instructions each case may take, as checked in.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

/// What stands above every budget that is written.
const PREAMBLE: &str = "\
# Instructions of the hot path for each request, claim, record or scrape, counted by callgrind in the release profile.
# CI compares with it: cargo run --release -p stemedb-hot-path
# A change that is meant to cost or save instructions rewrites it: the same command with `-- --bless`.
# Any change in the same crate may move a count by 2 % or so, through what the compiler then inlines: the tolerance is twice that.
";

/// A budget.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// The compiler that it was counted with. Another one makes other instructions of the same program.
    pub(crate) rustc: String,
    /// By how many percent a count may differ from its budget, in either direction.
    pub(crate) tolerance_percent: f64,
    /// The same when it is counted with another compiler.
    pub(crate) tolerance_percent_other_rustc: f64,
    /// By case.
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// How a count compares with its budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// As it should be.
    Within,
    /// The case takes more than it may.
    Above,
    /// The case takes so much less that the budget guards nothing: it is to be lowered.
    Below,
    /// The budget does not know the case.
    Unknown,
}

impl Budget {
    /// Reads a budget.
    pub(crate) fn parse(text: &str) -> Result<Budget, String> {
        let budget: Budget = toml::from_str(text).map_err(|error| error.to_string())?;
        for tolerance in [budget.tolerance_percent, budget.tolerance_percent_other_rustc] {
            if !(0.0..100.0).contains(&tolerance) {
                return Err(format!("a tolerance of {tolerance} percent"));
            }
        }
        if let Some((case, _)) = budget.instructions.iter().find(|(_, instructions)| **instructions == 0) {
            return Err(format!("the budget of {case} is 0"));
        }
        Ok(budget)
    }

    /// The budget as it is checked in.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::from(PREAMBLE);
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("memory takes it");
        line(format_args!("rustc = {:?}", self.rustc));
        line(format_args!("tolerance_percent = {:?}", self.tolerance_percent));
        line(format_args!("tolerance_percent_other_rustc = {:?}", self.tolerance_percent_other_rustc));
        line(format_args!("\n[instructions]"));
        for (case, instructions) in &self.instructions {
            line(format_args!("{case} = {instructions}"));
        }
        text
    }

    /// By how many percent a count is above the budget of its case; negative when it is below.
    pub(crate) fn excess_percent(&self, case: &str, instructions: u64) -> Option<f64> {
        let budget = *self.instructions.get(case)? as f64;
        Some((instructions as f64 - budget) / budget * 100.0)
    }

    /// By how many percent counts with this compiler may differ from the budget.
    pub(crate) fn tolerance_percent(&self, rustc: &str) -> f64 {
        if rustc == self.rustc { self.tolerance_percent } else { self.tolerance_percent_other_rustc }
    }

    /// Compares a count with the budget of its case.
    pub(crate) fn judge(&self, case: &str, instructions: u64, tolerance_percent: f64) -> Verdict {
        match self.excess_percent(case, instructions) {
            None => Verdict::Unknown,
            Some(excess) if excess > tolerance_percent => Verdict::Above,
            Some(excess) if excess < -tolerance_percent => Verdict::Below,
            Some(_) => Verdict::Within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSTC: &str = "rustc 1.89.0 (29483883e 2025-08-04)";

    fn budget() -> Budget {
        Budget {
            rustc: RUSTC.to_owned(),
            tolerance_percent: 2.0,
            tolerance_percent_other_rustc: 10.0,
            instructions: BTreeMap::from([("assert".to_owned(), 10_000), ("query".to_owned(), 500)]),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        assert_eq!(Budget::parse(&budget().to_text()), Ok(budget()));
    }

    #[test]
    fn the_tolerance_holds_in_both_directions_and_no_further() {
        for (instructions, verdict) in [
            (9_799, Verdict::Below),
            (9_800, Verdict::Within),
            (10_000, Verdict::Within),
            (10_200, Verdict::Within),
            (10_201, Verdict::Above),
        ] {
            let tolerance = budget().tolerance_percent(RUSTC);
            assert_eq!(budget().judge("assert", instructions, tolerance), verdict, "{instructions}");
        }
        assert_eq!(budget().judge("batch", 1, 2.0), Verdict::Unknown);
        assert_eq!(budget().excess_percent("query", 505), Some(1.0));
    }

    #[test]
    fn another_compiler_is_given_more_room() {
        let tolerance = budget().tolerance_percent("rustc 1.99.0");
        assert_eq!(budget().judge("assert", 10_900, tolerance), Verdict::Within);
        assert_eq!(budget().judge("assert", 11_100, tolerance), Verdict::Above);
    }

    #[test]
    fn a_budget_that_guards_nothing_is_refused() {
        let with = |old: &str, new: &str| Budget::parse(&budget().to_text().replace(old, new));
        assert!(with("= 2.0", "= -1.0").is_err());
        assert!(with("= 2.0", "= nan").is_err());
        assert!(with("query = 500", "query = 0").is_err());
        assert!(with("query = 500", "query = 500\nquery = 600").is_err());
        assert!(with("tolerance_percent =", "tolerance =").is_err());
        assert!(with("[instructions]", "").is_err());
    }

    #[test]
    fn the_budget_that_is_checked_in_is_one() {
        let budget = Budget::parse(include_str!("budget.toml")).expect("valid");
        assert_eq!(budget.to_text(), include_str!("budget.toml"), "written by --bless");
        let cases: Vec<&str> = budget.instructions.keys().map(String::as_str).collect();
        let mut known: Vec<&str> = crate::case::CASES.iter().map(|case| case.name).collect();
        known.sort_unstable();
        assert_eq!(cases, known);
    }
}
