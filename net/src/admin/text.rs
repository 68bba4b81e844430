//! Text for people: numbers, and foreign text that must not take over the terminal.

/// A count with its thousands grouped: `1,074,565`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in megabytes of a million: `245.67 MB`.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

/// Foreign text on one line: control characters are written as escapes, what is beyond `chars_max` as `…`.
pub(super) fn printable(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for (index, character) in text.chars().enumerate() {
        if index + 1 == chars_max && text.chars().nth(chars_max).is_some() {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Rows under a heading, each column as wide as its widest cell, numbers not aligned. Columns that are empty in every
/// row are left out.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let width_of = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let shown: Vec<(usize, usize)> = (0..N)
        .filter(|&column| width_of(column) > 0)
        .map(|column| (column, width_of(column).max(heading[column].chars().count())))
        .collect();
    let mut text = String::new();
    let mut push = |cells: &dyn Fn(usize) -> String| {
        let line: Vec<String> =
            shown.iter().map(|&(column, width)| format!("{:width$}", cells(column))).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    };
    push(&|column| heading[column].to_owned());
    for row in rows {
        push(&|column| row[column].clone());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_074_565, "1,074,565")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}", 100), "a\\u{1b}[2Jb\\nc\\u{9b}");
    }

    #[test]
    fn long_text_is_cut_at_the_limit_and_not_before() {
        assert_eq!(printable("äöü", 3), "äöü");
        assert_eq!(printable("äöüß", 3), "äö…");
    }

    #[test]
    fn a_table_has_only_columns_that_say_something() {
        let rows =
            [["a".into(), String::new(), "long value".into()], ["bcd".into(), String::new(), "x".into()]];
        assert_eq!(table(["P", "EMPTY", "VALUE"], &rows), "P    VALUE\na    long value\nbcd  x\n");
    }
}
