//! What a page shows of an output, held against what was printed.
//!
//! `…` stands for anything within a line, and a line of nothing else for any lines. All else is as it is shown.

/// The sign for what is left out.
const LEFT_OUT: char = '…';

/// Whether these lines are what is shown.
pub(crate) fn matches(shown: &str, printed: &str) -> bool {
    let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
    lines_match(&shown, &printed)
}

/// Whether this line is what is shown. Blanks at both ends do not count.
pub(crate) fn line_matches(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (shown.trim(), printed.trim());
    let mut parts = shown.split(LEFT_OUT);
    let first = parts.next().expect("a split has a first part");
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

fn lines_match(shown: &[&str], printed: &[&str]) -> bool {
    match shown {
        [] => printed.is_empty(),
        [line, rest @ ..] if line.trim() == LEFT_OUT.to_string() => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        [line, rest @ ..] => {
            printed.first().is_some_and(|first| line_matches(line, first)) && lines_match(rest, &printed[1..])
        }
    }
}

#[test]
fn what_is_left_out_may_be_anything_and_all_else_must_be_there() {
    for (shown, printed, expected) in [
        ("a b", "a b", true),
        ("a b", "a b c", false),
        ("a … c", "a b c", true),
        ("a … c", "a c", false),
        ("… after …ms", "INFO: done after 3.4ms", true),
        ("a…a", "a", false),
        ("process … listens there", "process 4711 listens here", false),
    ] {
        assert_eq!(line_matches(shown, printed), expected, "{shown:?} {printed:?}");
    }
    assert!(matches("a\n…\nd\n", "a\nb\nc\nd\n") && matches("a\n…\nd\n", "a\nd"));
    assert!(!matches("a\n…\nd\n", "a\nb\nc") && !matches("a\n", "a\nb\n") && !matches("a\n", ""));
}
