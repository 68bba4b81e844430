//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::core::READS_AT_ONCE;
use crate::driver::TURNED_AWAY_MAX;

/// Descriptors that are no connections, nor a core's: tables and what upkeep, backups and the executor have open.
const SPARE: u64 = 256;

/// Descriptors of a core besides its connections: ring and listener, the segments that it writes to or has just left, one for each
/// read of a table, and those of connections that it has turned away.
const A_CORE: u64 = 8 + (READS_AT_ONCE + TURNED_AWAY_MAX) as u64;

/// Raises the limit of open files to what is allowed, and gives how many of the `wanted` connections that
/// leaves room for, on so many cores. Segments and tables must find room as well, or writes stop when clients have used it up.
pub(super) fn raise_limit(wanted: usize, cores: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current;
    if let Err(error) = raised {
        tracing::warn!("The limit of open files stays at {}: {error}", limit_text(current));
    }
    let connections = current.map_or(wanted, |limit| wanted.min(room(limit, cores)));
    if connections < wanted {
        tracing::warn!(
            "{} files may be open: only {connections} of {wanted} connections are accepted; raise LimitNOFILE, or lower STEMEDB_CONNECTIONS_MAX",
            limit_text(current)
        );
    }
    connections
}

/// Connections of so many cores for which a limit of open files leaves room.
fn room(limit: u64, cores: usize) -> usize {
    let others = SPARE + A_CORE * cores as u64;
    usize::try_from(limit.saturating_sub(others).max(limit / 2)).unwrap_or(usize::MAX)
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn connections_leave_files_for_everything_else() {
        assert_eq!(room(1_048_576, 1), 1_048_576 - 256 - 88);
        assert_eq!(room(1_048_576, 64), 1_048_576 - 256 - 64 * 88);
        assert_eq!(room(1024, 2), 592);
        assert_eq!(room(64, 2), 32, "of few files, connections get half");
        assert_eq!(room(0, 1), 0);
    }
}
