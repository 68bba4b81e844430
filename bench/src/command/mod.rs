//! The subcommands: their arguments, and how results are told.

pub(crate) mod compare;
pub(crate) mod curve;
pub(crate) mod run;
pub(crate) mod soak;
pub(crate) mod sqlite_loop;

use std::time::Duration;

/// Parses an argument in seconds, up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=86_400.0).contains(&number) {
        Ok(Duration::from_secs_f64(number))
    } else {
        Err("it is not between 0 and a day, 86400".to_owned())
    }
}

/// Parses an argument in seconds, above 0 and up to a day.
fn positive_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("nothing can be measured in no time".to_owned()),
        duration => Ok(duration),
    }
}
