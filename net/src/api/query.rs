//! Queries, from the body or the URL of `/v1/query`.

use stemedb_engine::claim::ConceptPath;
use stemedb_engine::lens::Lens;
use stemedb_engine::query::{LIMIT_MAX, LifecycleFilter, Query, SubjectFilter};
use stemedb_engine::time::UnixMicros;

use super::error::{ApiError, ErrorCode};
use super::field::{self, Field, optional, required};
use super::parts::{confidence, epoch, lifecycle, predicate, source_class};
use super::{cursor, text};
use crate::json::Reader;

/// The lenses of the contract that are not built yet.
const LENSES_TO_COME: [&str; 5] =
    ["authority", "trust_aware_authority", "tier_authority", "vote_aware_consensus", "epoch_aware"];

/// Reads a query from the body of a POST. `now` is the server's time, to which confidences decay where decay is
/// asked for without `as_of`.
///
/// # Errors
///
/// Whatever is wrong with the body, as the client is to be told.
pub fn query_of_body(json: &mut Reader, body: &[u8], now: UnixMicros) -> Result<Query, ApiError> {
    let document = json.parse(body)?;
    let mut fields = Fields::default();
    for (key, value) in field::members(document.root())? {
        let (name, place) = fields.place(key)?;
        Field::json(name, value).put(place)?;
    }
    fields.query(now)
}

/// Reads a query from the parameters of a URL, decoded. `now` is as for [`query_of_body`].
///
/// # Errors
///
/// Whatever is wrong with the parameters, as the client is to be told.
pub fn query_of_parameters<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    now: UnixMicros,
) -> Result<Query, ApiError> {
    let mut fields = Fields::default();
    for (key, value) in parameters {
        let (name, place) = fields.place(key)?;
        Field::parameter(name, value).put(place)?;
    }
    fields.query(now)
}

/// The fields of a query as they were given.
#[derive(Default)]
struct Fields<'d, 'a> {
    subject: Option<Field<'d, 'a>>,
    predicate: Option<Field<'d, 'a>>,
    lens: Option<Field<'d, 'a>>,
    limit: Option<Field<'d, 'a>>,
    cursor: Option<Field<'d, 'a>>,
    as_of: Option<Field<'d, 'a>>,
    lifecycle: Option<Field<'d, 'a>>,
    epoch: Option<Field<'d, 'a>>,
    source_class: Option<Field<'d, 'a>>,
    min_confidence: Option<Field<'d, 'a>>,
    include_retracted: Option<Field<'d, 'a>>,
    decay: Option<Field<'d, 'a>>,
}

impl<'d, 'a> Fields<'d, 'a> {
    /// The names, as an error lists them.
    const KNOWN: &'static str = "concept_path (or subject), predicate, lens, limit, cursor, as_of, lifecycle, \
        epoch, source_class, min_confidence, include_retracted, decay";

    /// Where the field that a client calls `key` belongs, and its name.
    fn place(&mut self, key: &str) -> Result<(&'static str, &mut Option<Field<'d, 'a>>), ApiError> {
        Ok(match key {
            "concept_path" => ("concept_path", &mut self.subject),
            "subject" => ("subject", &mut self.subject),
            "predicate" => ("predicate", &mut self.predicate),
            "lens" => ("lens", &mut self.lens),
            "limit" => ("limit", &mut self.limit),
            "cursor" => ("cursor", &mut self.cursor),
            "as_of" => ("as_of", &mut self.as_of),
            "lifecycle" => ("lifecycle", &mut self.lifecycle),
            "epoch" => ("epoch", &mut self.epoch),
            "source_class" => ("source_class", &mut self.source_class),
            "min_confidence" => ("min_confidence", &mut self.min_confidence),
            "include_retracted" => ("include_retracted", &mut self.include_retracted),
            "decay" => ("decay", &mut self.decay),
            _ => return Err(field::unknown(key, Self::KNOWN)),
        })
    }

    fn query(self, now: UnixMicros) -> Result<Query, ApiError> {
        let mut query = Query::new(subject(required(self.subject, "concept_path")?)?);
        if let Some(field) = optional(self.predicate) {
            query.predicate = Some(predicate(field)?.as_str().to_owned());
        }
        query.lens = optional(self.lens).map(lens).transpose()?;
        if let Some(field) = optional(self.limit) {
            query.limit = limit(field)?;
        }
        if let Some(field) = optional(self.cursor) {
            let problem = "must be the cursor of an earlier answer";
            let key = cursor::parse(field.text(ErrorCode::InvalidCursor)?);
            query.after = Some(key.ok_or_else(|| field.error(ErrorCode::InvalidCursor, problem))?);
        }
        query.as_of = optional(self.as_of).map(as_of).transpose()?;
        if let Some(field) = optional(self.lifecycle) {
            query.lifecycle = match field.text(ErrorCode::InvalidLifecycle)? {
                "any" => LifecycleFilter::Any,
                _ => LifecycleFilter::Only(lifecycle(field)?),
            };
        }
        if let Some(field) = optional(self.epoch) {
            query.epoch = Some(epoch(field)?.as_str().to_owned());
        }
        query.source_class = optional(self.source_class).map(source_class).transpose()?;
        if let Some(field) = optional(self.min_confidence) {
            query.min_confidence = confidence(field, ErrorCode::InvalidMinConfidence)?.value();
        }
        if let Some(field) = optional(self.include_retracted) {
            query.include_retracted = field.boolean(ErrorCode::InvalidIncludeRetracted)?;
        }
        if let Some(field) = optional(self.decay)
            && field.boolean(ErrorCode::InvalidDecay)?
        {
            query.decay_at = Some(query.as_of.unwrap_or(now));
        }
        Ok(query)
    }
}

/// One subject, or with a trailing `/*` a whole subtree; `*` and `/*` are all subjects.
fn subject(field: Field<'_, '_>) -> Result<SubjectFilter, ApiError> {
    let code = ErrorCode::InvalidConceptPath;
    let text = field.text(code)?;
    let (path, is_subtree) = match text.strip_suffix("/*") {
        Some(path) => (path, true),
        None if text == "*" => ("", true),
        None => (text, false),
    };
    if !(is_subtree && path.is_empty()) {
        ConceptPath::new(path).map_err(|error| ApiError::of_claim(code, field.name, &error))?;
    }
    let path = path.to_owned();
    Ok(if is_subtree { SubjectFilter::Subtree(path) } else { SubjectFilter::Exact(path) })
}

fn lens(field: Field<'_, '_>) -> Result<Lens, ApiError> {
    let name = field.text(ErrorCode::UnknownLens)?;
    if let Some(lens) = Lens::from_name(name) {
        return Ok(lens);
    }
    if LENSES_TO_COME.contains(&name) {
        let problem = format_args!("{name} is not implemented yet; recency, consensus and confidence are");
        return Err(field.error(ErrorCode::LensNotImplemented, problem));
    }
    let problem = format_args!("must be one of recency, consensus, confidence, got {:?}", field::shown(name));
    Err(field.error(ErrorCode::UnknownLens, problem))
}

fn limit(field: Field<'_, '_>) -> Result<usize, ApiError> {
    let code = ErrorCode::InvalidLimit;
    let number = field.number(code)?;
    let limit = number.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| {
        let got = field::shown(number);
        field.error(code, format_args!("must be an integer from 1 to {LIMIT_MAX}, got {got}"))
    })
}

fn as_of(field: Field<'_, '_>) -> Result<UnixMicros, ApiError> {
    let code = ErrorCode::InvalidAsOf;
    let number = field.number(code)?;
    let time = text::seconds(number);
    if time < UnixMicros(0) {
        let got = field::shown(number);
        return Err(field.error(code, format_args!("must be Unix seconds, not before 1970, got {got}")));
    }
    Ok(time)
}
