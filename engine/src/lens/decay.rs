//! Decay: confidence that fades with the age of a claim, the sooner the looser its source.

use crate::claim::{Confidence, SourceClass};
use crate::time::UnixMicros;

/// After how many days half of a claim's confidence is left, by the number of its source class. Never stored
/// with a claim: it applies when reading.
pub const HALF_LIFE_DAYS: [f64; 6] = [f64::INFINITY, 730.0, 365.0, 180.0, 90.0, 30.0];

/// Microseconds in a day.
const DAY_US: f64 = 86_400.0 * 1e6;

/// What is left at `now` of the confidence of a claim made at `made`: `confidence × 2^(−age/half-life)`, from
/// 0 to `confidence`. A claim from the future has not aged.
pub fn effective_confidence(
    confidence: Confidence,
    source_class: SourceClass,
    made: UnixMicros,
    now: UnixMicros,
) -> f64 {
    let age_days = now.0.saturating_sub(made.0).max(0) as f64 / DAY_US;
    confidence.value() * (-age_days / HALF_LIFE_DAYS[usize::from(source_class.number())]).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);

    fn left(class: SourceClass, age_days: i64) -> f64 {
        let confidence = Confidence::new(0.8).expect("within bounds");
        effective_confidence(confidence, class, UnixMicros(NOW.0 - age_days * 86_400_000_000), NOW)
    }

    #[test]
    fn half_is_left_after_a_half_life() {
        for (class, days) in SourceClass::ALL.into_iter().zip([0, 730, 365, 180, 90, 30]).skip(1) {
            assert_eq!(left(class, days), 0.4, "{class:?}");
            assert_eq!(left(class, 2 * days), 0.2, "{class:?}");
        }
    }

    #[test]
    fn neither_regulations_nor_claims_from_the_future_fade() {
        assert_eq!(left(SourceClass::Regulatory, 20_000), 0.8);
        assert_eq!(left(SourceClass::Regulatory, 0), 0.8);
        assert!(SourceClass::ALL.into_iter().all(|class| left(class, -3) == 0.8 && left(class, 0) == 0.8));
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let all = Confidence::CERTAIN;
        let faded =
            effective_confidence(all, SourceClass::Anecdotal, UnixMicros(i64::MIN), UnixMicros(i64::MAX));
        assert_eq!(faded, 0.0);
    }
}
