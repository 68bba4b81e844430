//! Counters that share a name and differ in their labels.

/// A counter for each of a few keys, which are not known beforehand.
///
/// Made for a dozen keys or two: each addition looks through those that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts<K> {
    counts: Vec<(K, u64)>,
}

impl<K: Copy + Ord> Counts<K> {
    /// Counts one more of `key`.
    pub fn increment(&mut self, key: K) {
        self.add(key, 1);
    }

    /// Counts `count` more of `key`.
    pub fn add(&mut self, key: K, count: u64) {
        match self.counts.iter_mut().find(|(other, _)| *other == key) {
            Some((_, total)) => *total += count,
            None => self.counts.push((key, count)),
        }
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Counts<K>) {
        other.counts.iter().for_each(|(key, count)| self.add(*key, *count));
    }

    /// The keys and their counts, by key.
    pub fn sorted(&self) -> Vec<(K, u64)> {
        let mut counts = self.counts.clone();
        counts.sort_unstable_by_key(|(key, _)| *key);
        counts
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts { counts: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_by_key() {
        let (mut one, mut other) = (Counts::default(), Counts::default());
        one.increment("b");
        one.add("a", 3);
        other.increment("c");
        other.increment("b");
        one.merge(&other);
        assert_eq!(one.sorted(), [("a", 3), ("b", 2), ("c", 1)]);
    }
}
