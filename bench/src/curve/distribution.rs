//! What a histogram of the server says about a stretch of time: the difference between two readings of it.

use thiserror::Error;

use super::exposition::{self, ExpositionError, Label};

/// A histogram of Prometheus: how many values there were up to each bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The bounds, ascending; the last is infinite.
    bounds: Vec<f64>,
    /// How many values were at most as great as the bound, for each bound.
    counts: Vec<u64>,
    sum: f64,
}

/// Why a histogram cannot be read from metrics, or two readings of it not compared.
#[derive(Debug, Error, PartialEq)]
pub enum DistributionError {
    /// The text is not in the format.
    #[error(transparent)]
    Exposition(#[from] ExpositionError),
    /// The histogram is not one.
    #[error("the metrics have no histogram `{name}` that can be read: {reason}")]
    Histogram {
        /// Which.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Counts fell from one reading to the next.
    #[error(
        "a histogram has fewer values, or other buckets, than before: was the server started anew meanwhile?"
    )]
    NotLater,
}

impl Distribution {
    /// The histogram `name`, which has no labels but those of its buckets.
    ///
    /// # Errors
    ///
    /// When the text is not in Prometheus' format, or has no such histogram, or one whose figures contradict each other.
    pub fn read(text: &str, name: &str) -> Result<Distribution, DistributionError> {
        let wrong = |reason| DistributionError::Histogram { name: name.to_owned(), reason };
        let (mut bounds, mut counts, mut sum, mut count) = (Vec::new(), Vec::new(), None, None);
        for sample in exposition::samples(text)? {
            let Some(part) = sample.name.strip_prefix(name) else { continue };
            match (part, &*sample.labels) {
                ("_bucket", [Label { name: "le", value }]) => {
                    bounds.push(value.parse().map_err(|_| wrong("a bucket's bound is not a number"))?);
                    counts.push(whole(sample.value).ok_or(wrong("a bucket's value is not a count"))?);
                }
                ("_sum", []) if sum.is_none() && sample.value >= 0.0 => sum = Some(sample.value),
                ("_count", []) if count.is_none() => {
                    count = Some(whole(sample.value).ok_or(wrong("its count is not a count"))?);
                }
                ("_bucket" | "_sum" | "_count", _) => {
                    return Err(wrong("its samples repeat or have other labels"));
                }
                _ => {}
            }
        }
        let sum = sum.ok_or(wrong("it has no sum"))?;
        if !bounds.is_sorted_by(|one: &f64, next| one < next)
            || bounds.first().is_some_and(|bound| bound.is_nan())
        {
            return Err(wrong("its bounds do not ascend"));
        }
        if !counts.is_sorted() {
            return Err(wrong("a bucket holds less than the one before"));
        }
        if bounds.last() != Some(&f64::INFINITY) {
            return Err(wrong("it has no bucket for all values"));
        }
        if count.is_none() || count != counts.last().copied() {
            return Err(wrong("its count is not that of its last bucket"));
        }
        Ok(Distribution { bounds, counts, sum })
    }

    /// The values that came after an `earlier` reading.
    ///
    /// # Errors
    ///
    /// When the readings are not of one histogram in this order.
    pub fn since(&self, earlier: &Distribution) -> Result<Distribution, DistributionError> {
        if self.bounds != earlier.bounds {
            return Err(DistributionError::NotLater);
        }
        let difference = |(now, before): (&u64, &u64)| now.checked_sub(*before);
        let counts: Option<Vec<_>> = self.counts.iter().zip(&earlier.counts).map(difference).collect();
        let counts = counts.filter(|counts| counts.is_sorted()).ok_or(DistributionError::NotLater)?;
        // The sums are rounded; a difference below zero is one of zero.
        Ok(Distribution { bounds: self.bounds.clone(), counts, sum: (self.sum - earlier.sum).max(0.0) })
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        *self.counts.last().expect("a distribution has at least the infinite bound")
    }

    /// The sum of all values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The mean of all values, if there are any.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// A value that a share of `quantile`, from 0 to 1, of all values does not exceed, if there are any. Within a bucket
    /// the values are taken to be spread evenly over all it can hold, which are multiples of `resolution`. What
    /// exceeds the last finite bound counts as that bound.
    pub fn quantile(&self, quantile: f64, resolution: f64) -> Option<f64> {
        assert!((0.0..=1.0).contains(&quantile), "a quantile of {quantile}");
        if self.count() == 0 {
            return None;
        }
        let rank = (quantile * self.count() as f64).max(1.0);
        let bucket = self.counts.iter().position(|count| *count as f64 >= rank).expect("the last holds all");
        let (below, upper) = match bucket {
            0 => (0, self.bounds[0]),
            _ => (self.counts[bucket - 1], self.bounds[bucket]),
        };
        let least = if bucket == 0 { resolution } else { self.bounds[bucket - 1] + resolution };
        if upper.is_infinite() {
            return Some(if bucket == 0 { 0.0 } else { self.bounds[bucket - 1] });
        }
        let members = (self.counts[bucket] - below) as f64;
        let least = least.min(upper);
        // The first of the bucket's values is the least it can hold, the last the greatest.
        let share = if members > 1.0 { (rank - below as f64 - 1.0) / (members - 1.0) } else { 1.0 };
        Some(least + share.clamp(0.0, 1.0) * (upper - least))
    }
}

/// The value as a count, if it is one.
fn whole(value: f64) -> Option<u64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    ((0.0..=EXACT_MAX).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "stemedb_wal_batch_size";

    /// A text with a histogram of these cumulated counts up to 1, 2, 4 and all.
    fn text(counts: [u64; 4], sum: f64) -> String {
        let [one, two, four, all] = counts;
        format!(
            "# TYPE {NAME} histogram\n{NAME}_bucket{{le=\"1\"}} {one}\n{NAME}_bucket{{le=\"2\"}} {two}\n\
             {NAME}_bucket{{le=\"4\"}} {four}\n{NAME}_bucket{{le=\"+Inf\"}} {all}\n{NAME}_sum{{}} {sum}\n\
             {NAME}_count{{}} {all}\n"
        )
    }

    fn read(counts: [u64; 4], sum: f64) -> Distribution {
        Distribution::read(&text(counts, sum), NAME).expect("a histogram")
    }

    #[test]
    fn the_difference_of_two_readings_is_what_came_between() {
        let between = read([15, 20, 40, 41], 200.0).since(&read([10, 10, 10, 10], 10.0)).unwrap();
        assert_eq!((between.count(), between.sum()), (31, 190.0));
        assert_eq!(between.mean(), Some(190.0 / 31.0));
        assert_eq!(between, read([5, 10, 30, 31], 190.0));
    }

    #[test]
    fn nothing_between_has_no_mean() {
        let reading = read([1, 2, 3, 3], 6.0);
        let nothing = reading.since(&reading).unwrap();
        assert_eq!((nothing.count(), nothing.mean(), nothing.quantile(0.5, 1.0)), (0, None, None));
    }

    #[test]
    fn a_histogram_that_shrank_is_of_another_start() {
        assert_eq!(read([1, 1, 1, 1], 1.0).since(&read([2, 2, 2, 2], 2.0)), Err(DistributionError::NotLater));
        // Each count grew, but fewer values would be up to 4 than up to 2.
        assert_eq!(read([9, 9, 9, 9], 9.0).since(&read([0, 0, 5, 5], 9.0)), Err(DistributionError::NotLater));
        let other = Distribution { bounds: vec![f64::INFINITY], counts: vec![0], sum: 0.0 };
        assert_eq!(read([1, 1, 1, 1], 1.0).since(&other), Err(DistributionError::NotLater));
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        assert_eq!(read([10, 10, 10, 10], 10.0).quantile(0.5, 1.0), Some(1.0), "all values are 1");
        assert_eq!(
            read([0, 10, 10, 10], 20.0).quantile(0.99, 1.0),
            Some(2.0),
            "2 is all that fits in 1 to 2"
        );
        let spread = read([0, 0, 101, 101], 350.0);
        assert_eq!([0.0, 1.0].map(|quantile| spread.quantile(quantile, 1.0)), [Some(3.0), Some(4.0)]);
        assert!((spread.quantile(0.5, 1.0).unwrap() - 3.5).abs() < 0.01);
        assert_eq!(
            read([0, 0, 0, 3], 99.0).quantile(0.5, 1.0),
            Some(4.0),
            "all that is known is: more than 4"
        );
    }

    #[test]
    fn contradictions_are_refused() {
        let whole = text([1, 2, 3, 3], 6.0);
        assert!(Distribution::read(&whole, NAME).is_ok());
        let repeated = whole.clone() + &whole;
        for (change, reason) in [
            (whole.replace("le=\"4\"", "le=\"2\""), "its bounds do not ascend"),
            (whole.replace("le=\"4\"", "le=\"four\""), "a bucket's bound is not a number"),
            (whole.replace("le=\"1\"", "le=\"NaN\""), "its bounds do not ascend"),
            (whole.replace("\"4\"} 3", "\"4\"} 1"), "a bucket holds less than the one before"),
            (whole.replace("\"4\"} 3", "\"4\"} 2.5"), "a bucket's value is not a count"),
            (whole.replace("le=\"+Inf\"", "le=\"8\""), "it has no bucket for all values"),
            (whole.replace("_count{} 3", "_count{} 4"), "its count is not that of its last bucket"),
            (whole.replace("_sum{}", "_sam{}"), "it has no sum"),
            (whole.replace("le=\"1\"", "core=\"0\",le=\"1\""), "its samples repeat or have other labels"),
            (repeated, "its samples repeat or have other labels"),
            (whole.replace(NAME, "stemedb_other"), "it has no sum"),
        ] {
            let expected = DistributionError::Histogram { name: NAME.to_owned(), reason };
            assert_eq!(Distribution::read(&change, NAME), Err(expected), "{change}");
        }
    }
}
