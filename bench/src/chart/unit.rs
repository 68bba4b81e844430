//! Values as people read them.

/// What a value on an axis or in a table counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Durations, in microseconds.
    Microseconds,
    /// Times of a course that takes long, in seconds.
    Seconds,
    /// Numbers of things, or of things a second.
    Count,
    /// Shares of a whole, where 1 is all of it.
    Share,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A value, at least 0, to three significant digits and with its unit; counts of 100 and more to the last digit.
    pub fn label(self, value: f64) -> String {
        assert!(value.is_finite() && value >= 0.0, "{value} cannot be shown as {self:?}");
        match self {
            Unit::Microseconds => scaled(value, 1000.0, &["µs", "ms", "s"]),
            Unit::Seconds => scaled(value, 60.0, &["s", "min", "h"]),
            Unit::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
            Unit::Share => format!("{} %", digits(to_significant(value * 100.0))),
            Unit::Count => digits(if value < 100.0 { to_significant(value) } else { value.round() }),
        }
    }

    /// What ticks up to `max` should be round multiples of.
    pub(super) fn base(self, max: f64) -> f64 {
        match self {
            Unit::Microseconds | Unit::Count => 1.0,
            Unit::Seconds if max < 60.0 => 1.0,
            Unit::Seconds if max < 3600.0 => 60.0,
            Unit::Seconds => 3600.0,
            Unit::Share => 0.01,
            Unit::Bytes => 1024_f64.powi(max.max(1.0).log(1024.0).floor() as i32),
        }
    }
}

/// The value in the greatest of `units`, each `factor` times the one before, of which there is at least one.
fn scaled(value: f64, factor: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter().peekable();
    loop {
        let unit = units.next().expect("the loop ends at the last unit");
        let rounded = to_significant(value);
        if (value < factor && rounded < factor) || units.peek().is_none() {
            return format!("{} {unit}", digits(rounded));
        }
        value /= factor;
    }
}

/// The nearest number with three significant digits.
fn to_significant(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let decimals = 2 - value.log10().floor() as i32;
    if decimals >= 0 {
        let factor = 10_f64.powi(decimals);
        (value * factor).round() / factor
    } else {
        // Dividing by a whole power of ten keeps the result a whole number; multiplying by a fraction would not.
        let factor = 10_f64.powi(-decimals);
        (value / factor).round() * factor
    }
}

/// The shortest decimal that means `value`, with a comma between each three digits before the point.
fn digits(value: f64) -> String {
    let plain = value.to_string();
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut out = String::with_capacity(plain.len() + whole.len() / 3);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_people_would() {
        let labels = [0.0, 0.95, 12.34, 199.6, 999.7, 1_000.0, 1_254.0, 5_000.0, 123_456.0, 2.5e6, 7.2e9]
            .map(|us| Unit::Microseconds.label(us));
        let expected = [
            "0 µs", "0.95 µs", "12.3 µs", "200 µs", "1 ms", "1 ms", "1.25 ms", "5 ms", "123 ms", "2.5 s",
            "7,200 s",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn courses_take_seconds_minutes_and_hours() {
        let labels = [0.0, 45.0, 60.0, 90.0, 1800.0, 3600.0, 86_400.0].map(|s| Unit::Seconds.label(s));
        assert_eq!(labels, ["0 s", "45 s", "1 min", "1.5 min", "30 min", "1 h", "24 h"]);
        assert_eq!([45.0, 420.0, 3600.0].map(|max| Unit::Seconds.base(max)), [1.0, 60.0, 3600.0]);
    }

    #[test]
    fn bytes_are_counted_in_powers_of_1024() {
        let labels = [512.0, 1024.0, 1_048_576.0, 35.5 * 1_048_576.0, 1.5 * 1_073_741_824.0]
            .map(|bytes| Unit::Bytes.label(bytes));
        assert_eq!(labels, ["512 B", "1 KiB", "1 MiB", "35.5 MiB", "1.5 GiB"]);
    }

    #[test]
    fn counts_are_grouped_and_shares_are_percent() {
        let counts = [0.0, 1.0, 12.345, 640.4, 91_234.4, 1_234_567.0].map(|count| Unit::Count.label(count));
        assert_eq!(counts, ["0", "1", "12.3", "640", "91,234", "1,234,567"]);
        assert_eq!(
            [0.0, 0.07, 0.7612, 1.0].map(|share| Unit::Share.label(share)),
            ["0 %", "7 %", "76.1 %", "100 %"]
        );
    }
}
