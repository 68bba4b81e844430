//! The table of `docs/reliability/http.md`: every sentence has its row, and every row its sentence, code and test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A sentence of a specification as it stands in a source file, and the test that follows it, if one does.
#[derive(Debug)]
struct Sentence {
    section: String,
    text: String,
    test: Option<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the repository").to_path_buf()
}

/// The sentences of a file. Tests are named by `module` and their function.
fn sentences_in(path: &Path, module: &str) -> Vec<Sentence> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut sentences: Vec<Sentence> = Vec::new();
    let mut of_next_test = 0;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix("//= ") {
            sentences.push(Sentence { section: section.to_owned(), text: String::new(), test: None });
            of_next_test += 1;
        } else if let (Some(part), Some(sentence)) = (line.strip_prefix("//# "), sentences.last_mut()) {
            let separator = if sentence.text.is_empty() { "" } else { " " };
            sentence.text += &format!("{separator}{}", part.trim().replace("  ", " "));
        } else if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) {
            let first = sentences.len() - of_next_test;
            sentences[first..]
                .iter_mut()
                .for_each(|sentence| sentence.test = Some(format!("{module}::{name}")));
            of_next_test = 0;
        }
    }
    sentences
}

/// Whether the code quotes a sentence: whole, or what it obeys of it, perhaps with more before and behind.
fn is_quoted(sentence: &str, by_code: &str) -> bool {
    /// What a part must have to say anything.
    const BYTES_MIN: usize = 30;
    by_code.split("[...]").map(|part| part.trim_matches([' ', ',', ';', '.'])).any(|part| {
        part.contains(sentence.trim_end_matches('.')) || part.len() >= BYTES_MIN && sentence.contains(part)
    })
}

/// The sentences before tests, of all files that have some.
fn tested() -> Vec<Sentence> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/conformance");
    let mut sentences =
        sentences_in(&repository().join("tests/tests/http_conformance.rs"), "http_conformance");
    let of_tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/tests/tls.rs");
    sentences.extend(sentences_in(&of_tls, "core::tls"));
    for entry in fs::read_dir(directory).expect("this file is in it") {
        let path = entry.expect("readable").path();
        let module =
            path.file_stem().and_then(|name| name.to_str()).expect("a module's name is ASCII").to_owned();
        if module != "table" {
            sentences.extend(sentences_in(&path, &module));
        }
    }
    sentences
}

#[test]
fn the_table_lists_every_sentence_with_its_code_and_its_test() {
    let document = fs::read_to_string(repository().join("docs/reliability/http.md")).expect("it is there");
    let tested = tested();
    assert!(tested.len() > 90, "only {} sentences were found", tested.len());
    let mut listed = BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| 9110 |") || line.starts_with("| 9112 |")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [rfc, section, text, code, test] = cells[..] else { panic!("not five cells: {row}") };
        let (section, test) = (format!("RFC {rfc} section {section}"), test.trim_matches('`'));
        let is_sentence = |sentence: &Sentence| match text.strip_suffix(" …") {
            Some(beginning) => sentence.text.starts_with(beginning),
            None => sentence.text == text,
        };
        let place = tested.iter().position(|sentence| {
            sentence.section == section && sentence.test.as_deref() == Some(test) && is_sentence(sentence)
        });
        let place = place.unwrap_or_else(|| panic!("no test {test} begins with this sentence: {row}"));
        assert!(listed.insert(place), "listed twice: {row}");
        let code = repository().join("net/src").join(code.trim_matches('`'));
        let is_obeyed = sentences_in(&code, "")
            .iter()
            .any(|by_code| by_code.section == section && is_quoted(&tested[place].text, &by_code.text));
        assert!(is_obeyed, "{} does not quote {section}: {}", code.display(), tested[place].text);
    }
    let unlisted: Vec<_> = (0..tested.len()).filter(|place| !listed.contains(place)).collect();
    assert!(
        unlisted.is_empty(),
        "not listed: {:#?}",
        unlisted.iter().map(|&place| &tested[place]).collect::<Vec<_>>()
    );
    assert!(tested.iter().all(|sentence| sentence.test.is_some()), "a sentence has no test");
}
