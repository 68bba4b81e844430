//! Agents: who makes claims.

use super::error::{ClaimError, Field, Problem, check_length};
use std::fmt;

/// Who makes a claim: the holder of a key, or a name that nothing proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Agent<'a> {
    /// An Ed25519 public key, as its 32 bytes. That it is a point of the curve shows when it verifies a signature.
    Key([u8; 32]),
    /// A name.
    Name(AgentName<'a>),
}

/// The name of an agent without a key: 1 to 128 visible ASCII characters (`!` to `~`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName<'a>(&'a str);

impl<'a> AgentName<'a> {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// Checks a name.
    pub fn new(text: &'a str) -> Result<AgentName<'a>, ClaimError> {
        check_length(text, Self::BYTES_MAX).map_err(|problem| problem.of(Field::AgentId))?;
        match text.char_indices().find(|(_, character)| !character.is_ascii_graphic()) {
            Some((offset, character)) => {
                Err(Problem::NotVisibleAscii { character, offset }.of(Field::AgentId))
            }
            None => Ok(AgentName(text)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for AgentName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_to_the_byte() {
        assert!(AgentName::new("").is_err());
        assert!(AgentName::new(&"a".repeat(128)).is_ok());
        assert!(AgentName::new(&"a".repeat(129)).is_err());
    }

    #[test]
    fn names_are_visible_ascii() {
        let visible: String = ('!'..='~').collect();
        assert!(AgentName::new(&visible).is_ok());
        for text in ["a b", " ", "a\n", "\u{7f}", "é", "a\0"] {
            assert!(AgentName::new(text).is_err(), "{text:?}");
        }
    }
}
