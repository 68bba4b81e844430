//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no connections: rings, segments, listeners.
const SPARE: u64 = 256;

/// Raises the limit of open files to what is allowed, and gives how many of the `wanted` connections that
/// leaves room for. Segments and tables must find room as well, or writes stop when clients have used it up.
pub(super) fn raise_limit(wanted: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current;
    if let Err(error) = raised {
        tracing::warn!("The limit of open files stays at {}: {error}", limit_text(current));
    }
    let connections = current.map_or(wanted, |limit| wanted.min(room(limit)));
    if connections < wanted {
        tracing::warn!(
            "{} files may be open: only {connections} of {wanted} connections are accepted; raise LimitNOFILE, or lower STEMEDB_CONNECTIONS_MAX",
            limit_text(current)
        );
    }
    connections
}

/// Connections for which a limit of open files leaves room.
fn room(limit: u64) -> usize {
    usize::try_from(limit.saturating_sub(SPARE).max(limit / 2)).unwrap_or(usize::MAX)
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn connections_leave_files_for_everything_else() {
        assert_eq!(room(1_048_576), 1_048_320);
        assert_eq!(room(1024), 768);
        assert_eq!(room(64), 32, "of few files, connections get half");
        assert_eq!(room(0), 0);
    }
}
