//! Values: what claims say their subjects' properties are.

use super::error::{ClaimError, Field, Problem, check_length_max};
use super::json::Json;
use super::path::ConceptPath;
use std::fmt;

/// A typed value. Two values are the same if their types and their bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// Any text.
    Text(Text<'a>),
    /// A number.
    Number(Number),
    /// True or false.
    Boolean(bool),
    /// Another subject.
    Reference(ConceptPath<'a>),
    /// Any other JSON, by its text.
    Json(Json<'a>),
}

impl<'a> Value<'a> {
    /// The longest text or JSON, in bytes.
    pub const BYTES_MAX: usize = 64 << 10;

    /// A text of at most 64 KiB.
    pub fn text(text: &'a str) -> Result<Value<'a>, ClaimError> {
        Text::new(text).map(Value::Text)
    }

    /// A finite number.
    pub fn number(value: f64) -> Result<Value<'a>, ClaimError> {
        Number::new(value).map(Value::Number)
    }

    /// A concept path.
    pub fn reference(path: &'a str) -> Result<Value<'a>, ClaimError> {
        ConceptPath::new(path).map(Value::Reference).map_err(|error| error.in_field(Field::Value))
    }

    /// Minified JSON of at most 64 KiB.
    pub fn json(text: &'a str) -> Result<Value<'a>, ClaimError> {
        Json::new(text).map(Value::Json)
    }

    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::Text(_) => ValueType::Text,
            Value::Number(_) => ValueType::Number,
            Value::Boolean(_) => ValueType::Boolean,
            Value::Reference(_) => ValueType::Reference,
            Value::Json(_) => ValueType::Json,
        }
    }
}

/// The types of values, with their numbers in the canonical encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ValueType {
    /// Any text.
    Text = 0,
    /// A finite 64-bit floating-point number.
    Number = 1,
    /// True or false.
    Boolean = 2,
    /// A concept path.
    Reference = 3,
    /// Minified JSON.
    Json = 4,
}

impl ValueType {
    /// All types, by number.
    pub const ALL: [ValueType; 5] =
        [ValueType::Text, ValueType::Number, ValueType::Boolean, ValueType::Reference, ValueType::Json];

    /// The type with this number, `0..=4`.
    pub fn from_number(number: u8) -> Result<ValueType, ClaimError> {
        let unknown = || Problem::UnknownNumber { number, max: 4 }.of(Field::Value);
        Self::ALL.get(usize::from(number)).copied().ok_or_else(unknown)
    }

    /// The type's number, `0..=4`.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The type's name, as requests and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::Text => "Text",
            ValueType::Number => "Number",
            ValueType::Boolean => "Boolean",
            ValueType::Reference => "Reference",
            ValueType::Json => "Json",
        }
    }
}

/// Text of at most 64 KiB, otherwise any UTF-8, empty included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// Checks the length.
    pub fn new(text: &'a str) -> Result<Text<'a>, ClaimError> {
        check_length_max(text, Value::BYTES_MAX).map_err(|problem| problem.of(Field::Value))?;
        Ok(Text(text))
    }

    /// The text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// A finite number. There is one zero: −0 becomes 0, so equal numbers have equal bits.
#[derive(Debug, Clone, Copy)]
pub struct Number(f64);

impl Number {
    /// Checks that `value` is neither infinite nor NaN.
    pub fn new(value: f64) -> Result<Number, ClaimError> {
        if !value.is_finite() {
            return Err(Problem::NotFinite { value }.of(Field::Value));
        }
        // −0 + 0 = 0, and nothing else changes.
        Ok(Number(value + 0.0))
    }

    /// The number, finite and never −0.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_hold_to_the_byte() {
        let longest = "x".repeat(64 << 10);
        let too_long = "x".repeat((64 << 10) + 1);
        assert!(Value::text("").is_ok());
        assert!(Value::text(&longest).is_ok());
        assert!(Value::text(&too_long).is_err());
        assert!(Value::reference(&longest[..512]).is_ok());
        let message = Value::reference(&longest[..513]).map_err(|e| e.to_string());
        assert_eq!(message, Err("value must be at most 512 bytes long, got 513".to_string()));
        let quoted = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
        assert!(Value::json(&quoted(64 << 10)).is_ok());
        assert!(Value::json(&quoted((64 << 10) + 1)).is_err());
    }

    #[test]
    fn numbers_are_finite_and_have_one_zero() {
        for value in [0.0, 5e-324, -5e-324, 96.7, f64::MAX, f64::MIN] {
            assert_eq!(Number::new(value).map(|n| n.value().to_bits()), Ok(value.to_bits()));
        }
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN] {
            assert!(Number::new(value).is_err());
        }
        assert_eq!(Number::new(-0.0).map(|n| n.value().to_bits()), Ok(0));
        assert_eq!(Number::new(-0.0), Number::new(0.0));
    }

    #[test]
    fn type_numbers_lead_back() {
        for (number, value_type) in (0..).zip(ValueType::ALL) {
            assert_eq!(value_type.number(), number);
            assert_eq!(ValueType::from_number(number), Ok(value_type));
        }
        for number in 5..=u8::MAX {
            assert!(ValueType::from_number(number).is_err());
        }
    }
}
