//! What can be said of all pages without a machine to try them on.

use std::collections::BTreeSet;
use std::fs;

use crate::document::{Document, Kind};
use crate::{exceptions, repository};

/// The pages that tell operators what to type; each has a world of its own in `worlds`.
const PAGES: [&str; 13] = [
    "README.md",
    "deploy/README.md",
    "docs/operations/backup.md",
    "docs/operations/disaster.md",
    "docs/operations/full.md",
    "docs/operations/latency.md",
    "docs/operations/monitoring.md",
    "docs/operations/recovery.md",
    "docs/operations/restore.md",
    "docs/operations/tls.md",
    "docs/operations/troubleshooting.md",
    "docs/operations/upgrade.md",
    "docs/operations/wont-start.md",
];

/// Whether a word stands for what somebody would have to know and put there.
fn is_to_be_filled_in(word: &str) -> bool {
    word.contains("YYYY") || word.contains('…') || (word.starts_with('<') && word.ends_with('>'))
}

#[test]
fn every_page_for_operators_has_a_world() {
    let entries = fs::read_dir(repository().join("docs/operations")).expect("readable");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"));
    let mut found: BTreeSet<String> = names.map(|name| format!("docs/operations/{name}")).collect();
    found.extend(["README.md", "deploy/README.md"].map(str::to_owned));
    let known: BTreeSet<String> = PAGES.map(str::to_owned).into();
    assert_eq!(found, known);
    let worlds = repository().join("tests/tests/runbooks/worlds");
    let sources: String = fs::read_dir(worlds)
        .expect("readable")
        .map(|entry| fs::read_to_string(entry.expect("readable").path()).expect("text"))
        .collect();
    for page in PAGES {
        assert!(sources.contains(&format!("Walk::through(\"{page}\", ")), "no world goes through {page}");
    }
}

/// Goal: what is to be typed is shell, with nothing to fill in. Method: bash reads all commands without running them.
#[test]
fn commands_can_be_typed_as_they_are_printed() {
    for page in PAGES {
        for block in Document::read(page).blocks {
            for exchange in block.exchanges() {
                let place = exchange.typed.split_whitespace().find(|word| is_to_be_filled_in(word));
                assert_eq!(place, None, "{page}, line {}: somebody would have to know", block.line);
            }
        }
    }
}

#[test]
fn every_exception_is_of_a_block_that_is_there() {
    for (page, begin, why) in exceptions::all() {
        let blocks = Document::read(page).blocks;
        let of = blocks.iter().filter(|block| block.text.starts_with(begin) && block.kind != Kind::Drawing);
        assert_eq!(of.count(), 1, "{page} has not one block that begins with {begin:?}");
        assert!(!why.is_empty());
    }
}
