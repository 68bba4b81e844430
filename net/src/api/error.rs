//! Errors as clients see them.

use std::borrow::Cow;

use stemedb_engine::claim::ClaimError;

use super::text::push_json_string;
use crate::http::Status;
use crate::json::JsonError;

/// An answer that is an error: one code for machines, one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Which error it is.
    pub code: ErrorCode,
    /// What was wrong, what was expected, and where.
    pub message: Cow<'static, str>,
    /// The field, parameter or header at fault, as the contract names it.
    pub field: Option<Cow<'static, str>>,
}

impl ApiError {
    /// An error that is not about one field.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError { code, message: message.into(), field: None }
    }

    /// An error about `field`. The message is a sentence that begins with the field's name and goes on with
    /// `problem`.
    pub fn in_field(
        code: ErrorCode,
        field: impl Into<Cow<'static, str>>,
        problem: impl std::fmt::Display,
    ) -> ApiError {
        let field = field.into();
        ApiError { code, message: format!("{field} {problem}").into(), field: Some(field) }
    }

    /// What the engine found wrong with a claim, about the field that the client calls `field`.
    pub(super) fn of_claim(code: ErrorCode, field: &'static str, error: &ClaimError) -> ApiError {
        ApiError::in_field(code, field, &error.problem)
    }

    /// Appends the body of the answer: `{"error":{"code":…,"message":…,"field":…}}`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":{");
        self.write_members(out);
        out.extend_from_slice(b"}}");
    }

    /// Appends the members `"code":…,"message":…` and, where there is one, `"field":…`.
    pub(super) fn write_members(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"code\":\"");
        out.extend_from_slice(self.code.as_str().as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        push_json_string(out, &self.message);
        if let Some(field) = &self.field {
            out.extend_from_slice(b",\"field\":");
            push_json_string(out, field);
        }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> ApiError {
        let code = match &error {
            JsonError::TooLarge { .. } => ErrorCode::BodyTooLarge,
            JsonError::TooDeep { .. } => ErrorCode::JsonTooDeep,
            JsonError::Syntax { .. } => ErrorCode::InvalidJson,
        };
        ApiError::new(code, error.to_string())
    }
}

/// Declares the codes with their names and statuses, and the list of all.
macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:ident;)+) => {
        /// The codes of errors: stable, snake_case, each with one status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// The code as answers have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)+
                }
            }

            /// The status of an answer with this code.
            pub fn status(self) -> Status {
                match self {
                    $(ErrorCode::$variant => Status::$status,)+
                }
            }
        }
    };
}

error_codes! {
    /// The body is not a JSON text in UTF-8.
    InvalidJson = "invalid_json", BadRequest;
    /// The body nests objects and arrays too deeply.
    JsonTooDeep = "json_too_deep", BadRequest;
    /// The body, or a line of NDJSON, is JSON but not an object.
    NotAnObject = "not_an_object", BadRequest;
    /// A field that is required is not there.
    MissingField = "missing_field", BadRequest;
    /// A field that the endpoint does not know.
    UnknownField = "unknown_field", BadRequest;
    /// A field that is there twice, or under both of its names.
    DuplicateField = "duplicate_field", BadRequest;
    /// `concept_path` or `subject`.
    InvalidConceptPath = "invalid_concept_path", BadRequest;
    /// `predicate`.
    InvalidPredicate = "invalid_predicate", BadRequest;
    /// `value` or `object`.
    InvalidValue = "invalid_value", BadRequest;
    /// `confidence`.
    InvalidConfidence = "invalid_confidence", BadRequest;
    /// `timestamp`.
    InvalidTimestamp = "invalid_timestamp", BadRequest;
    /// `timestamp` is further in the future than clocks may differ.
    TimestampInFuture = "timestamp_in_future", BadRequest;
    /// Signatures without the timestamp that they sign.
    MissingTimestamp = "missing_timestamp", BadRequest;
    /// `source`.
    InvalidSource = "invalid_source", BadRequest;
    /// `source_class`.
    InvalidSourceClass = "invalid_source_class", BadRequest;
    /// `lifecycle`.
    InvalidLifecycle = "invalid_lifecycle", BadRequest;
    /// `parent_hash`.
    InvalidParentHash = "invalid_parent_hash", BadRequest;
    /// `derived_from`.
    InvalidDerivedFrom = "invalid_derived_from", BadRequest;
    /// `epoch`.
    InvalidEpoch = "invalid_epoch", BadRequest;
    /// `agent_id`, or the header `X-Agent-Id`.
    InvalidAgentId = "invalid_agent_id", BadRequest;
    /// A signature that is malformed, or not one of the claim.
    InvalidSignature = "invalid_signature", BadRequest;
    /// `source_hash`.
    InvalidSourceHash = "invalid_source_hash", BadRequest;
    /// `metadata`.
    InvalidMetadata = "invalid_metadata", BadRequest;
    /// `lens` is not the name of a lens.
    UnknownLens = "unknown_lens", BadRequest;
    /// `limit`.
    InvalidLimit = "invalid_limit", BadRequest;
    /// `cursor` is not one that an answer carried.
    InvalidCursor = "invalid_cursor", BadRequest;
    /// `as_of`.
    InvalidAsOf = "invalid_as_of", BadRequest;
    /// `min_confidence`.
    InvalidMinConfidence = "invalid_min_confidence", BadRequest;
    /// `include_retracted`.
    InvalidIncludeRetracted = "invalid_include_retracted", BadRequest;
    /// `decay`.
    InvalidDecay = "invalid_decay", BadRequest;
    /// `reason` of a retraction.
    InvalidReason = "invalid_reason", BadRequest;
    /// `cascade` of a retraction.
    InvalidCascade = "invalid_cascade", BadRequest;
    /// The hash in the path of `/v1/assertion/{hash}`.
    InvalidHash = "invalid_hash", BadRequest;
    /// No endpoint has this path.
    NotFound = "not_found", NotFound;
    /// No claim has this hash.
    AssertionNotFound = "assertion_not_found", NotFound;
    /// The endpoint has other methods; `Allow` lists them.
    MethodNotAllowed = "method_not_allowed", MethodNotAllowed;
    /// `If-Match` names entity tags, of which nothing here has any.
    PreconditionFailed = "precondition_failed", PreconditionFailed;
    /// The body, or a line of NDJSON, is longer than allowed.
    BodyTooLarge = "body_too_large", ContentTooLarge;
    /// A write to the log has failed; nothing more is accepted on its lane until a restart.
    StorageFailed = "storage_failed", InternalServerError;
    /// A claim is stored in a file that is damaged or cannot be read.
    StorageDamaged = "storage_damaged", InternalServerError;
    /// The lens is part of the contract and not built yet.
    LensNotImplemented = "lens_not_implemented", NotImplemented;
    /// Retraction with `cascade` is part of the contract and not built yet.
    CascadeNotImplemented = "cascade_not_implemented", NotImplemented;
    /// No space is left for the log.
    DiskFull = "disk_full", ServiceUnavailable;
    /// The log is as large as it may be until tables hold some of its claims.
    LogFull = "log_full", ServiceUnavailable;
    /// The memory that claims may use is used up.
    MemoryFull = "memory_full", ServiceUnavailable;
    /// A queue is full.
    Overloaded = "overloaded", ServiceUnavailable;
    /// The server is still recovering, or a lane has failed.
    NotReady = "not_ready", ServiceUnavailable;
    /// The server is stopping.
    ShuttingDown = "shutting_down", ServiceUnavailable;
}

impl ErrorCode {
    /// After how many seconds the client should try again, for `Retry-After`: with every 503.
    pub fn retry_after_s(self) -> Option<u32> {
        (self.status() == Status::ServiceUnavailable).then_some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(error: &ApiError) -> String {
        let mut out = Vec::new();
        error.write_json(&mut out);
        String::from_utf8(out).expect("answers are UTF-8")
    }

    #[test]
    fn an_error_is_an_object_with_code_message_and_field() {
        let error = ApiError::in_field(
            ErrorCode::InvalidConfidence,
            "confidence",
            "must be between 0 and 1, got 1.5",
        );
        assert_eq!(
            json(&error),
            r#"{"error":{"code":"invalid_confidence","message":"confidence must be between 0 and 1, got 1.5","field":"confidence"}}"#
        );
        let error = ApiError::new(ErrorCode::NotFound, "no \"such\"\npath");
        assert_eq!(json(&error), r#"{"error":{"code":"not_found","message":"no \"such\"\npath"}}"#);
    }

    #[test]
    fn codes_are_distinct_and_snake_case() {
        let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn only_unavailability_asks_to_come_again() {
        for code in ErrorCode::ALL {
            assert_eq!(code.retry_after_s().is_some(), code.status().code() == 503, "{code:?}");
        }
    }
}
