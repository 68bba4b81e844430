//! Concept paths: what claims are about, and what they name as evidence.

use super::error::{ClaimError, Field, check_length, check_no_control};
use std::fmt;

/// A hierarchical name, its parts separated by `/`: 1 to 512 bytes of UTF-8 without control characters.
///
/// Nothing else is special: case counts, empty parts are allowed (`rfc://7519` has one), and two paths are the same if
/// their bytes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConceptPath<'a>(&'a str);

impl<'a> ConceptPath<'a> {
    /// The longest path, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// Checks a path. An error speaks of the subject; [`ClaimError::in_field`] makes it speak of another field.
    pub fn new(text: &'a str) -> Result<ConceptPath<'a>, ClaimError> {
        let checked = check_length(text, Self::BYTES_MAX).and_then(|()| check_no_control(text));
        checked.map_err(|problem| problem.of(Field::Subject))?;
        Ok(ConceptPath(text))
    }

    /// The path as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for ConceptPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Problem;

    #[test]
    fn length_bounds_hold_to_the_byte() {
        assert_eq!(ConceptPath::new("").map_err(|e| e.problem), Err(Problem::Empty));
        assert!(ConceptPath::new("a").is_ok());
        assert!(ConceptPath::new(&"a".repeat(512)).is_ok());
        let too_long = Problem::TooLong { bytes: 513, bytes_max: 512 };
        assert_eq!(ConceptPath::new(&"a".repeat(513)).map_err(|e| e.problem), Err(too_long));
        // Bytes count, not characters.
        assert!(ConceptPath::new(&"é".repeat(256)).is_ok());
        assert!(ConceptPath::new(&"é".repeat(257)).is_err());
    }

    #[test]
    fn only_control_characters_are_refused() {
        for text in ["rfc://7519/alg", "/", "a//b", " a ", "käse/größe", "💊", "a/*"] {
            assert_eq!(ConceptPath::new(text).map(|path| path.as_str()), Ok(text));
        }
        for text in ["\0", "a\nb", "a\tb", "a\u{7f}", "a\u{85}b"] {
            assert!(ConceptPath::new(text).is_err(), "{text:?}");
        }
    }
}
