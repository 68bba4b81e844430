//! What has been asked of cores and is not told yet.

use std::collections::BTreeMap;

use super::operation::OperationKey;

/// Questions that a core has put to cores for its clients, and how many of those have not told what they know.
///
/// A client that is gone, or has its answer, leaves its question here: the other cores do not know of that and work on it
/// to its end. So what may wait on a core is bounded by what all cores may have asked.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<OperationKey, u16>);

impl Asked {
    /// Notes a question to so many cores.
    pub(super) fn begin(&mut self, key: OperationKey, cores: u16) {
        self.0.insert(key, cores);
    }

    /// A core has told what it knows. True if it was the last one.
    pub(super) fn told(&mut self, key: OperationKey) -> bool {
        let open = self.0.get_mut(&key).expect("each core tells once of what it was asked");
        *open -= 1;
        let is_last = *open == 0;
        if is_last {
            self.0.remove(&key);
        }
        is_last
    }

    /// How many questions are open.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
