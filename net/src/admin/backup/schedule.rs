//! `stemedb-admin backup schedule`: a cron expression as a timer of systemd understands it.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use serde_json::json;

use crate::admin::error::AdminError;

/// What `backup schedule` is asked to translate.
#[derive(Debug, clap::Args)]
pub(in crate::admin) struct ScheduleOptions {
    /// When to take backups: minute, hour, day of the month, month and day of the week, in UTC
    #[arg(long, value_name = "CRON", env = "BACKUP_SCHEDULE", default_value = "0 2 * * *")]
    schedule: String,
}

/// What a field of an expression may hold.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59 },
    Field { name: "hour", least: 0, most: 23 },
    Field { name: "day of the month", least: 1, most: 31 },
    Field { name: "month", least: 1, most: 12 },
    Field { name: "day of the week", least: 0, most: 7 },
];

/// How many days each month has at most.
const DAYS_MOST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Prints a drop-in for `stemedb-backup.timer`.
pub(super) fn run(as_json: bool, options: &ScheduleOptions) -> Result<ExitCode, AdminError> {
    // What is refused prints nothing: whoever sends this into a file would have half a drop-in.
    let calendars = calendars(&options.schedule)?;
    let mut out = stdout().lock();
    if as_json {
        writeln!(out, "{}", json!({ "calendar_events": calendars }))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "[Timer]\nOnCalendar=")?;
    for calendar in calendars {
        writeln!(out, "OnCalendar={calendar}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The calendar events (systemd.time(7)) of a cron expression (crontab(5)). Two, where both days are restricted: either
/// of them counts then.
fn calendars(expression: &str) -> Result<Vec<String>, AdminError> {
    let words: Vec<_> = expression.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = words[..] else {
        let message = format!("`{expression}` is not five fields such as `0 2 * * *`");
        return Err(AdminError::Usage(message));
    };
    let list = |at: usize, word: &str| values(&FIELDS[at], word);
    let text = |values: &Option<Vec<u32>>| match values {
        None => "*".to_owned(),
        Some(values) => values.iter().map(|value| format!("{value:02}")).collect::<Vec<_>>().join(","),
    };
    let (minute, hour) = (text(&list(0, minute)?), text(&list(1, hour)?));
    let (days, months) = (list(2, day)?, list(3, month)?);
    if let (Some(days), Some(months), "*") = (&days, &months, weekday)
        && !months.iter().any(|&month| days.iter().any(|&day| day <= DAYS_MOST[month as usize - 1]))
    {
        return Err(AdminError::Usage(format!("`{expression}` names days that never come")));
    }
    let month = text(&months);
    let weekdays = list(4, weekday)?.map(|values| {
        let mut names: Vec<_> = values.iter().map(|&value| value as usize % 7).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().map(|&day| DAYS[day]).collect::<Vec<_>>().join(",")
    });
    let on_days = format!("*-{month}-{} {hour}:{minute}:00 UTC", text(&days));
    let on_weekdays = weekdays.map(|names| format!("{names} *-{month}-* {hour}:{minute}:00 UTC"));
    Ok(match (days, on_weekdays) {
        (_, None) => vec![on_days],
        (None, Some(on_weekdays)) => vec![on_weekdays],
        (Some(_), Some(on_weekdays)) => vec![on_days, on_weekdays],
    })
}

/// The values of a field, ascending; `None` if it is `*`.
fn values(field: &Field, word: &str) -> Result<Option<Vec<u32>>, AdminError> {
    if word == "*" {
        return Ok(None);
    }
    let wrong = || {
        let Field { name, least, most } = field;
        let form = format!("numbers from {least} to {most}, ranges 1-5, steps */2 and lists of these");
        AdminError::Usage(format!("`{word}` is not a {name}: expected {form}"))
    };
    let number = |text: &str| {
        let value = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        value.filter(|value| (field.least..=field.most).contains(value)).ok_or_else(wrong)
    };
    let mut values = Vec::new();
    for part in word.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|&step| step > 0).ok_or_else(wrong)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (field.least, field.most),
            Some((first, last)) => (number(first)?, number(last)?),
            None if step > 1 => (number(range)?, field.most),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(wrong());
        }
        values.extend((first..=last).step_by(step));
    }
    values.sort_unstable();
    values.dedup();
    Ok(Some(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_cron_become_calendar_events() {
        for (cron, events) in [
            ("0 2 * * *", &["*-*-* 02:00:00 UTC"][..]),
            ("30 */6 * * *", &["*-*-* 00,06,12,18:30:00 UTC"]),
            ("0 3 * * 1-5", &["Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00 UTC"]),
            ("0 3 * * 0,7", &["Sun *-*-* 03:00:00 UTC"]),
            ("5,10 4 1 1-3 *", &["*-01,02,03-01 04:05,10:00 UTC"]),
            ("0 2 29 2 *", &["*-02-29 02:00:00 UTC"]),
            ("0 0 1 * 5", &["*-*-01 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC"]),
        ] {
            assert_eq!(calendars(cron).expect("it is one"), events, "{cron}");
        }
        for wrong in [
            "",
            "0 2 * *",
            "60 2 * * *",
            "0 24 * * *",
            "x * * * *",
            "0 2 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "0 2 30-31 2 *",
            "0 2 31 4,6 *",
        ] {
            assert!(matches!(calendars(wrong), Err(AdminError::Usage(_))), "{wrong}");
        }
    }
}
