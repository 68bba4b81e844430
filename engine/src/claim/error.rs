//! Why something cannot be part of a claim.

use std::fmt;

/// A field of a claim that breaks one of its rules.
///
/// Displays as one sentence: `confidence must be between 0 and 1, got 1.5`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct ClaimError {
    /// The field at fault.
    pub field: Field,
    /// Which rule it breaks, and how.
    pub problem: Problem,
}

impl ClaimError {
    /// The same problem, found in another field. Several fields share a type: a subject and a source are both paths.
    #[must_use]
    pub fn in_field(self, field: Field) -> ClaimError {
        ClaimError { field, problem: self.problem }
    }
}

/// The fields of a claim, and of what travels with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// What the claim is about.
    Subject,
    /// Which property it gives.
    Predicate,
    /// The property's value.
    Value,
    /// How sure the agent is.
    Confidence,
    /// When it was made.
    Timestamp,
    /// The evidence.
    Source,
    /// The kind of evidence.
    SourceClass,
    /// The stage of review.
    Lifecycle,
    /// The claim before this one.
    ParentHash,
    /// The claims this one rests on.
    DerivedFrom,
    /// The epoch.
    Epoch,
    /// Who claims.
    AgentId,
    /// The hash of the source document.
    SourceHash,
    /// Anything else.
    Metadata,
    /// The signatures beside the claim.
    Signatures,
    /// The reason of a retraction.
    Reason,
}

impl Field {
    /// The field's name in the engine's vocabulary, snake_case.
    pub fn name(self) -> &'static str {
        match self {
            Field::Subject => "subject",
            Field::Predicate => "predicate",
            Field::Value => "value",
            Field::Confidence => "confidence",
            Field::Timestamp => "timestamp",
            Field::Source => "source",
            Field::SourceClass => "source_class",
            Field::Lifecycle => "lifecycle",
            Field::ParentHash => "parent_hash",
            Field::DerivedFrom => "derived_from",
            Field::Epoch => "epoch",
            Field::AgentId => "agent_id",
            Field::SourceHash => "source_hash",
            Field::Metadata => "metadata",
            Field::Signatures => "signatures",
            Field::Reason => "reason",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken rule. Displays as the rest of a sentence that begins with the field's name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// There is nothing where something is required.
    #[error("must not be empty")]
    Empty,
    /// There is nothing but white space where something is required.
    #[error("must not be blank")]
    Blank,
    /// More bytes of UTF-8 than allowed.
    #[error("must be at most {bytes_max} bytes long, got {bytes}")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many are allowed.
        bytes_max: usize,
    },
    /// More entries in a list than allowed.
    #[error("must have at most {count_max} entries, got {count}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        count_max: usize,
    },
    /// A control character (Unicode category Cc) in a name.
    #[error("must not contain control characters, found U+{:04X} at byte {offset}", u32::from(*.character))]
    ControlCharacter {
        /// The character.
        character: char,
        /// Where it begins, in bytes.
        offset: usize,
    },
    /// A character other than visible ASCII (`!` to `~`) in an agent's name.
    #[error("must consist of visible ASCII characters, found {character:?} at byte {offset}")]
    NotVisibleAscii {
        /// The character.
        character: char,
        /// Where it begins, in bytes.
        offset: usize,
    },
    /// Not a number, or infinite.
    #[error("must be a finite number, got {value}")]
    NotFinite {
        /// What it is.
        value: f64,
    },
    /// A confidence outside 0 to 1.
    #[error("must be between 0 and 1, got {value}")]
    NotAFraction {
        /// What it is.
        value: f64,
    },
    /// A time before 1970.
    #[error("must not be before 1970-01-01T00:00:00Z, got {micros} µs")]
    BeforeEpoch {
        /// What it is, in microseconds since 1970.
        micros: i64,
    },
    /// A name that is not one of a fixed set.
    #[error("must be one of {expected}, got {name:?}")]
    UnknownName {
        /// The set, separated by commas.
        expected: &'static str,
        /// The name, cut to a readable length.
        name: String,
    },
    /// A number that is not one of a fixed set.
    #[error("must be a number from 0 to {max}, got {number}")]
    UnknownNumber {
        /// What it is.
        number: u8,
        /// The greatest that has a meaning.
        max: u8,
    },
    /// Not the expected number of hexadecimal digits.
    #[error("must be {digits} hexadecimal digits, got {got}")]
    NotHex {
        /// How many are expected.
        digits: usize,
        /// What is there instead.
        got: String,
    },
    /// Not one minified JSON text.
    #[error("must be JSON without insignificant white space, {reason} at byte {offset}")]
    NotMinifiedJson {
        /// What is wrong.
        reason: &'static str,
        /// Where, in bytes.
        offset: usize,
    },
    /// JSON, but not an object.
    #[error("must be a JSON object")]
    NotAnObject,
}

impl Problem {
    /// This problem, in `field`.
    pub(super) fn of(self, field: Field) -> ClaimError {
        ClaimError { field, problem: self }
    }

    /// An unknown name, of which the message shows no more than is readable.
    pub(super) fn unknown_name(expected: &'static str, name: &str) -> Problem {
        const SHOWN_CHARS_MAX: usize = 40;
        let mut shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < name.len() {
            shown.push('…');
        }
        Problem::UnknownName { expected, name: shown }
    }
}

/// Checks that `text` has `1..=bytes_max` bytes.
pub(super) fn check_length(text: &str, bytes_max: usize) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    check_length_max(text, bytes_max)
}

/// Checks that `text` has at most `bytes_max` bytes.
pub(super) fn check_length_max(text: &str, bytes_max: usize) -> Result<(), Problem> {
    if text.len() > bytes_max {
        return Err(Problem::TooLong { bytes: text.len(), bytes_max });
    }
    Ok(())
}

/// Checks that `text` has no character of Unicode category Cc: U+0000 to U+001F and U+007F to U+009F.
pub(super) fn check_no_control(text: &str) -> Result<(), Problem> {
    // U+0080 to U+009F begin with the byte 0xC2 in UTF-8. The loop has no exit so that it compiles to vector instructions.
    let suspicious = text.bytes().fold(false, |found, b| found | (b < 0x20) | (b == 0x7f) | (b == 0xc2));
    if !suspicious {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| character.is_control()) {
        Some((offset, character)) => Err(Problem::ControlCharacter { character, offset }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_found_wherever_they_are() {
        for code in 0..=0x2ff_u32 {
            let character = char::from_u32(code).expect("below the surrogates");
            for text in [format!("{character}"), format!("abc{character}"), format!("é{character}z")] {
                let expected = text.char_indices().find(|(_, c)| c.is_control());
                let found = match check_no_control(&text) {
                    Ok(()) => None,
                    Err(Problem::ControlCharacter { character, offset }) => Some((offset, character)),
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(found, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn messages_are_sentences() {
        let message = |problem: Problem| problem.of(Field::Subject).to_string();
        assert_eq!(
            message(Problem::ControlCharacter { character: '\u{7}', offset: 3 }),
            "subject must not contain control characters, found U+0007 at byte 3"
        );
        assert_eq!(
            message(Problem::TooLong { bytes: 513, bytes_max: 512 }),
            "subject must be at most 512 bytes long, got 513"
        );
        let long = "x".repeat(1000);
        assert!(message(Problem::unknown_name("a, b", &long)).len() < 120);
    }
}
