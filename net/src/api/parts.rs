//! The parts of a claim that requests give or ask for, each read by its rule.

use stemedb_engine::claim::{
    self, ClaimError, ConceptPath, Confidence, EpochId, Lifecycle, Predicate, Reason, SourceClass, hex,
};

use super::error::{ApiError, ErrorCode};
use super::field::Field;

pub(super) fn path<'a>(field: Field<'_, 'a>, code: ErrorCode) -> Result<ConceptPath<'a>, ApiError> {
    checked(field, code, ConceptPath::new(field.text(code)?))
}

pub(super) fn predicate<'a>(field: Field<'_, 'a>) -> Result<Predicate<'a>, ApiError> {
    let code = ErrorCode::InvalidPredicate;
    checked(field, code, Predicate::new(field.text(code)?))
}

pub(super) fn epoch<'a>(field: Field<'_, 'a>) -> Result<EpochId<'a>, ApiError> {
    let code = ErrorCode::InvalidEpoch;
    checked(field, code, EpochId::new(field.text(code)?))
}

pub(super) fn reason<'a>(field: Field<'_, 'a>) -> Result<Reason<'a>, ApiError> {
    let code = ErrorCode::InvalidReason;
    checked(field, code, Reason::new(field.text(code)?))
}

pub(super) fn lifecycle(field: Field<'_, '_>) -> Result<Lifecycle, ApiError> {
    let code = ErrorCode::InvalidLifecycle;
    checked(field, code, Lifecycle::from_name(field.text(code)?))
}

/// A confidence, or a bound of one: a number from 0 to 1.
pub(super) fn confidence(field: Field<'_, '_>, code: ErrorCode) -> Result<Confidence, ApiError> {
    let number = field.number(code)?.parse().expect("Rust's grammar of floats includes that of JSON numbers");
    checked(field, code, Confidence::new(number))
}

/// A source class by its name or by its number.
pub(super) fn source_class(field: Field<'_, '_>) -> Result<SourceClass, ApiError> {
    let code = ErrorCode::InvalidSourceClass;
    if !field.looks_like_number() {
        return checked(field, code, SourceClass::from_name(field.text(code)?));
    }
    let number = field.number(code)?;
    let class = number.parse().ok().and_then(|number| SourceClass::from_number(number).ok());
    class.ok_or_else(|| {
        let number = super::field::shown(number);
        field.error(code, format_args!("must be the name of a class or a number from 0 to 5, got {number}"))
    })
}

/// Exactly `N` bytes in hexadecimal digits of either case.
pub(super) fn hex_bytes<const N: usize>(field: Field<'_, '_>, code: ErrorCode) -> Result<[u8; N], ApiError> {
    // The engine's name of the field does not matter: the error is told in the client's.
    checked(field, code, hex::decode(claim::Field::ParentHash, field.text(code)?))
}

fn checked<T>(field: Field<'_, '_>, code: ErrorCode, result: Result<T, ClaimError>) -> Result<T, ApiError> {
    result.map_err(|error| ApiError::of_claim(code, field.name, &error))
}
