//! The list of all bounds, `docs/reliability/bounds.md`, tells of tests and constants that are there.

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All sources below a directory, as text.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).expect("sources are text"));
        }
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_bound_of_the_list_is_where_it_says_and_has_its_tests() {
    let list = fs::read_to_string(repository().join("docs/reliability/bounds.md")).expect("the list");
    let mut text = String::new();
    for directory in ["engine", "net", "tests"] {
        sources(&repository().join(directory), &mut text);
    }
    let mut rows = 0;
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| what");
    for line in list.lines().filter(is_row) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[what, _, places, _, tests] = &cells[..] else { panic!("not five cells: {line}") };
        rows += 1;
        for place in quoted(places) {
            match place.strip_suffix(".rs") {
                Some(_) => assert!(repository().join(place).is_file(), "{what}: no file {place}"),
                None => assert!(text.contains(place), "{what}: no {place} in the sources"),
            }
        }
        assert!(quoted(tests).next().is_some(), "{what}: no test");
        for test in quoted(tests) {
            assert!(text.contains(&format!("fn {test}(")), "{what}: no test {test}");
        }
    }
    assert!(rows >= 60, "only {rows} bounds are listed");
}
