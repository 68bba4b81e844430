//! One field of a request, wherever it came from.

use std::borrow::Cow;

use super::error::{ApiError, ErrorCode};
use super::text;
use crate::json::{Kind, Members, Value};

/// A field under the name that the client used for it: of the two vocabularies, errors speak the client's.
#[derive(Clone, Copy)]
pub(super) struct Field<'d, 'a> {
    pub(super) name: &'static str,
    given: Given<'d, 'a>,
}

/// How the field was given.
#[derive(Clone, Copy)]
enum Given<'d, 'a> {
    /// A member of a JSON object.
    Json(Value<'d, 'a>),
    /// A parameter of the URL, decoded.
    Parameter(&'a str),
}

impl<'d, 'a> Field<'d, 'a> {
    pub(super) fn json(name: &'static str, value: Value<'d, 'a>) -> Field<'d, 'a> {
        Field { name, given: Given::Json(value) }
    }

    pub(super) fn parameter(name: &'static str, value: &'a str) -> Field<'d, 'a> {
        Field { name, given: Given::Parameter(value) }
    }

    /// Puts the field where it belongs. Fails where one is already, under whatever name.
    pub(super) fn put(self, place: &mut Option<Field<'d, 'a>>) -> Result<(), ApiError> {
        let Some(earlier) = place.replace(self) else { return Ok(()) };
        let problem = if earlier.name == self.name {
            Cow::Borrowed("is given more than once")
        } else {
            format!("and {} are two names of one field, give only one", earlier.name).into()
        };
        Err(ApiError::in_field(ErrorCode::DuplicateField, self.name, problem))
    }

    /// An error about this field.
    pub(super) fn error(self, code: ErrorCode, problem: impl std::fmt::Display) -> ApiError {
        ApiError::in_field(code, self.name, problem)
    }

    /// The JSON value of a field that only bodies have.
    pub(super) fn value(self) -> Value<'d, 'a> {
        match self.given {
            Given::Json(value) => value,
            Given::Parameter(_) => unreachable!("{} is a field of bodies only", self.name),
        }
    }

    /// A string.
    pub(super) fn text(self, code: ErrorCode) -> Result<&'a str, ApiError> {
        match self.given {
            Given::Json(value) => {
                value.as_str().ok_or_else(|| self.wrong_kind(code, "a string", value.kind()))
            }
            Given::Parameter(text) => Ok(text),
        }
    }

    /// The text of a number of JSON's grammar.
    pub(super) fn number(self, code: ErrorCode) -> Result<&'a str, ApiError> {
        match self.given {
            Given::Json(value) if value.kind() == Kind::Number => Ok(value.text()),
            Given::Json(value) => Err(self.wrong_kind(code, "a number", value.kind())),
            Given::Parameter(text) if text::is_json_number(text) => Ok(text),
            Given::Parameter(text) => {
                Err(self.error(code, format_args!("must be a number, got {:?}", shown(text))))
            }
        }
    }

    /// A truth value.
    pub(super) fn boolean(self, code: ErrorCode) -> Result<bool, ApiError> {
        match self.given {
            Given::Json(value) => {
                value.as_bool().ok_or_else(|| self.wrong_kind(code, "a boolean", value.kind()))
            }
            Given::Parameter("true") => Ok(true),
            Given::Parameter("false") => Ok(false),
            Given::Parameter(text) => {
                Err(self.error(code, format_args!("must be true or false, got {:?}", shown(text))))
            }
        }
    }

    /// Whether the field may be a number: a JSON number, or a parameter that begins with a digit.
    pub(super) fn looks_like_number(self) -> bool {
        match self.given {
            Given::Json(value) => value.kind() == Kind::Number,
            Given::Parameter(text) => text.starts_with(|first: char| first.is_ascii_digit()),
        }
    }

    fn is_null(self) -> bool {
        matches!(self.given, Given::Json(value) if value.is_null())
    }

    #[cold]
    fn wrong_kind(self, code: ErrorCode, expected: &str, actual: Kind) -> ApiError {
        self.error(code, format_args!("must be {expected}, got {}", actual.with_article()))
    }
}

/// The field, unless it is absent or null: a client that writes out its absent fields as null means the same.
pub(super) fn optional<'d, 'a>(place: Option<Field<'d, 'a>>) -> Option<Field<'d, 'a>> {
    place.filter(|field| !field.is_null())
}

/// The field, which must be there. `name` is what an error calls it.
pub(super) fn required<'d, 'a>(
    place: Option<Field<'d, 'a>>,
    name: &'static str,
) -> Result<Field<'d, 'a>, ApiError> {
    place.ok_or_else(|| ApiError::in_field(ErrorCode::MissingField, name, "is required"))
}

/// The members of a body that must be an object.
pub(super) fn members<'d, 'a>(body: Value<'d, 'a>) -> Result<Members<'d, 'a>, ApiError> {
    body.members().ok_or_else(|| {
        let message = format!("expected a JSON object, got {}", body.kind().with_article());
        ApiError::new(ErrorCode::NotAnObject, message)
    })
}

/// The error for a field that an endpoint does not know.
#[cold]
pub(super) fn unknown(name: &str, known: &str) -> ApiError {
    let name = shown(name);
    ApiError {
        code: ErrorCode::UnknownField,
        message: format!("{name:?} is no field of this request; its fields are {known}").into(),
        field: Some(name.into_owned().into()),
    }
}

/// What a client sent, cut to a length that is good to read.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    const CHARACTERS_MAX: usize = 64;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
