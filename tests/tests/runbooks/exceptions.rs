//! The blocks that no test runs, each with its reason.

use crate::document::Block;

/// A page, how a block of it begins, and why nobody runs it.
type Exception = (&'static str, &'static str, &'static str);

const EXCEPTIONS: [Exception; 0] = [];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Exception> {
    EXCEPTIONS.into_iter()
}

/// Whether a block is one of them.
pub(crate) fn has(path: &str, block: &Block) -> bool {
    all().any(|(page, begin, _)| page == path && block.text.starts_with(begin))
}
