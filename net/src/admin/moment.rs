//! Points in time as operators type and read them: Unix seconds or UTC dates.

use stemedb_engine::time::UnixMicros;

use super::error::AdminError;
pub(super) use crate::utc::format;
use crate::utc::{SECONDS_PER_DAY, civil_of_days};

/// Reads `1769610600`, `1769610600.25`, `2026-01-28`, `2026-01-28 14:30:00 UTC` or `2026-01-28T14:30:00.25Z`.
///
/// A date without a zone is UTC; other zones are refused rather than guessed.
pub(super) fn parse(text: &str) -> Result<UnixMicros, AdminError> {
    parse_seconds(text).or_else(|| parse_date(text)).ok_or_else(|| {
        AdminError::Usage(format!(
            "`{text}` is not a time; write Unix seconds (1769610600) or a date, which is in UTC (2026-01-28T14:30:00Z)"
        ))
    })
}

/// Writes the second of a time as names have it: `20260128-143000`, with `separator` in the middle.
pub(super) fn compact(time: UnixMicros, separator: char) -> String {
    let whole = UnixMicros(time.0 - time.0.rem_euclid(UnixMicros::PER_SECOND));
    let digits: String = format(whole).chars().filter(char::is_ascii_digit).collect();
    format!("{}{separator}{}", &digits[..8], &digits[8..])
}

/// Writes a time as the decimal Unix seconds of the API, exact to the microsecond.
pub(super) fn unix_seconds(time: UnixMicros) -> String {
    let (seconds, micros) = (time.0 / UnixMicros::PER_SECOND, time.0 % UnixMicros::PER_SECOND);
    if micros == 0 { seconds.to_string() } else { format!("{seconds}.{micros:06}") }
}

/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

fn parse_seconds(text: &str) -> Option<UnixMicros> {
    let (seconds, micros) = with_fraction(text)?;
    // As far as dates go. What is beyond is milliseconds.
    if seconds > SECONDS_MAX {
        return None;
    }
    Some(UnixMicros(seconds.checked_mul(UnixMicros::PER_SECOND)?.checked_add(micros)?))
}

fn parse_date(text: &str) -> Option<UnixMicros> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")).unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').map_or((time, "0"), |(time, fraction)| (time, fraction));
    let [hour, minute, second] = numbers(time, ':')?;
    let (_, micros) = with_fraction(&format!("0.{fraction}"))?;
    if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_of_civil(year, month, day);
    if civil_of_days(days) != (year, month, day) {
        return None; // There is no such day, as on February 30th.
    }
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    Some(UnixMicros(seconds * UnixMicros::PER_SECOND + micros))
}

/// The whole part and the microseconds of a plain decimal number, further digits dropped.
fn with_fraction(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() {
        return None;
    }
    let micros = digits(&fraction[..fraction.len().min(6)])?;
    digits(fraction.get(6..).filter(|rest| !rest.is_empty()).unwrap_or("0"))?;
    Some((digits(whole)?, micros * 10_i64.pow(6 - fraction.len().min(6) as u32)))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(digits);
    let all = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
///
/// Counts in eras of 400 years that begin on March 1st, so that the leap day is the last day of a year
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_of_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_name_the_same_moment() {
        let half_past_two = UnixMicros(1_769_610_600_000_000);
        for text in [
            "1769610600",
            "1769610600.0",
            "2026-01-28T14:30:00Z",
            "2026-01-28 14:30:00 UTC",
            "2026-01-28 14:30:00",
        ] {
            assert_eq!(parse(text).unwrap(), half_past_two, "{text}");
        }
        assert_eq!(parse("1769610600.25").unwrap().0, 1_769_610_600_250_000);
        assert_eq!(parse("2026-01-28T14:30:00.000001999Z").unwrap().0, 1_769_610_600_000_001);
        assert_eq!(parse("2026-01-28").unwrap().0, 1_769_558_400_000_000);
        assert_eq!(parse("253402300799").unwrap(), parse("9999-12-31T23:59:59Z").unwrap());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "-1",
            "1e9",
            "12.",
            "2026-02-30",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-28T24:00:00Z",
            "2026-01-28T14:30Z",
            "2026-01-28T14:30:00+01:00",
            "2026-01-28T14:30:00.Z",
            "99999999999999999999",
            "1.2.3",
            "1769610600000",
            "253402300800",
        ] {
            assert!(matches!(parse(text), Err(AdminError::Usage(_))), "{text}");
        }
    }

    #[test]
    fn names_have_whole_seconds() {
        assert_eq!(compact(parse("2026-01-30T02:00:00.75Z").unwrap(), '-'), "20260130-020000");
    }

    #[test]
    fn every_day_of_six_centuries_survives_writing_and_reading() {
        for day in 0..220_000 {
            let time = UnixMicros(day * SECONDS_PER_DAY * UnixMicros::PER_SECOND + 86_399_000_001);
            assert_eq!(parse(&format(time)).unwrap(), time);
            assert_eq!(parse(&unix_seconds(time)).unwrap(), time);
        }
        assert_eq!(format(UnixMicros(951_782_400_500_000)), "2000-02-29T00:00:00.5Z");
    }
}
