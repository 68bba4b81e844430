//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no connections: rings, segments, listeners.
const SPARE: u64 = 256;

/// Raises the limit of open files to what is allowed, and warns if that is too little for `connections`.
pub(super) fn raise_limit(connections: usize) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current;
    if let Err(error) = raised {
        tracing::warn!("The limit of open files stays at {}: {error}", limit_text(current));
    }
    let needed = connections as u64 + SPARE;
    if current.is_some_and(|limit| limit < needed) {
        tracing::warn!(
            "{} files may be open, fewer than the {needed} for all connections; raise LimitNOFILE, or lower STEMEDB_CONNECTIONS_MAX",
            limit_text(current)
        );
    }
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}
