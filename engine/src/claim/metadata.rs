//! Metadata: what else an agent wants kept with a claim.

use super::error::{ClaimError, Field, Problem, check_length_max};
use super::json::Json;
use std::fmt;

/// A JSON object of at most 8 KiB, minified. Nothing here looks inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Metadata<'a>(Json<'a>);

impl<'a> Metadata<'a> {
    /// The longest metadata, in bytes of minified JSON.
    pub const BYTES_MAX: usize = 8 << 10;

    /// Checks that `text` is a minified JSON object.
    pub fn new(text: &'a str) -> Result<Metadata<'a>, ClaimError> {
        let in_metadata = |problem: Problem| problem.of(Field::Metadata);
        check_length_max(text, Self::BYTES_MAX).map_err(in_metadata)?;
        let json = Json::new(text).map_err(|error| error.in_field(Field::Metadata))?;
        if !text.starts_with('{') {
            return Err(in_metadata(Problem::NotAnObject));
        }
        Ok(Metadata(json))
    }

    /// Metadata that [`Metadata::new`] has accepted before, without the cost of reading it again.
    ///
    /// For what keeps claims in another form and gives them back; debug builds check all the same.
    pub fn from_checked(text: &'a str) -> Metadata<'a> {
        assert!(text.len() <= Self::BYTES_MAX && text.starts_with('{'), "metadata was checked before");
        Metadata(Json::from_checked(text))
    }

    /// The object's text.
    pub fn as_str(&self) -> &'a str {
        self.0.as_str()
    }
}

impl fmt::Debug for Metadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_to_the_byte() {
        let object = |n: usize| format!("{{\"k\":\"{}\"}}", "x".repeat(n - 8));
        assert_eq!(object(8192).len(), 8192);
        assert!(Metadata::new(&object(8192)).is_ok());
        assert!(Metadata::new(&object(8193)).is_err());
    }

    #[test]
    fn only_objects_pass() {
        assert!(Metadata::new("{}").is_ok());
        assert_eq!(Metadata::new("[]").map_err(|e| e.problem), Err(Problem::NotAnObject));
        for text in ["", "null", "\"{}\"", "{ }", "{}x", "{"] {
            let error = Metadata::new(text).expect_err("not an object");
            assert_eq!(error.field, Field::Metadata, "{text}");
        }
    }
}
