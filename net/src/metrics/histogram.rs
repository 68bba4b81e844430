//! Distributions: how long things take, how many there are at once.

use hdrhistogram::Histogram as Hdr;

/// A distribution of integers, precise to one percent, in memory of a fixed size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    values: Hdr<u64>,
    /// The sum of all values, which the buckets only know roughly.
    sum: u128,
}

impl Histogram {
    /// A distribution of values up to `max`, at least 2; what is greater counts as `max`.
    pub fn new(max: u64) -> Histogram {
        let values = Hdr::new_with_max(max, 2).expect("2 digits and a maximum of 2 or more are in range");
        Histogram { values, sum: 0 }
    }

    /// A distribution of durations in microseconds, up to a minute.
    pub fn of_durations_us() -> Histogram {
        Histogram::new(60_000_000)
    }

    /// Takes in a value.
    pub fn record(&mut self, value: u64) {
        self.values.saturating_record(value);
        self.sum += u128::from(value);
    }

    /// Takes in all values that `other`, of the same maximum, has taken in.
    pub fn merge(&mut self, other: &Histogram) {
        self.values.add(&other.values).expect("distributions of one kind have one maximum");
        self.sum += other.sum;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.values.len()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// How many values were `bound` or less; beyond 255, those up to one percent greater may be counted too.
    pub fn count_up_to(&self, bound: u64) -> u64 {
        self.values.count_between(0, bound)
    }

    /// The value that a share of `quantile`, from 0 to 1, of all values does not exceed. 0 if there were none.
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.values.value_at_quantile(quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_millisecond_is_not_two() {
        let mut latencies = Histogram::of_durations_us();
        for _ in 0..10 {
            latencies.record(100);
        }
        latencies.record(101);
        latencies.record(200);
        let up_to: Vec<_> = [99, 100, 150, 199, 200].map(|bound| latencies.count_up_to(bound)).into();
        assert_eq!(up_to, [0, 10, 11, 11, 12]);
        assert_eq!((latencies.count(), latencies.sum(), latencies.quantile(0.5)), (12, 1301, 100));
    }

    #[test]
    fn values_beyond_the_maximum_are_counted_and_summed() {
        let mut latencies = Histogram::of_durations_us();
        latencies.record(u64::MAX);
        latencies.record(u64::MAX);
        assert_eq!((latencies.count(), latencies.sum()), (2, 2 * u128::from(u64::MAX)));
        assert_eq!(latencies.count_up_to(1_000_000), 0);
    }

    #[test]
    fn merged_distributions_are_one() {
        let (mut one, mut other, mut all) =
            (Histogram::new(1000), Histogram::new(1000), Histogram::new(1000));
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
