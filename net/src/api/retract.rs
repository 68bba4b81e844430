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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, String), ApiError> {
        let mut json = Reader::new(10_000);
        let request = RetractRequest::read(&mut json, body.as_bytes())?;
        Ok((request.path.as_str().to_owned(), request.reason.as_str().to_owned()))
    }

    fn refused(body: &str) -> (ErrorCode, Option<String>) {
        let error = read(body).expect_err(body);
        (error.code, error.field.map(String::from))
    }

    #[test]
    fn a_retraction_is_a_path_and_a_reason() {
        let expected = Ok(("source/x".to_owned(), "wrong".to_owned()));
        assert_eq!(read(r#"{"concept_path":"source/x","reason":"wrong"}"#), expected);
        assert_eq!(read(r#"{"subject":"source/x","reason":"wrong","cascade":false}"#), expected);
        assert_eq!(read(r#"{"subject":"source/x","reason":"wrong","cascade":null}"#), expected);
        let longest = "r".repeat(1024);
        assert!(read(&format!(r#"{{"subject":"a","reason":"{longest}"}}"#)).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_of_the_field() {
        let too_long = format!(r#"{{"subject":"a","reason":"{}"}}"#, "r".repeat(1025));
        for (body, code, field) in [
            ("{}", ErrorCode::MissingField, "concept_path"),
            (r#"{"subject":"a"}"#, ErrorCode::MissingField, "reason"),
            (r#"{"subject":"a","reason":null}"#, ErrorCode::InvalidReason, "reason"),
            (r#"{"subject":"a","reason":" \u2003 "}"#, ErrorCode::InvalidReason, "reason"),
            (&too_long, ErrorCode::InvalidReason, "reason"),
            (r#"{"subject":"","reason":"r"}"#, ErrorCode::InvalidConceptPath, "subject"),
            (r#"{"subject":"a","reason":"r","cascade":"yes"}"#, ErrorCode::InvalidCascade, "cascade"),
            (r#"{"subject":"a","reason":"r","cascade":true}"#, ErrorCode::CascadeNotImplemented, "cascade"),
        ] {
            assert_eq!(refused(body), (code, Some(field.to_owned())), "{body}");
        }
    }

    #[test]
    fn the_answer_counts() {
        let mut out = Vec::new();
        write_retracted(&mut out, 17);
        assert_eq!(out, br#"{"status":"retracted","retracted":17,"cascaded":0}"#);
    }
}
