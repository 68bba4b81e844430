//! A JSON text without the whitespace between its tokens.

/// Appends the valid JSON text `text` to `out` without insignificant whitespace. Strings, numbers and the
/// order of members stay as they are written.
pub fn minify(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        push_tokens(&rest[..quote], out);
        let end = string_bytes(&rest[quote..]);
        out.push_str(&rest[quote..quote + end]);
        rest = &rest[quote + end..];
    }
    push_tokens(rest, out);
}

/// Appends text that holds no string.
fn push_tokens(text: &str, out: &mut String) {
    for token in text.split([' ', '\t', '\n', '\r']) {
        out.push_str(token);
    }
}

/// The length in bytes of the string at the start of `text`, both quotes included.
fn string_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::minify;

    fn minified(text: &str) -> String {
        let mut out = String::new();
        minify(text, &mut out);
        out
    }

    #[test]
    fn whitespace_goes_outside_strings_only() {
        assert_eq!(minified(" { \"a b\" :\t[ 1 , 2.0 ,\r\n\" \\\" \" ] } "), "{\"a b\":[1,2.0,\" \\\" \"]}");
        assert_eq!(minified("\"\\\\\" "), "\"\\\\\"");
        assert_eq!(minified("1e400"), "1e400");
        assert_eq!(minified("[\"é\u{2028}\", null]"), "[\"é\u{2028}\",null]");
    }
}
