//! Distributions: how long things take, how many there are at once.

/// The upper bound of a bucket, inclusive, and how Prometheus is told it.
type Bound = (u64, &'static str);

/// Microseconds, told in seconds: close together where a durable write or an answer falls.
const DURATION_BOUNDS: [Bound; 29] = [
    (10, "0.00001"),
    (25, "0.000025"),
    (50, "0.00005"),
    (75, "0.000075"),
    (100, "0.0001"),
    (125, "0.000125"),
    (150, "0.00015"),
    (200, "0.0002"),
    (250, "0.00025"),
    (300, "0.0003"),
    (400, "0.0004"),
    (500, "0.0005"),
    (750, "0.00075"),
    (1_000, "0.001"),
    (1_500, "0.0015"),
    (2_000, "0.002"),
    (3_000, "0.003"),
    (5_000, "0.005"),
    (7_500, "0.0075"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// Records.
const SIZE_BOUNDS: [Bound; 15] = [
    (1, "1"),
    (2, "2"),
    (4, "4"),
    (8, "8"),
    (16, "16"),
    (32, "32"),
    (64, "64"),
    (128, "128"),
    (256, "256"),
    (512, "512"),
    (1_024, "1024"),
    (2_048, "2048"),
    (4_096, "4096"),
    (8_192, "8192"),
    (16_384, "16384"),
];

/// Buckets of the distribution that has most, the one without a bound included.
const BUCKETS_MAX: usize = DURATION_BOUNDS.len() + 1;

/// A distribution of integers over fixed buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: &'static [Bound],
    /// How many units of the values are one of the unit that Prometheus is told.
    divisor: f64,
    /// By bucket; the last one in use is for what is greater than all bounds.
    counts: [u64; BUCKETS_MAX],
    sum: u128,
}

impl Histogram {
    /// A distribution of durations in microseconds.
    pub fn of_durations_us() -> Histogram {
        Histogram { bounds: &DURATION_BOUNDS, divisor: 1e6, counts: [0; BUCKETS_MAX], sum: 0 }
    }

    /// A distribution of numbers of records.
    pub fn of_sizes() -> Histogram {
        Histogram { bounds: &SIZE_BOUNDS, divisor: 1.0, counts: [0; BUCKETS_MAX], sum: 0 }
    }

    /// Takes in a value.
    pub fn record(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|(bound, _)| *bound < value);
        self.counts[bucket] += 1;
        self.sum += u128::from(value);
    }

    /// Takes in all values that `other`, of the same kind, has taken in.
    pub fn merge(&mut self, other: &Histogram) {
        assert_eq!(self.bounds, other.bounds, "only distributions of one kind are added up");
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.sum += other.sum;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values, in the unit that Prometheus is told.
    pub(super) fn sum(&self) -> f64 {
        self.sum as f64 / self.divisor
    }

    /// For each bound, in Prometheus's unit, how many values were not greater.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |total, ((_, text), count)| {
            *total += count;
            Some((*text, *total))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_is_told_in_the_unit() {
        for (mut values, divisor) in [(Histogram::of_durations_us(), 1e6), (Histogram::of_sizes(), 1.0)] {
            let mut recorded = Vec::new();
            for (bound, _) in values.bounds {
                for value in [bound - 1, *bound, bound + 1] {
                    values.record(value);
                    recorded.push(value);
                }
            }
            let expected = values.bounds.iter().map(|(bound, _)| {
                let up_to = recorded.iter().filter(|value| *value <= bound).count();
                (format!("{}", *bound as f64 / divisor), up_to as u64)
            });
            let told = values.cumulative().map(|(text, count)| (text.to_owned(), count));
            assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn bounds_ascend() {
        assert!(DURATION_BOUNDS.is_sorted_by(|one, other| one.0 < other.0));
        assert!(SIZE_BOUNDS.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn values_beyond_all_bounds_are_counted_and_summed() {
        let mut sizes = Histogram::of_sizes();
        sizes.record(u64::MAX);
        sizes.record(u64::MAX);
        assert_eq!((sizes.count(), sizes.sum()), (2, 2.0 * u64::MAX as f64));
        assert_eq!(sizes.cumulative().last(), Some(("16384", 0)));
    }

    #[test]
    fn merged_distributions_are_one() {
        let (mut one, mut other, mut all) =
            (Histogram::of_sizes(), Histogram::of_sizes(), Histogram::of_sizes());
        for value in 0..500 {
            if value % 3 == 0 {
                one.record(value)
            } else {
                other.record(value)
            }
            all.record(value);
        }
        one.merge(&other);
        assert_eq!(one, all);
    }
}
