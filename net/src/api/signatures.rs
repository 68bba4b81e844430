//! The signatures of a claim, from the JSON array that gives them.

use stemedb_engine::claim::{ClaimError, ClaimHash, ClaimSignature, hex, signature};
use stemedb_engine::time::UnixMicros;

use super::error::{ApiError, ErrorCode};
use super::field::Field;
use super::text;
use crate::json::{Kind, Value};

/// Reads `[{"agent_id":…,"signature":…,"timestamp":…},…]`. Nothing is verified yet.
pub(super) fn read(field: Field<'_, '_>) -> Result<Vec<ClaimSignature>, ApiError> {
    let Some(elements) = field.value().elements() else {
        let kind = field.value().kind().with_article();
        return Err(field.error(ErrorCode::InvalidSignature, format_args!("must be an array, got {kind}")));
    };
    if elements.len() > signature::COUNT_MAX {
        let problem =
            format_args!("must have at most {} entries, got {}", signature::COUNT_MAX, elements.len());
        return Err(field.error(ErrorCode::InvalidSignature, problem));
    }
    elements.enumerate().map(|(index, element)| read_one(index, element)).collect()
}

/// Verifies every signature of the claim `hash`.
pub(super) fn verify(hash: &ClaimHash, signatures: &[ClaimSignature]) -> Result<(), ApiError> {
    match signatures.iter().position(|one| !signature::verify(hash, one)) {
        None => Ok(()),
        Some(index) => Err(error(
            ErrorCode::InvalidSignature,
            index,
            format_args!("is not its agent's signature for this claim, whose hash is {hash}"),
        )),
    }
}

fn read_one(index: usize, element: Value<'_, '_>) -> Result<ClaimSignature, ApiError> {
    let Some(members) = element.members() else {
        let kind = element.kind().with_article();
        return Err(error(ErrorCode::InvalidSignature, index, format_args!("must be an object, got {kind}")));
    };
    let (mut agent_id, mut signature, mut timestamp) = (None, None, None);
    for (key, value) in members {
        let place = match key {
            "agent_id" => &mut agent_id,
            "signature" => &mut signature,
            "timestamp" => &mut timestamp,
            _ => {
                let problem = "has a field that is none of agent_id, signature, timestamp";
                return Err(error(ErrorCode::UnknownField, index, problem));
            }
        };
        if place.replace(value).is_some() {
            return Err(error(ErrorCode::DuplicateField, index, format_args!("has {key} more than once")));
        }
    }
    Ok(ClaimSignature {
        agent_key: hex_bytes(index, "agent_id", agent_id)?,
        signature: hex_bytes(index, "signature", signature)?,
        timestamp: time(index, timestamp)?,
    })
}

fn hex_bytes<const N: usize>(
    index: usize,
    name: &str,
    value: Option<Value<'_, '_>>,
) -> Result<[u8; N], ApiError> {
    let Some(value) = value else {
        return Err(error(ErrorCode::MissingField, index, format_args!("has no {name}")));
    };
    let invalid = |problem: &dyn std::fmt::Display| {
        error(ErrorCode::InvalidSignature, index, format_args!("has an {name} that {problem}"))
    };
    let Some(text) = value.as_str() else {
        return Err(invalid(&format_args!("must be a string, got {}", value.kind().with_article())));
    };
    hex::decode(stemedb_engine::claim::Field::Signatures, text)
        .map_err(|ClaimError { problem, .. }| invalid(&problem))
}

fn time(index: usize, value: Option<Value<'_, '_>>) -> Result<UnixMicros, ApiError> {
    let Some(value) = value else {
        return Err(error(ErrorCode::MissingTimestamp, index, "has no timestamp"));
    };
    let time = if value.kind() == Kind::Number { text::seconds(value.text()) } else { UnixMicros(-1) };
    if time < UnixMicros(0) {
        let problem = "has a timestamp that is not a number of seconds since 1970";
        return Err(error(ErrorCode::InvalidSignature, index, problem));
    }
    Ok(time)
}

#[cold]
fn error(code: ErrorCode, index: usize, problem: impl std::fmt::Display) -> ApiError {
    ApiError {
        code,
        message: format!("signatures[{index}] {problem}").into(),
        field: Some("signatures".into()),
    }
}
