//! Which files of the tables' directory are worth a copy.

use std::fs;
use std::io;
use std::path::Path;

/// The files of the tables' directory that a backup copies, by name: not the lock, not what is being written, and not the
/// snapshots of the indexes, which are below it and are made anew. What is listed never changes until it is removed,
/// from which a [`Hold`](super::Hold) on the log keeps it. A directory that is not there has none.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn tables(db: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(db) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_passing =
            name == "LOCK" || [".scratch", ".new", ".prepare"].iter().any(|end| name.ends_with(end));
        if entry.file_type()?.is_file() && !is_passing {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_stay_are_listed() {
        let db = tempfile::tempdir().expect("a directory");
        fs::create_dir(db.path().join("indexes")).expect("writable");
        for name in ["LOCK", "assertions-2.kv", "assertions-1.kv", "manifest.new", "writable-7.scratch"] {
            fs::write(db.path().join(name), "").expect("writable");
        }
        assert_eq!(tables(db.path()).expect("readable"), ["assertions-1.kv", "assertions-2.kv"]);
        assert!(tables(&db.path().join("missing")).expect("nothing is fine").is_empty());
    }
}
