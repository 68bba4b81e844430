//! Where stored data is damaged.

use std::path::{Path, PathBuf};

/// The first damaged place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPlace {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What is wrong, as a sentence that names file and offset.
    pub problem: String,
}

impl DamagedPlace {
    /// The place that an error tells of.
    pub fn new(path: &Path, offset: u64, error: &dyn std::error::Error) -> DamagedPlace {
        DamagedPlace { path: path.to_owned(), offset, problem: with_causes(error) }
    }
}

/// An error with all its causes.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
