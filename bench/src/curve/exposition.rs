//! Metrics as Prometheus reads them: its text format, version 0.0.4, read strictly.

use std::borrow::Cow;

use thiserror::Error;

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Vec<Label<'a>>,
    pub(crate) value: f64,
}

/// What tells the values of one metric apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Label<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Cow<'a, str>,
}

/// Why a text is not in the format.
#[derive(Debug, Error, PartialEq)]
#[error("line {line} of the metrics: expected {expected}, got `{text}`")]
pub struct ExpositionError {
    line: usize,
    expected: &'static str,
    text: String,
}

/// All samples of `text`, in order.
///
/// # Errors
///
/// With the first line that is not in the format.
pub(crate) fn samples(text: &str) -> Result<Vec<Sample<'_>>, ExpositionError> {
    let mut samples = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let wrong =
            |expected| ExpositionError { line: index + 1, expected, text: line.trim_end().to_owned() };
        let Some(line) = line.strip_suffix('\n') else {
            return Err(wrong("the end of the line"));
        };
        if !line.trim_start().is_empty() && !line.starts_with('#') {
            samples.push(sample(line).map_err(wrong)?);
        }
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let (name, rest) = name(line).ok_or("the name of a metric")?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    if !rest.starts_with([' ', '\t']) {
        return Err("a space before the value");
    }
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().and_then(|word| word.parse().ok()).ok_or("a value")?;
    if words.next().is_some_and(|word| word.parse::<i64>().is_err()) {
        return Err("a time in milliseconds after the value");
    }
    if words.next().is_some() {
        return Err("nothing after value and time");
    }
    Ok(Sample { name, labels, value })
}

/// Labels with their values, and what follows their closing brace.
fn labels(mut text: &str) -> Result<(Vec<Label<'_>>, &str), &'static str> {
    let mut labels: Vec<Label<'_>> = Vec::new();
    loop {
        if let Some(rest) = text.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, rest) = name(text).ok_or("a label or a closing brace")?;
        if labels.iter().any(|label| label.name == name) {
            return Err("each label once");
        }
        let rest = rest.strip_prefix("=\"").ok_or("`=\"` and the label's value")?;
        let (value, rest) = value(rest)?;
        labels.push(Label { name, value });
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return Err("a comma or a closing brace after a label"),
        };
    }
}

/// A label's value without its escapes, and what follows its closing quote.
fn value(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let end = text.find(['"', '\\']).ok_or("a closing quote")?;
    let mut value = Cow::Borrowed(&text[..end]);
    let mut rest = &text[end..];
    loop {
        if let Some(rest) = rest.strip_prefix('"') {
            return Ok((value, rest));
        }
        let escapes = [("\\\\", '\\'), ("\\\"", '"'), ("\\n", '\n')];
        let (escape, meant) = escapes
            .into_iter()
            .find(|(escape, _)| rest.starts_with(escape))
            .ok_or("`\\\\`, `\\\"` or `\\n`")?;
        rest = &rest[escape.len()..];
        let end = rest.find(['"', '\\']).ok_or("a closing quote")?;
        let value = value.to_mut();
        value.push(meant);
        value.push_str(&rest[..end]);
        rest = &rest[end..];
    }
}

/// A name at the beginning of `text`, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    let end = text.bytes().position(|byte| !inside(byte)).unwrap_or(text.len());
    let starts_well = end > 0 && !text.as_bytes()[0].is_ascii_digit();
    starts_well.then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP a_total Things, \"quoted\" {or not}.\n# TYPE a_total counter\n\
                    a_total 5\na_bucket{le=\"+Inf\"} 7 1700000000000\na_sum{} 0.25\n\n\
                    a:b{path=\"C:\\\\x \\\"y\\\"\\n}\",} -Inf\n";
        let sample = |name, labels: &[(&'static str, &'static str)], value| Sample {
            name,
            labels: labels.iter().map(|(name, value)| Label { name, value: Cow::Borrowed(*value) }).collect(),
            value,
        };
        let expected = [
            sample("a_total", &[], 5.0),
            sample("a_bucket", &[("le", "+Inf")], 7.0),
            sample("a_sum", &[], 0.25),
            sample("a:b", &[("path", "C:\\x \"y\"\n}")], f64::NEG_INFINITY),
        ];
        assert_eq!(samples(text).unwrap(), expected);
        assert_eq!(samples(""), Ok(vec![]));
    }

    #[test]
    fn what_is_not_in_the_format_is_refused_with_its_line() {
        for (text, expected) in [
            ("a 1", "the end of the line"),
            ("1a 1\n", "the name of a metric"),
            (" a 1\n", "the name of a metric"),
            ("a\n", "a space before the value"),
            ("a{}1\n", "a space before the value"),
            ("a \n", "a value"),
            ("a one\n", "a value"),
            ("a 1 soon\n", "a time in milliseconds after the value"),
            ("a 1 2 3\n", "nothing after value and time"),
            ("a{b=\"1\" 1\n", "a comma or a closing brace after a label"),
            ("a{b} 1\n", "`=\"` and the label's value"),
            ("a{b=\"1\n", "a closing quote"),
            ("a{b=\"\\t\"} 1\n", "`\\\\`, `\\\"` or `\\n`"),
            ("a{b=\"1\",b=\"2\"} 1\n", "each label once"),
            ("a{,} 1\n", "a label or a closing brace"),
        ] {
            let error = samples(&format!("ok 1\n{text}")).expect_err(text);
            assert_eq!((error.line, error.expected), (2, expected), "{text}");
        }
    }
}
