//! Epochs: named ages of knowledge that claims can belong to.

use super::error::{ClaimError, Field, check_length, check_no_control};
use std::fmt;

/// The id of an epoch: 1 to 128 bytes of UTF-8 without control characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId<'a>(&'a str);

impl<'a> EpochId<'a> {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// Checks an id.
    pub fn new(text: &'a str) -> Result<EpochId<'a>, ClaimError> {
        let checked = check_length(text, Self::BYTES_MAX).and_then(|()| check_no_control(text));
        checked.map_err(|problem| problem.of(Field::Epoch))?;
        Ok(EpochId(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for EpochId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_to_the_byte() {
        assert!(EpochId::new("").is_err());
        assert!(EpochId::new("a").is_ok());
        assert!(EpochId::new(&"a".repeat(128)).is_ok());
        assert!(EpochId::new(&"a".repeat(129)).is_err());
        assert!(EpochId::new("a\r").is_err());
    }
}
