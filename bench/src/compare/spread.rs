//! A number's values over the rounds.

use serde::Serialize;

/// Median, least and greatest of the values of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values are no greater; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there were.
    pub rounds: usize,
}

impl Spread {
    /// The spread of these values, or `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, min, max, rounds: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_rounds() {
        let odd = Spread::of([3.0, 1.0, 9.0]).expect("there are values");
        assert_eq!(odd, Spread { median: 3.0, min: 1.0, max: 9.0, rounds: 3 });
        let even = Spread::of([4.0, 1.0, 2.0, 9.0]).expect("there are values");
        assert_eq!(even, Spread { median: 3.0, min: 1.0, max: 9.0, rounds: 4 });
        assert_eq!(Spread::of([]), None);
    }
}
