//! Claims, from the bodies of `/v1/assert` and `/v1/assert/batch`.

use stemedb_engine::claim::{
    self, Agent, AgentName, Claim, ClaimError, ClaimHash, ClaimSignature, DerivedFrom, Metadata, Timestamp,
    hex,
};
use stemedb_engine::time::UnixMicros;

use super::error::{ApiError, ErrorCode};
use super::field::{self, Field, optional, required};
use super::parts::{confidence, epoch, hex_bytes, lifecycle, path, predicate, source_class};
use super::{signatures, text, value};
use crate::json::{Kind, Reader, Value};

/// What a claim's meaning depends on besides its own body.
#[derive(Debug, Clone, Copy)]
pub struct AssertContext<'a> {
    /// The server's time: what a claim without a timestamp gets.
    pub now: UnixMicros,
    /// How far beyond `now` a timestamp may lie, in microseconds.
    pub future_us_max: i64,
    /// The agent that the request's header names, for claims that carry neither an agent nor signatures.
    pub agent: Option<Agent<'a>>,
}

/// A claim as a client sent it, every rule checked but the arithmetic of its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest<'a> {
    /// The claim.
    pub claim: Claim<'a>,
    /// Its signatures, at most [`claim::signature::COUNT_MAX`].
    pub signatures: Vec<ClaimSignature>,
    /// Whether the client gave the timestamp. If not, a retry would be another claim.
    pub timestamp_given: bool,
}

impl ClaimRequest<'_> {
    /// Appends the payload of the claim's record to `out`, verifies the signatures, and returns the claim's hash.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidSignature`] if one is not its agent's for this claim; `out` is as before then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<ClaimHash, ApiError> {
        let begin = out.len();
        let hash = claim::assertion::encode(&self.claim, &self.signatures, out);
        signatures::verify(&hash, &self.signatures).inspect_err(|_| out.truncate(begin))?;
        Ok(hash)
    }
}

/// The agent that a header `X-Agent-Id` names: 64 hexadecimal digits are a key, anything else is a name.
///
/// # Errors
///
/// [`ErrorCode::InvalidAgentId`] unless the value is 1 to 128 visible ASCII characters.
pub fn agent_of_header(header: &[u8]) -> Result<Agent<'_>, ApiError> {
    const NAME: &str = "X-Agent-Id";
    let Ok(text) = std::str::from_utf8(header) else {
        let problem = "must consist of visible ASCII characters";
        return Err(ApiError::in_field(ErrorCode::InvalidAgentId, NAME, problem));
    };
    if let Ok(key) = hex::decode(claim::Field::AgentId, text) {
        return Ok(Agent::Key(key));
    }
    let name = AgentName::new(text);
    name.map(Agent::Name).map_err(|error| ApiError::of_claim(ErrorCode::InvalidAgentId, NAME, &error))
}

/// The hash that stands in the path of `/v1/assertion/{hash}`.
///
/// # Errors
///
/// [`ErrorCode::InvalidHash`] unless it is 64 hexadecimal digits.
pub fn hash_of_path(parameter: &str) -> Result<ClaimHash, ApiError> {
    let hash = hex::decode(claim::Field::ParentHash, parameter);
    hash.map(ClaimHash).map_err(|error| ApiError::of_claim(ErrorCode::InvalidHash, "hash", &error))
}

/// Reads claims with the same memory, one after another.
#[derive(Debug)]
pub struct ClaimReader {
    json: Reader,
    minified: Minified,
}

impl ClaimReader {
    /// A reader for bodies, and lines of NDJSON, of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> ClaimReader {
        ClaimReader { json: Reader::new(bytes_max), minified: Minified::default() }
    }

    /// Reads one claim: the body of a single assert, or one line of NDJSON.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the body, as the client is to be told.
    pub fn read<'a>(
        &'a mut self,
        body: &'a [u8],
        context: &AssertContext<'a>,
    ) -> Result<ClaimRequest<'a>, ApiError> {
        let document = self.json.parse(body)?;
        read_claim(document.root(), &mut self.minified, context)
    }

    /// Reads a JSON array of claims and gives each to `each` with its place, counted from 0: a bad one spoils no
    /// other. Returns how many there are.
    ///
    /// # Errors
    ///
    /// If the body is not valid JSON throughout, or no array. Then `each` has not been called.
    pub fn read_array<'a>(
        &'a mut self,
        body: &'a [u8],
        context: &AssertContext<'_>,
        mut each: impl FnMut(usize, Result<ClaimRequest<'_>, ApiError>),
    ) -> Result<usize, ApiError> {
        let document = self.json.parse(body)?;
        let root = document.root();
        let Some(elements) = root.elements() else {
            let message = format!("expected a JSON array of claims, got {}", root.kind().with_article());
            return Err(ApiError::new(ErrorCode::NotAnObject, message));
        };
        let count = elements.len();
        for (index, element) in elements.enumerate() {
            each(index, read_claim(element, &mut self.minified, context));
        }
        Ok(count)
    }
}

/// Where values and metadata go that must be minified first.
#[derive(Debug, Default)]
struct Minified {
    value: String,
    metadata: String,
}

fn read_claim<'a>(
    body: Value<'_, 'a>,
    minified: &'a mut Minified,
    context: &AssertContext<'a>,
) -> Result<ClaimRequest<'a>, ApiError> {
    let fields = Fields::read(body)?;
    let subject = path(required(fields.subject, "concept_path")?, ErrorCode::InvalidConceptPath)?;
    let predicate = predicate(required(fields.predicate, "predicate")?)?;
    let value = value::read(required(fields.value, "value")?, &mut minified.value)?;
    let timestamp = optional(fields.timestamp);
    let mut claim = Claim::new(subject, predicate, value, self::timestamp(timestamp, context)?);
    if let Some(field) = optional(fields.confidence) {
        claim.confidence = confidence(field, ErrorCode::InvalidConfidence)?;
    }
    if let Some(field) = optional(fields.source) {
        claim.source = Some(path(field, ErrorCode::InvalidSource)?);
    }
    if let Some(field) = optional(fields.source_class) {
        claim.source_class = source_class(field)?;
    }
    if let Some(field) = optional(fields.lifecycle) {
        claim.lifecycle = lifecycle(field)?;
    }
    if let Some(field) = optional(fields.parent_hash) {
        claim.parent = Some(ClaimHash(hex_bytes(field, ErrorCode::InvalidParentHash)?));
    }
    if let Some(field) = optional(fields.derived_from) {
        claim.derived_from = derived_from(field)?;
    }
    if let Some(field) = optional(fields.epoch) {
        claim.epoch = Some(epoch(field)?);
    }
    if let Some(field) = optional(fields.agent_id) {
        claim.agent = Some(Agent::Key(hex_bytes(field, ErrorCode::InvalidAgentId)?));
    }
    if let Some(field) = optional(fields.source_hash) {
        claim.source_hash = Some(hex_bytes(field, ErrorCode::InvalidSourceHash)?);
    }
    if let Some(field) = optional(fields.metadata) {
        claim.metadata = Some(metadata(field, &mut minified.metadata)?);
    }
    let signatures = optional(fields.signatures).map_or(Ok(Vec::new()), signatures::read)?;
    if signatures.is_empty() {
        claim.agent = claim.agent.or(context.agent);
    } else if timestamp.is_none() {
        let problem =
            "is required beside signatures: they are made over the claim, and it is part of the claim";
        return Err(ApiError::in_field(ErrorCode::MissingTimestamp, "timestamp", problem));
    }
    Ok(ClaimRequest { claim, signatures, timestamp_given: timestamp.is_some() })
}

/// The fields of a claim as they were given.
#[derive(Default)]
struct Fields<'d, 'a> {
    subject: Option<Field<'d, 'a>>,
    predicate: Option<Field<'d, 'a>>,
    value: Option<Field<'d, 'a>>,
    confidence: Option<Field<'d, 'a>>,
    timestamp: Option<Field<'d, 'a>>,
    source: Option<Field<'d, 'a>>,
    source_class: Option<Field<'d, 'a>>,
    lifecycle: Option<Field<'d, 'a>>,
    parent_hash: Option<Field<'d, 'a>>,
    derived_from: Option<Field<'d, 'a>>,
    epoch: Option<Field<'d, 'a>>,
    agent_id: Option<Field<'d, 'a>>,
    signatures: Option<Field<'d, 'a>>,
    source_hash: Option<Field<'d, 'a>>,
    metadata: Option<Field<'d, 'a>>,
}

impl<'d, 'a> Fields<'d, 'a> {
    /// The names, as an error lists them.
    const KNOWN: &'static str = "concept_path (or subject), predicate, value (or object), confidence, timestamp, \
        source, source_class, lifecycle, parent_hash, derived_from, epoch, agent_id, signatures, source_hash, \
        metadata";

    fn read(body: Value<'d, 'a>) -> Result<Fields<'d, 'a>, ApiError> {
        let mut fields = Fields::default();
        for (key, value) in field::members(body)? {
            let (name, place) = match key {
                "concept_path" => ("concept_path", &mut fields.subject),
                "subject" => ("subject", &mut fields.subject),
                "predicate" => ("predicate", &mut fields.predicate),
                "value" => ("value", &mut fields.value),
                "object" => ("object", &mut fields.value),
                "confidence" => ("confidence", &mut fields.confidence),
                "timestamp" => ("timestamp", &mut fields.timestamp),
                "source" => ("source", &mut fields.source),
                "source_class" => ("source_class", &mut fields.source_class),
                "lifecycle" => ("lifecycle", &mut fields.lifecycle),
                "parent_hash" => ("parent_hash", &mut fields.parent_hash),
                "derived_from" => ("derived_from", &mut fields.derived_from),
                "epoch" => ("epoch", &mut fields.epoch),
                "agent_id" => ("agent_id", &mut fields.agent_id),
                "signatures" => ("signatures", &mut fields.signatures),
                "source_hash" => ("source_hash", &mut fields.source_hash),
                "metadata" => ("metadata", &mut fields.metadata),
                _ => return Err(field::unknown(key, Self::KNOWN)),
            };
            Field::json(name, value).put(place)?;
        }
        Ok(fields)
    }
}

/// The time of a claim: what the client gave, or else the server's.
fn timestamp(field: Option<Field<'_, '_>>, context: &AssertContext<'_>) -> Result<Timestamp, ApiError> {
    let Some(field) = field else {
        return Ok(Timestamp::new(context.now).expect("the server's clock is past 1970"));
    };
    let text = field.number(ErrorCode::InvalidTimestamp)?;
    let time = text::seconds(text);
    if time.0 > context.now.0.saturating_add(context.future_us_max) {
        let problem = format_args!(
            "must be Unix seconds and at most {} s in the future, got {} where the server has {}",
            UnixMicros(context.future_us_max).as_seconds(),
            field::shown(text),
            context.now.as_seconds()
        );
        return Err(field.error(ErrorCode::TimestampInFuture, problem));
    }
    Timestamp::new(time).map_err(|_| {
        let problem = format_args!("must be Unix seconds, not before 1970, got {}", field::shown(text));
        field.error(ErrorCode::InvalidTimestamp, problem)
    })
}

fn derived_from(field: Field<'_, '_>) -> Result<DerivedFrom, ApiError> {
    let invalid = |problem: &dyn std::fmt::Display| field.error(ErrorCode::InvalidDerivedFrom, problem);
    let value = field.value();
    let Some(elements) = value.elements() else {
        return Err(invalid(&format_args!("must be an array, got {}", value.kind().with_article())));
    };
    if elements.len() > DerivedFrom::COUNT_MAX {
        let (count_max, count) = (DerivedFrom::COUNT_MAX, elements.len());
        return Err(invalid(&format_args!("must have at most {count_max} entries, got {count}")));
    }
    let hashes = elements.enumerate().map(|(index, element)| {
        let Some(text) = element.as_str() else {
            let kind = element.kind().with_article();
            return Err(invalid(&format_args!("must hold strings, got {kind} at index {index}")));
        };
        ClaimHash::from_hex(claim::Field::DerivedFrom, text)
            .map_err(|ClaimError { problem, .. }| invalid(&format_args!("entry {index} {problem}")))
    });
    Ok(DerivedFrom::new(hashes.collect::<Result<_, _>>()?).expect("their number was checked"))
}

fn metadata<'a>(field: Field<'_, 'a>, buffer: &'a mut String) -> Result<Metadata<'a>, ApiError> {
    if field.value().kind() != Kind::Object {
        let kind = field.value().kind().with_article();
        return Err(field.error(ErrorCode::InvalidMetadata, format_args!("must be an object, got {kind}")));
    }
    let text = value::minified(field.value(), buffer);
    Metadata::new(text).map_err(|error| ApiError::of_claim(ErrorCode::InvalidMetadata, field.name, &error))
}
