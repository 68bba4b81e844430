//! Distributions: how long things take, how many there are at once.

/// The most bounds that a distribution can have.
const BOUNDS_MAX: usize = 29;

/// A bound of a bucket: it counts values up to and including this one.
#[derive(Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) value: u64,
    /// The bound in the unit of the exposition, as text.
    pub(super) le: &'static str,
}

/// The buckets of one kind of distribution.
#[derive(Debug, PartialEq)]
pub(super) struct Buckets {
    /// Ascending.
    pub(super) bounds: &'static [Bound],
    /// How many of the recorded values make one of the unit of the exposition.
    pub(super) divisor: f64,
}

/// Durations in microseconds, told in seconds. The bounds are close together where a durable write or an answer falls.
pub(super) static DURATIONS_US: Buckets = Buckets {
    bounds: &[
        Bound { value: 10, le: "0.00001" },
        Bound { value: 25, le: "0.000025" },
        Bound { value: 50, le: "0.00005" },
        Bound { value: 75, le: "0.000075" },
        Bound { value: 100, le: "0.0001" },
        Bound { value: 125, le: "0.000125" },
        Bound { value: 150, le: "0.00015" },
        Bound { value: 200, le: "0.0002" },
        Bound { value: 250, le: "0.00025" },
        Bound { value: 300, le: "0.0003" },
        Bound { value: 400, le: "0.0004" },
        Bound { value: 500, le: "0.0005" },
        Bound { value: 750, le: "0.00075" },
        Bound { value: 1_000, le: "0.001" },
        Bound { value: 1_500, le: "0.0015" },
        Bound { value: 2_000, le: "0.002" },
        Bound { value: 3_000, le: "0.003" },
        Bound { value: 5_000, le: "0.005" },
        Bound { value: 7_500, le: "0.0075" },
        Bound { value: 10_000, le: "0.01" },
        Bound { value: 20_000, le: "0.02" },
        Bound { value: 50_000, le: "0.05" },
        Bound { value: 100_000, le: "0.1" },
        Bound { value: 250_000, le: "0.25" },
        Bound { value: 500_000, le: "0.5" },
        Bound { value: 1_000_000, le: "1" },
        Bound { value: 2_500_000, le: "2.5" },
        Bound { value: 5_000_000, le: "5" },
        Bound { value: 10_000_000, le: "10" },
    ],
    divisor: 1e6,
};

/// Records in a frame.
pub(super) static BATCH_RECORDS: Buckets = Buckets {
    bounds: &[
        Bound { value: 1, le: "1" },
        Bound { value: 2, le: "2" },
        Bound { value: 4, le: "4" },
        Bound { value: 8, le: "8" },
        Bound { value: 16, le: "16" },
        Bound { value: 32, le: "32" },
        Bound { value: 64, le: "64" },
        Bound { value: 128, le: "128" },
        Bound { value: 256, le: "256" },
        Bound { value: 512, le: "512" },
        Bound { value: 1024, le: "1024" },
        Bound { value: 2048, le: "2048" },
        Bound { value: 4096, le: "4096" },
        Bound { value: 8192, le: "8192" },
        Bound { value: 16_384, le: "16384" },
    ],
    divisor: 1.0,
};

/// A distribution of integers, as far as the buckets of its kind tell them apart.
///
/// It counts into the very buckets that a scrape shows: a copy is a few cache lines and a scrape adds up a few
/// numbers, so that neither keeps a core from its work for long.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    buckets: &'static Buckets,
    /// By bucket: the values beyond the bound before and up to this one; at last, those beyond all bounds.
    counts: [u64; BOUNDS_MAX + 1],
    sum: u128,
}

impl Histogram {
    /// A distribution of durations in microseconds.
    pub fn of_durations_us() -> Histogram {
        Histogram::new(&DURATIONS_US)
    }

    /// A distribution of the numbers of records in frames.
    pub fn of_batch_records() -> Histogram {
        Histogram::new(&BATCH_RECORDS)
    }

    fn new(buckets: &'static Buckets) -> Histogram {
        assert!(
            buckets.bounds.len() <= BOUNDS_MAX,
            "there is a count for each bound and one for what is beyond"
        );
        Histogram { buckets, counts: [0; BOUNDS_MAX + 1], sum: 0 }
    }

    /// Takes in a value.
    pub fn record(&mut self, value: u64) {
        self.counts[self.buckets.bounds.partition_point(|bound| bound.value < value)] += 1;
        self.sum += u128::from(value);
    }

    /// Takes in all values that `other`, of the same kind, has taken in.
    pub fn merge(&mut self, other: &Histogram) {
        assert!(std::ptr::eq(self.buckets, other.buckets), "only distributions of one kind add up");
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.sum += other.sum;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// For each bound, how many values were that or less.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (&'static Bound, u64)> {
        self.buckets.bounds.iter().zip(&self.counts).scan(0, |up_to, (bound, count)| {
            *up_to += count;
            Some((bound, *up_to))
        })
    }

    /// How many values make one of the unit of the exposition.
    pub(super) fn divisor(&self) -> f64 {
        self.buckets.divisor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(histogram: &Histogram, value: u64) -> u64 {
        histogram.cumulative().find(|(bound, _)| bound.value == value).expect("a bound").1
    }

    /// Values of all magnitudes, and those around each bound.
    fn values() -> Vec<u64> {
        let mut values = vec![0, u64::MAX];
        let mut state = 1_u64;
        for number in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            values.push((state >> 16) >> (12 + number % 36));
        }
        for bound in DURATIONS_US.bounds.iter().chain(BATCH_RECORDS.bounds) {
            let percent = bound.value / 100;
            values.extend([bound.value - 1, bound.value, bound.value + 1]);
            values.extend((0..64).map(|step| bound.value + 2 * percent * step / 64));
        }
        values
    }

    #[test]
    fn buckets_hold_what_a_naive_count_finds() {
        for mut histogram in [Histogram::of_durations_us(), Histogram::of_batch_records()] {
            let values = values();
            values.iter().for_each(|value| histogram.record(*value));
            for (bound, count) in histogram.cumulative() {
                let naive = values.iter().filter(|value| **value <= bound.value).count();
                assert_eq!(count, naive as u64, "up to {}", bound.value);
            }
            assert_eq!(histogram.count(), values.len() as u64);
            assert_eq!(histogram.sum(), values.iter().map(|value| u128::from(*value)).sum());
        }
    }

    #[test]
    fn bounds_ascend_and_their_texts_are_their_numbers() {
        for buckets in [&DURATIONS_US, &BATCH_RECORDS] {
            assert!(buckets.bounds.is_sorted_by(|one, other| one.value < other.value));
            for Bound { value, le } in buckets.bounds {
                assert_eq!(*le, (*value as f64 / buckets.divisor).to_string());
            }
        }
    }

    #[test]
    fn a_tenth_of_a_millisecond_is_not_two() {
        let mut latencies = Histogram::of_durations_us();
        for _ in 0..10 {
            latencies.record(100);
        }
        latencies.record(101);
        latencies.record(200);
        let counts = [75, 100, 125, 150, 200].map(|bound| up_to(&latencies, bound));
        assert_eq!(counts, [0, 10, 11, 11, 12]);
        assert_eq!((latencies.count(), latencies.sum()), (12, 1301));
    }

    #[test]
    fn values_beyond_all_bounds_are_counted_and_summed() {
        let mut latencies = Histogram::of_durations_us();
        latencies.record(u64::MAX);
        latencies.record(u64::MAX);
        assert_eq!((latencies.count(), latencies.sum()), (2, 2 * u128::from(u64::MAX)));
        assert_eq!(up_to(&latencies, 10_000_000), 0);
    }

    #[test]
    fn merged_distributions_are_one() {
        let [mut one, mut other, mut all] = [(); 3].map(|()| Histogram::of_batch_records());
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
