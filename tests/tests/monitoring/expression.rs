//! The names of metrics in a PromQL expression.

use std::collections::BTreeSet;

/// Words that stand before a list of labels in parentheses.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Words that are operators.
const OPERATORS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "atan2"];

/// The names of all metrics that a valid expression asks for.
pub(crate) fn metrics(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '{' => behind(rest, '}'),
            '[' => behind(rest, ']'),
            '"' => behind_text(rest),
            'a'..='z' | 'A'..='Z' | '_' => {
                let (word, behind_word) = word(rest);
                let next = behind_word.trim_start();
                if BEFORE_LABELS.contains(&word) && next.starts_with('(') {
                    behind(next, ')')
                } else {
                    let is_function =
                        next.starts_with('(') || ["by", "without"].contains(&self::word(next).0);
                    if !is_function && !OPERATORS.contains(&word) {
                        names.insert(word.to_owned());
                    }
                    behind_word
                }
            }
            // A number, with the unit of a duration.
            '0'..='9' => word(rest).1,
            _ => &rest[first.len_utf8()..],
        };
    }
    names
}

/// The letters, digits and underscores at the beginning, and what follows.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|other: char| !other.is_ascii_alphanumeric() && other != '_');
    text.split_at(end.unwrap_or(text.len()))
}

/// What follows the next `end` that is not in quotes.
fn behind(text: &str, end: char) -> &str {
    let mut rest = text;
    loop {
        let place = rest.find([end, '"']).unwrap_or_else(|| panic!("no {end} in {text:?}"));
        if rest[place..].starts_with(end) {
            return &rest[place + end.len_utf8()..];
        }
        rest = behind_text(&rest[place..]);
    }
}

/// What follows the text in quotes at the beginning.
fn behind_text(text: &str) -> &str {
    let mut escaped = false;
    for (place, other) in text.char_indices().skip(1) {
        match other {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &text[place + 1..],
            _ => {}
        }
    }
    panic!("a text does not end: {text:?}")
}

#[test]
fn names_are_told_from_functions_labels_words_and_numbers() {
    let names = |text| metrics(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names("up"), "up");
    assert_eq!(names(r#"changes(start_s{job="a}b", x=~"\"c"}[15m]) >= 3"#), "start_s");
    assert_eq!(
        names("sum by (job, le) (rate(a_bucket[5m])) / on (job) group_left (x) b > 1e3"),
        "a_bucket b"
    );
    assert_eq!(names("time() - a > 26 * 3600 or (b unless on (i) c offset 5m)"), "a b c");
    assert_eq!(names("histogram_quantile(0.99, sum(a) without(core))"), "a");
}
