//! The time of day as responses tell it.

/// Bytes of the line, from its name to its line end.
const LINE_BYTES: usize = 37;

/// The last second of the year 9999: a year has four digits.
const UNIX_S_MAX: u64 = 253_402_300_799;

const SECONDS_A_DAY: u64 = 86_400;

const DAY_NAMES: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

const MONTH_NAMES: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A second of the time of day, written out once for all responses of that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    unix_s: u64,
    line: [u8; LINE_BYTES],
}

impl Date {
    /// The second that is `unix_s` seconds after the beginning of 1970, in UTC.
    pub fn of_unix_s(unix_s: u64) -> Date {
        Date { unix_s, line: line(unix_s.min(UNIX_S_MAX)) }
    }

    /// The seconds since the beginning of 1970.
    pub fn unix_s(&self) -> u64 {
        self.unix_s
    }

    /// The whole header line, its line end included.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }
}

//= RFC 9110 section 5.6.7
//# When a sender generates a field that contains one or more timestamps defined as HTTP-date, the sender MUST
//# generate those timestamps in the IMF-fixdate format.
//
//= RFC 9110 section 5.6.7
//# IMF-fixdate = day-name "," SP date1 SP time-of-day SP GMT
fn line(unix_s: u64) -> [u8; LINE_BYTES] {
    let (days, second) = (unix_s / SECONDS_A_DAY, unix_s % SECONDS_A_DAY);
    let (year, month, day) = civil_date(days);
    let mut line = *b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    // The first of January 1970 was a Thursday.
    line[6..9].copy_from_slice(DAY_NAMES[(days % 7 + 3) as usize % 7]);
    line[11..13].copy_from_slice(&two_digits(day));
    line[14..17].copy_from_slice(MONTH_NAMES[month as usize - 1]);
    line[18..20].copy_from_slice(&two_digits(year / 100));
    line[20..22].copy_from_slice(&two_digits(year % 100));
    line[23..25].copy_from_slice(&two_digits(second / 3600));
    line[26..28].copy_from_slice(&two_digits(second / 60 % 60));
    line[29..31].copy_from_slice(&two_digits(second % 60));
    line
}

/// Year, month and day of the month of a day that is counted from the beginning of 1970.
///
/// Years are counted from March, so that the day which not every year has is the last one, and in cycles of 400 years,
/// which all have the same number of days.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_A_CYCLE: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (cycle, day) = (days / DAYS_A_CYCLE, days % DAYS_A_CYCLE);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (january_or_february, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (cycle * 400 + year + january_or_february, month, day_of_month)
}

fn two_digits(number: u64) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_s: u64) -> String {
        let line = String::from_utf8(Date::of_unix_s(unix_s).line().to_vec()).expect("a date is ASCII");
        let line = line.strip_prefix("date: ").and_then(|line| line.strip_suffix("\r\n"));
        line.expect("a date is a header line").to_owned()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (UNIX_S_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(text(unix_s), expected);
        }
    }

    #[test]
    fn every_day_of_a_cycle_follows_the_one_before() {
        let is_leap =
            |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil_date(days), (year, month, day), "day {days}");
            let month_days = match month {
                2 => 28 + u64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == month_days => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }
}
