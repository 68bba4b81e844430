//! Why a body is not a JSON text that the server reads.

use serde::de::IgnoredAny;
use simd_json::ErrorType;

/// A body that is no JSON text, or one beyond the caps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The body is longer than the reader's bound.
    #[error("the JSON text has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// How long the body is.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// Objects and arrays are nested more deeply than the cap.
    #[error("the JSON text nests objects and arrays more than {depth_max} deep")]
    TooDeep {
        /// How deeply they may be nested.
        depth_max: usize,
    },
    /// The body is not a JSON text.
    #[error("the body is not valid JSON: {reason}")]
    Syntax {
        /// What is wrong, and where.
        reason: String,
    },
}

impl JsonError {
    /// The error for a body that the parser refused with `error`: finds out where, which the parser does not say.
    #[cold]
    pub(super) fn explain(body: &[u8], error: &simd_json::Error) -> JsonError {
        let reason = if let Err(error) = std::str::from_utf8(body) {
            format!("invalid UTF-8 at byte {}", error.valid_up_to())
        } else if let Err(error) = serde_json::from_slice::<IgnoredAny>(body) {
            error.to_string()
        } else {
            // What that check passes over is the pairing of surrogates in the escapes of a string.
            match error.error() {
                ErrorType::InvalidUtf8 | ErrorType::InvalidUnicodeCodepoint => {
                    "a \\u escape is half of a surrogate pair".to_owned()
                }
                other => format!("{other:?}"),
            }
        };
        JsonError::Syntax { reason }
    }
}
