//! Predicates: the properties that claims give their subjects.

use super::error::{ClaimError, Field, check_length, check_no_control};
use std::fmt;

/// The name of a property: 1 to 256 bytes of UTF-8 without control characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Predicate<'a>(&'a str);

impl<'a> Predicate<'a> {
    /// The longest predicate, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Checks a predicate.
    pub fn new(text: &'a str) -> Result<Predicate<'a>, ClaimError> {
        let checked = check_length(text, Self::BYTES_MAX).and_then(|()| check_no_control(text));
        checked.map_err(|problem| problem.of(Field::Predicate))?;
        Ok(Predicate(text))
    }

    /// The predicate as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Predicate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_to_the_byte() {
        assert!(Predicate::new("").is_err());
        assert!(Predicate::new("a").is_ok());
        assert!(Predicate::new(&"a".repeat(256)).is_ok());
        assert!(Predicate::new(&"a".repeat(257)).is_err());
        assert!(Predicate::new("must_use:alg").is_ok());
        assert!(Predicate::new("a\0").is_err());
    }
}
