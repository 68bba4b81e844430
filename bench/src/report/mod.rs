//! A curve as files: a page to read, a picture to show, and data to compute with.

mod charts;
mod page;
mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::chart::Unit;
use crate::curve::{Curve, Knee};

/// The files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// All charts and figures, in one page that needs no other file.
    pub page: PathBuf,
    /// The main chart alone.
    pub picture: PathBuf,
    /// All figures, as JSON.
    pub data: PathBuf,
}

/// A file of a report could not be written.
#[derive(Debug, Error)]
#[error("cannot write `{}`: {error}", path.display())]
pub struct ReportError {
    path: PathBuf,
    error: io::Error,
}

impl Report {
    /// Writes the report of `curve` into `directory`, which is made if it is not there. Earlier files give way.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or a file not be written.
    pub fn write(curve: &Curve, directory: &Path) -> Result<Report, ReportError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ReportError { path, error }
        };
        let write = |name: &str, contents: String| {
            let path = directory.join(name);
            fs::write(&path, contents).map_err(failed(&path)).map(|()| path)
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let data = serde_json::to_string_pretty(curve).expect("a curve has no keys but strings");
        Ok(Report {
            page: write("rate-latency.html", page::html(curve))?,
            picture: write("rate-latency.svg", charts::rate_latency(curve).file())?,
            data: write("rate-latency.json", data + "\n")?,
        })
    }
}

/// What was found, in one or two sentences.
pub fn finding(curve: &Curve) -> String {
    let (rate, objective) = (|rate| Unit::Count.label(rate), curve.objective);
    match curve.knee {
        Knee::Between { rate_per_s, broken_per_s } => format!(
            "Up to {} requests a second the objective is met ({objective}); at {} it is not.",
            rate(rate_per_s),
            rate(broken_per_s)
        ),
        Knee::Below { broken_per_s } => format!(
            "The objective ({objective}) is not met at any rate that was tried, down to {} requests a second.",
            rate(broken_per_s)
        ),
        Knee::Beyond { rate_per_s } => format!(
            "The objective ({objective}) is met at all rates that were tried, up to {} requests a second: \
             the knee lies beyond.",
            rate(rate_per_s)
        ),
    }
}
