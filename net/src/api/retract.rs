//! Retractions, from the body of `/v1/retract`, and the answer to one.

use stemedb_engine::claim::{ConceptPath, Reason};

use super::error::{ApiError, ErrorCode};
use super::field::{self, Field, optional, required};
use super::parts::{path, reason};
use super::text::push_count;
use crate::json::{Reader, Value};

/// A retraction as a client asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetractRequest<'a> {
    /// The path whose claims go: those about it, and those whose source is it or lies below it.
    pub path: ConceptPath<'a>,
    /// Why.
    pub reason: Reason<'a>,
}

impl<'a> RetractRequest<'a> {
    /// Reads the body of a retraction.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the body, as the client is to be told.
    pub fn read(json: &'a mut Reader, body: &'a [u8]) -> Result<RetractRequest<'a>, ApiError> {
        let document = json.parse(body)?;
        read_retract(document.root())
    }
}

/// Appends the answer to a retraction that retracted `retracted` claims.
pub fn write_retracted(out: &mut Vec<u8>, retracted: u64) {
    out.extend_from_slice(b"{\"status\":\"retracted\",\"retracted\":");
    push_count(out, retracted);
    out.extend_from_slice(b",\"cascaded\":0}");
}

fn read_retract<'a>(body: Value<'_, 'a>) -> Result<RetractRequest<'a>, ApiError> {
    let (mut concept_path, mut given_reason, mut cascade) = (None, None, None);
    for (key, value) in field::members(body)? {
        let (name, place) = match key {
            "concept_path" => ("concept_path", &mut concept_path),
            "subject" => ("subject", &mut concept_path),
            "reason" => ("reason", &mut given_reason),
            "cascade" => ("cascade", &mut cascade),
            _ => return Err(field::unknown(key, "concept_path (or subject), reason, cascade")),
        };
        Field::json(name, value).put(place)?;
    }
    let path = path(required(concept_path, "concept_path")?, ErrorCode::InvalidConceptPath)?;
    let reason = reason(required(given_reason, "reason")?)?;
    if let Some(field) = optional(cascade)
        && field.boolean(ErrorCode::InvalidCascade)?
    {
        let problem = "is not implemented: claims that derive from retracted ones are not retracted yet";
        return Err(field.error(ErrorCode::CascadeNotImplemented, problem));
    }
    Ok(RetractRequest { path, reason })
}
