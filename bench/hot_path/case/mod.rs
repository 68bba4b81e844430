//! What is counted: each case sets itself up, and does its work inside of [`measured`].

mod assert;
mod batch;
mod metrics;
mod query;
mod recovery;

/// One case.
pub(crate) struct Case {
    /// Its name, in the budget too.
    pub(crate) name: &'static str,
    /// What its instructions are counted for.
    pub(crate) unit: &'static str,
    /// Runs it. Gives the number of units that were done inside of [`measured`].
    pub(crate) run: fn() -> u64,
}

/// All cases.
pub(crate) const CASES: [Case; 5] = [
    Case { name: "assert", unit: "request", run: assert::run },
    Case { name: "batch", unit: "claim", run: batch::run },
    Case { name: "query", unit: "request", run: query::run },
    Case { name: "recovery", unit: "record", run: recovery::run },
    Case { name: "metrics", unit: "scrape", run: metrics::run },
];

/// Does `work`. Callgrind knows this function by its name and counts while it runs, so it is one function for all cases
/// and never becomes part of another.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // Without something to do afterwards the call would be a jump, and callgrind would not see this function end.
    std::hint::black_box(());
}
