//! Counts instructions with Valgrind's callgrind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use thiserror::Error;

/// The function that is counted, as callgrind matches names.
const MEASURED: &str = "*case::measured*";

/// Why there is no count.
#[derive(Debug, Error)]
pub(crate) enum CallgrindError {
    /// Valgrind cannot be started.
    #[error("valgrind cannot be started (on Debian: apt-get install valgrind)")]
    Start(#[source] io::Error),
    /// What it ran failed.
    #[error("valgrind ended with {0}:\n{1}")]
    Run(ExitStatus, String),
    /// What it wrote cannot be read.
    #[error("the file that callgrind wrote, {0}, cannot be read")]
    Read(PathBuf, #[source] io::Error),
    /// What it wrote is not what was expected.
    #[error("callgrind wrote no count of {MEASURED} into {0}")]
    Empty(PathBuf),
    /// The program under it did not say how much it did.
    #[error("the counted program says {0:?} and not how many units it did")]
    Units(String),
}

/// What one run came to.
pub(crate) struct Counted {
    /// Instructions inside of the measured function.
    pub(crate) instructions: u64,
    /// How many units they were for.
    pub(crate) units: u64,
}

/// Runs `program` with `arguments` under callgrind, which writes its profile to `profile`. The program prints how many units it
/// did.
pub(crate) fn count(program: &Path, arguments: &[&OsStr], profile: &Path) -> Result<Counted, CallgrindError> {
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(profile);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(out_file)
        .arg(program)
        .args(arguments)
        // The environment lies on the stack, and its length decides how what comes after it is aligned.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .output()
        .map_err(CallgrindError::Start)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(CallgrindError::Run(output.status, said));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let units = said.trim().parse().ok().filter(|units| *units > 0);
    let units = units.ok_or_else(|| CallgrindError::Units(said.trim().to_owned()))?;
    let text =
        fs::read_to_string(profile).map_err(|error| CallgrindError::Read(profile.to_owned(), error))?;
    let instructions = total(&text).filter(|total| *total > 0);
    let instructions = instructions.ok_or_else(|| CallgrindError::Empty(profile.to_owned()))?;
    Ok(Counted { instructions, units })
}

/// The total of a profile: its line `totals:`, which counts instructions first.
fn total(profile: &str) -> Option<u64> {
    profile
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_the_end_of_a_profile() {
        assert_eq!(total("events: Ir\nfn=(1) totals\n16 5\n\ntotals: 123456\n"), Some(123_456));
        assert_eq!(total("totals: 7 8 9"), Some(7));
        assert_eq!(total("events: Ir\n"), None);
        assert_eq!(total("totals: many\n"), None);
    }
}
