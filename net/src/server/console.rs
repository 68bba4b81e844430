//! The server's log: plain lines on the standard error.

use std::fmt;
use std::os::fd::AsFd;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format};
use tracing_subscriber::registry::LookupSpan;

/// Begins to log what passes `filter`. A journal notes the time of each line by itself, and is told its priority; everywhere else
/// the line begins with the time.
///
/// # Panics
///
/// When the process logs already.
pub fn init(filter: EnvFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(false).with_target(false);
    if writes_to_journal() {
        log.event_format(ForJournal(format().without_time().with_ansi(false).with_target(false))).init();
    } else {
        log.init();
    }
}

/// Says in one line why nothing is begun, before anything is logged.
pub fn refuse(message: &str) {
    let priority = if writes_to_journal() { priority(Level::ERROR) } else { "" };
    eprintln!("{priority}stemedb-api: {message}");
}

/// Lines for systemd's journal, each with its priority in front, which the journal takes off, see sd-daemon(3). Without it
/// `journalctl -p err` would show none of them.
struct ForJournal(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Whether the standard error goes to systemd's journal: then `JOURNAL_STREAM` is its device and inode, see systemd.exec(5).
/// A variable alone proves nothing: whoever was started by a service has it, too.
fn writes_to_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr().as_fd()).is_ok_and(|file| names(&stream, file.st_dev, file.st_ino))
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream.split_once(':').is_some_and(|(its_device, its_inode)| {
        its_device.parse() == Ok(device) && its_inode.parse() == Ok(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_stream_is_known_by_device_and_inode() {
        assert!(names("8:12345", 8, 12345));
        for other in ["8:12346", "9:12345", "8", "", ":", "8:12345:1", "x:y"] {
            assert!(!names(other, 8, 12345), "{other}");
        }
    }
}
