//! Batches: telling NDJSON from an array, and the answer that counts what became of the claims.

use super::error::ApiError;
use super::text::push_count;

/// How many errors the answer to a batch shows.
pub const ERRORS_SHOWN_MAX: usize = 100;

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchFormat {
    /// One claim a line, blank lines passed over.
    Ndjson,
    /// A JSON array of claims.
    Array,
}

impl BatchFormat {
    /// The format of the batch that begins with `bytes`. `None` while they are only white space.
    ///
    /// The content decides, not the media type: a claim is an object, so only an array can begin with a bracket.
    pub fn of(bytes: &[u8]) -> Option<BatchFormat> {
        let first = bytes.get(blank_bytes(bytes))?;
        Some(if *first == b'[' { BatchFormat::Array } else { BatchFormat::Ndjson })
    }
}

/// How many bytes of white space `bytes` begin with.
pub fn blank_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_space(**byte)).count()
}

/// Whether a line of NDJSON holds nothing. Such a line counts as a line, but as no claim.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| is_space(*byte))
}

/// What became of the claims of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchSummary {
    /// Claims that were stored.
    pub accepted: u64,
    /// Claims that were stored before.
    pub exists: u64,
    rejected: u64,
    /// The errors with the smallest line numbers, in their order.
    errors: Vec<(u64, ApiError)>,
}

impl BatchSummary {
    /// Counts a claim that was refused. `line` is its line in the body, or its place in the array, from 1.
    /// Refusals may come in any order; those of the first [`ERRORS_SHOWN_MAX`] lines are shown.
    pub fn reject(&mut self, line: u64, error: ApiError) {
        self.rejected += 1;
        let place = self.errors.partition_point(|(earlier, _)| *earlier <= line);
        if place < ERRORS_SHOWN_MAX {
            self.errors.truncate(ERRORS_SHOWN_MAX - 1);
            self.errors.insert(place, (line, error));
        }
    }

    /// Claims that were refused.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Appends the answer to the batch.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"accepted\":");
        push_count(out, self.accepted);
        out.extend_from_slice(b",\"exists\":");
        push_count(out, self.exists);
        out.extend_from_slice(b",\"rejected\":");
        push_count(out, self.rejected);
        out.extend_from_slice(b",\"errors\":[");
        for (index, (line, error)) in self.errors.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"line\":");
            push_count(out, *line);
            out.push(b',');
            error.write_members(out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::super::ErrorCode;
    use super::*;

    fn error(message: &'static str) -> ApiError {
        ApiError::new(ErrorCode::InvalidJson, message)
    }

    #[test]
    fn the_first_character_tells_the_format() {
        assert_eq!(BatchFormat::of(b" \r\n\t"), None);
        assert_eq!(BatchFormat::of(b"\n {"), Some(BatchFormat::Ndjson));
        assert_eq!(BatchFormat::of(b"\n [{"), Some(BatchFormat::Array));
        assert_eq!(BatchFormat::of(b"x["), Some(BatchFormat::Ndjson));
        assert!(is_blank(b"") && is_blank(b" \r") && !is_blank(b" {}"));
        assert_eq!((blank_bytes(b""), blank_bytes(b" \r"), blank_bytes(b"\t\n{ }")), (0, 2, 2));
    }

    #[test]
    fn a_summary_counts_and_shows_errors_by_line() {
        let mut summary = BatchSummary { accepted: 2, exists: 1, ..BatchSummary::default() };
        summary.reject(9, error("later"));
        summary.reject(4, ApiError { field: Some("value".into()), ..error("sooner") });
        let mut out = Vec::new();
        summary.write_json(&mut out);
        assert_eq!(
            String::from_utf8(out).expect("answers are UTF-8"),
            concat!(
                r#"{"accepted":2,"exists":1,"rejected":2,"errors":["#,
                r#"{"line":4,"code":"invalid_json","message":"sooner","field":"value"},"#,
                r#"{"line":9,"code":"invalid_json","message":"later"}]}"#
            )
        );
    }

    #[test]
    fn only_the_first_errors_are_shown_in_whatever_order_they_come() {
        let mut summary = BatchSummary::default();
        // 7 and 1009 have no common divisor: every line once, in a scattered order.
        for step in 0..1009 {
            summary.reject(1 + step * 7 % 1009, error("x"));
        }
        assert_eq!(summary.rejected(), 1009);
        let lines: Vec<_> = summary.errors.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, (1..=ERRORS_SHOWN_MAX as u64).collect::<Vec<_>>());
    }
}
