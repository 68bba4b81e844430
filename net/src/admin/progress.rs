//! Shows how much of a job is done: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text::{grouped, megabytes};

/// How often a line is printed where a bar would be of no use.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one job, on standard error.
pub(super) struct Progress {
    verb: &'static str,
    done: u64,
    total: u64,
    /// What is counted, if that is not bytes.
    unit: Option<&'static str>,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { printed: Instant },
}

impl Progress {
    /// Starts at nothing of `total` bytes.
    pub(super) fn start(verb: &'static str, total: u64) -> Progress {
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        Progress::styled(verb, total, None, style)
    }

    /// The same for other things than bytes.
    pub(super) fn counting(verb: &'static str, total: u64, unit: &'static str) -> Progress {
        let style = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left";
        Progress::styled(verb, total, Some(unit), style)
    }

    fn styled(verb: &'static str, total: u64, unit: Option<&'static str>, style: &str) -> Progress {
        let display = if stderr().is_terminal() {
            let style = ProgressStyle::with_template(style).expect("the template is well-formed");
            Display::Bar(ProgressBar::new(total).with_style(style).with_message(verb))
        } else {
            Display::Lines { printed: Instant::now() }
        };
        Progress { verb, done: 0, total, unit, display }
    }

    /// So much more.
    pub(super) fn advance(&mut self, more: u64) {
        self.done += more;
        match &mut self.display {
            Display::Bar(bar) => bar.inc(more),
            Display::Lines { printed } => {
                if printed.elapsed() >= LINE_EVERY {
                    *printed = Instant::now();
                    let amount = |count| match self.unit {
                        None => megabytes(count),
                        Some(unit) => format!("{} {unit}", grouped(count)),
                    };
                    eprintln!("{}: {} of {}", self.verb, amount(self.done), amount(self.total));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}
