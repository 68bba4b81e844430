//! From values to places, with ticks at round values: 1, 2 and 5 times a power of ten.

use super::unit::Unit;

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Evenly, from 0.
    Linear,
    /// Each factor of ten as far as the next. Values must be greater than 0.
    Logarithmic,
}

/// An axis laid out for the values that it has to show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    spread: Spread,
    from: f64,
    to: f64,
    /// The values that get a line and a label, in order.
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// A scale that begins and ends with a tick and holds all `values`, of which there is at least one.
    pub(super) fn around(spread: Spread, unit: Unit, values: &[f64], ticks_max: usize) -> Scale {
        let (min, max) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(*value), max.max(*value)));
        assert!(min.is_finite() && max.is_finite(), "an axis needs values, got {values:?}");
        let ticks = match spread {
            Spread::Linear => linear_ticks(max, unit.base(max), ticks_max),
            Spread::Logarithmic => logarithmic_ticks(min, max),
        };
        let (from, to) = (ticks[0], ticks[ticks.len() - 1]);
        let ticks = if spread == Spread::Logarithmic { thinned(ticks, ticks_max) } else { ticks };
        Scale { spread, from, to, ticks }
    }

    /// The scale cut off at `max`: what is drawn then reaches the end of the axis.
    pub(super) fn up_to(mut self, max: f64) -> Scale {
        self.to = max;
        self.ticks.retain(|tick| *tick <= max);
        self
    }

    /// Where a value is: 0 at the beginning of the axis, 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.spread {
            Spread::Linear => (value - self.from) / (self.to - self.from),
            Spread::Logarithmic => (value / self.from).log10() / (self.to / self.from).log10(),
        }
    }
}

/// From 0 to the first tick that is `max` or more.
fn linear_ticks(max: f64, base: f64, ticks_max: usize) -> Vec<f64> {
    let intervals_max = (ticks_max - 1) as f64;
    let max = if max > 0.0 { max / base } else { 1.0 };
    let step = (index_up(max / intervals_max)..)
        .map(round_value)
        .find(|step| (max / step).ceil() <= intervals_max)
        .expect("steps grow without end");
    // A hair less than the quotient, so that a maximum that is a tick but for rounding gets no tick above it.
    let last = (max / step - 1e-9).ceil().max(1.0) as u32;
    (0..=last).map(|index| f64::from(index) * step * base).collect()
}

/// From the last round value that is `min` or less to the first that is `max` or more; two at least.
fn logarithmic_ticks(min: f64, max: f64) -> Vec<f64> {
    assert!(min > 0.0, "a logarithmic axis cannot show {min}");
    let last = index_up(max);
    let first = if round_value(index_up(min)) <= min { index_up(min) } else { index_up(min) - 1 };
    let first = first.min(last - 1);
    (first..=last).map(round_value).collect()
}

/// Powers of ten only, where there are more ticks than there is room for.
fn thinned(ticks: Vec<f64>, ticks_max: usize) -> Vec<f64> {
    if ticks.len() <= ticks_max {
        return ticks;
    }
    ticks.into_iter().filter(|tick| tick.log10().fract().abs() < 1e-9).collect()
}

/// The round values in order: …, 0.5, 1, 2, 5, 10, …; that of 0 is 1.
fn round_value(index: i32) -> f64 {
    let digit = [1.0, 2.0, 5.0][index.rem_euclid(3) as usize];
    let exponent = index.div_euclid(3);
    if exponent < 0 { digit / 10_f64.powi(-exponent) } else { digit * 10_f64.powi(exponent) }
}

/// The index of the first round value that is `value`, greater than 0, or more.
fn index_up(value: f64) -> i32 {
    let below = 3 * (value.log10().floor() as i32) - 1;
    (below..).find(|index| round_value(*index) >= value).expect("round values grow without end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_values_are_1_2_5() {
        let values: Vec<_> = (-4..6).map(round_value).collect();
        assert_eq!(values, [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        for index in -30..30 {
            assert_eq!(index_up(round_value(index)), index);
            assert_eq!(index_up(round_value(index) * 1.01), index + 1);
        }
    }

    #[test]
    fn linear_ticks_reach_the_maximum_and_not_far_beyond() {
        assert_eq!(linear_ticks(97_000.0, 1.0, 8), [0.0, 2e4, 4e4, 6e4, 8e4, 1e5]);
        assert_eq!(linear_ticks(1e5, 1.0, 6), [0.0, 2e4, 4e4, 6e4, 8e4, 1e5]);
        assert_eq!(linear_ticks(0.0, 1.0, 3), [0.0, 0.5, 1.0], "all values are 0");
        for max in [0.003, 0.97, 1.0, 7.3, 99.0, 101.0, 123_456.0] {
            for ticks_max in 3..12 {
                let ticks = linear_ticks(max, 1.0, ticks_max);
                let (last, before) = (ticks[ticks.len() - 1], ticks[ticks.len() - 2]);
                assert!(last >= max * (1.0 - 1e-9) && before < max, "{max}: {ticks:?}");
                assert!(ticks.len() <= ticks_max, "{max}, {ticks_max}: {ticks:?}");
            }
        }
    }

    #[test]
    fn ticks_of_bytes_are_round_in_their_unit() {
        let mebibyte = 1_048_576.0;
        let scale = Scale::around(Spread::Linear, Unit::Bytes, &[180.0 * mebibyte], 6);
        assert_eq!(scale.ticks, [0.0, 50.0, 100.0, 150.0, 200.0].map(|tick| tick * mebibyte));
    }

    #[test]
    fn logarithmic_scales_begin_and_end_with_a_tick() {
        let scale = Scale::around(Spread::Logarithmic, Unit::Microseconds, &[180.0, 7_400.0, 300.0], 20);
        assert_eq!(scale.ticks, [100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0]);
        assert_eq!([100.0, 1_000.0, 10_000.0].map(|value| scale.place(value)), [0.0, 0.5, 1.0]);
        assert_eq!(logarithmic_ticks(5.0, 5.0), [2.0, 5.0]);
    }

    #[test]
    fn where_room_is_scarce_powers_of_ten_are_left() {
        let scale = Scale::around(Spread::Logarithmic, Unit::Microseconds, &[20.0, 2e6], 10);
        assert_eq!(scale.ticks, [1e2, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!((scale.place(20.0), scale.place(2e6)), (0.0, 1.0));
    }

    #[test]
    fn a_scale_can_end_with_the_data() {
        let scale = Scale::around(Spread::Linear, Unit::Count, &[97_000.0], 6).up_to(97_000.0);
        assert_eq!(scale.ticks, [0.0, 2e4, 4e4, 6e4, 8e4]);
        assert_eq!(scale.place(97_000.0), 1.0);
    }
}
