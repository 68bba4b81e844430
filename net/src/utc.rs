//! Points in time as people read them, in UTC.

use stemedb_engine::time::UnixMicros;

/// Seconds of a day, leap seconds not counted, as Unix time has it.
pub(crate) const SECONDS_PER_DAY: i64 = 86_400;

/// Writes a time as `2026-01-28T14:30:00Z`, with a fraction only where there is one.
pub(crate) fn format(time: UnixMicros) -> String {
    let (seconds, micros) =
        (time.0.div_euclid(UnixMicros::PER_SECOND), time.0.rem_euclid(UnixMicros::PER_SECOND));
    let (year, month, day) = civil_of_days(seconds.div_euclid(SECONDS_PER_DAY));
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let fraction = match micros {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// The date of the Gregorian calendar, `(year, month, day)`, of days since 1970-01-01; the inverse of
/// `days_of_civil` (`civil_from_days` of the same paper).
pub(crate) fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
