//! The value of a claim, from the JSON that gives it.

use stemedb_engine::claim::{self, ClaimError, ValueType};

use super::error::{ApiError, ErrorCode};
use super::field::Field;
use super::text::EXACT_INTEGER_MAX;
use crate::json::{self, Kind, Value};

/// Reads a value: a bare JSON value, or an object that names its type. JSON that must be minified first is put
/// into `minified`.
///
/// An object is the typed form only if its keys are exactly `type` and `value`, or exactly the name of a type,
/// and the type is one of the five. Any other object is a value of type Json.
pub(super) fn read<'a>(field: Field<'_, 'a>, minified: &'a mut String) -> Result<claim::Value<'a>, ApiError> {
    let value = field.value();
    let read = match typed(value) {
        Some((value_type, value)) => of_type(field, value_type, value, minified)?,
        None => bare(value, minified),
    };
    read.map_err(|error| ApiError::of_claim(ErrorCode::InvalidValue, field.name, &error))
}

/// The text of `value` without insignificant whitespace, in place where it has none.
pub(super) fn minified<'a>(value: Value<'_, 'a>, buffer: &'a mut String) -> &'a str {
    let text = value.text();
    if !text.bytes().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        return text;
    }
    buffer.clear();
    json::minify(text, buffer);
    buffer
}

/// The type and the inner value of a typed form.
fn typed<'d, 'a>(value: Value<'d, 'a>) -> Option<(ValueType, Value<'d, 'a>)> {
    let mut members = value.members()?;
    if members.len() > 2 {
        return None;
    }
    let (first_key, first) = members.next()?;
    let (value_type, inner) = match (first_key, members.next()) {
        (name, None) => (name, first),
        ("type", Some(("value", inner))) => (first.as_str()?, inner),
        ("value", Some(("type", name))) => (name.as_str()?, first),
        _ => return None,
    };
    let value_type = ValueType::ALL.into_iter().find(|candidate| candidate.name() == value_type)?;
    Some((value_type, inner))
}

/// A value whose type is stated and must fit.
fn of_type<'a>(
    field: Field<'_, 'a>,
    value_type: ValueType,
    value: Value<'_, 'a>,
    buffer: &'a mut String,
) -> Result<Result<claim::Value<'a>, ClaimError>, ApiError> {
    let expected = match (value_type, value.kind()) {
        (ValueType::Text, Kind::String)
        | (ValueType::Number, Kind::Number)
        | (ValueType::Boolean, Kind::Boolean) => {
            return Ok(bare(value, buffer));
        }
        (ValueType::Reference, Kind::String) => {
            return Ok(claim::Value::reference(value.as_str().expect("a string")));
        }
        (ValueType::Json, _) => return Ok(claim::Value::json(minified(value, buffer))),
        (ValueType::Text | ValueType::Reference, _) => "a string",
        (ValueType::Number, _) => "a number",
        (ValueType::Boolean, _) => "a boolean",
    };
    let problem =
        format_args!("of type {} must be {expected}, got {}", value_type.name(), value.kind().with_article());
    Err(field.error(ErrorCode::InvalidValue, problem))
}

/// A value whose type follows from what it is.
fn bare<'a>(value: Value<'_, 'a>, buffer: &'a mut String) -> Result<claim::Value<'a>, ClaimError> {
    if let Some(text) = value.as_str() {
        return claim::Value::text(text);
    }
    if let Some(boolean) = value.as_bool() {
        return Ok(claim::Value::Boolean(boolean));
    }
    match value.as_f64() {
        Some(number) if number.is_finite() && !is_large_integer(value.text()) => claim::Value::number(number),
        // Also a number that no f64 holds: its digits are kept.
        _ => claim::Value::json(minified(value, buffer)),
    }
}

/// Whether a number's text is that of an integer which an f64 might not hold exactly: beyond ±2^53.
fn is_large_integer(number: &str) -> bool {
    let magnitude = number.strip_prefix('-').unwrap_or(number);
    let is_integer = magnitude.bytes().all(|byte| byte.is_ascii_digit());
    is_integer && magnitude.parse::<u64>().map_or(true, |magnitude| magnitude > EXACT_INTEGER_MAX)
}
