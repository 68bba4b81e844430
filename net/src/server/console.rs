//! The server's log: plain lines on the standard error.

use std::os::fd::AsFd;

use tracing_subscriber::EnvFilter;

/// Begins to log what passes `filter`. A journal notes the time of each line by itself; everywhere else the line begins with it.
///
/// # Panics
///
/// When the process logs already.
pub fn init(filter: EnvFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(false).with_target(false);
    if writes_to_journal() {
        log.without_time().init();
    } else {
        log.init();
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
