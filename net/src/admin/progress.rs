//! Shows how many bytes of many were dealt with: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text::megabytes;

/// How often a line is printed where a bar would be of no use.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one job, on standard error.
pub(super) struct ByteProgress {
    verb: &'static str,
    bytes: u64,
    bytes_total: u64,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { printed: Instant },
}

impl ByteProgress {
    /// Starts at nothing of `bytes_total`.
    pub(super) fn start(verb: &'static str, bytes_total: u64) -> ByteProgress {
        let display = if stderr().is_terminal() {
            let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
            let style = ProgressStyle::with_template(style).expect("the template is well-formed");
            Display::Bar(ProgressBar::new(bytes_total).with_style(style).with_message(verb))
        } else {
            Display::Lines { printed: Instant::now() }
        };
        ByteProgress { verb, bytes: 0, bytes_total, display }
    }

    /// So many bytes more.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
        match &mut self.display {
            Display::Bar(bar) => bar.inc(bytes),
            Display::Lines { printed } => {
                if printed.elapsed() >= LINE_EVERY {
                    *printed = Instant::now();
                    eprintln!("{}: {} of {}", self.verb, megabytes(self.bytes), megabytes(self.bytes_total));
                }
            }
        }
    }
}

impl Drop for ByteProgress {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}
