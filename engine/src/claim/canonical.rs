//! The canonical encoding: the one sequence of bytes that stands for a claim, on disk and under its hash.
//!
//! A fixed header of 36 bytes, all numbers little-endian, then the variable parts without padding:
//!
//! ```text
//! offset  bytes
//!  0      1     encoding version, 1
//!  1      1     value type: Text 0, Number 1, Boolean 2, Reference 3, Json 4
//!  2      1     source class, 0..=5
//!  3      1     lifecycle, 0..=4
//!  4      1     flags: 1 parent hash, 2 source hash, 4 agent key; all others 0
//!  5      1     number of derived-from hashes, 0..=64
//!  6      1     bytes of the agent's name, 0..=128; 0: no name; must be 0 beside an agent key
//!  7      1     bytes of the epoch, 0..=128; 0: no epoch
//!  8      8     confidence, IEEE 754 binary64
//! 16      8     timestamp, i64, microseconds since 1970
//! 24      2     bytes of the subject, 1..=512
//! 26      2     bytes of the predicate, 1..=256
//! 28      2     bytes of the source, 0..=512; 0: no source
//! 30      2     bytes of the metadata, 0..=8192; 0: no metadata
//! 32      4     bytes of the value
//! 36            subject ‖ predicate ‖ value ‖ source ‖ parent hash ‖ derived-from hashes ‖ epoch
//!               ‖ agent key or name ‖ source hash ‖ metadata
//! ```
//!
//! A Number is the eight bytes of its binary64, a Boolean one byte, 0 or 1, and the other values are their text.
//! Decoding refuses whatever encoding would not have written, so no claim has a second encoding.

use super::{
    Agent, AgentName, Claim, ClaimError, ClaimHash, ConceptPath, Confidence, DerivedFrom, EpochId, Field,
    Lifecycle, Metadata, Number, Predicate, SourceClass, Timestamp, Value, ValueType,
};
use crate::time::UnixMicros;

mod outline;

pub use outline::Outline;

/// The version of the encoding, its first byte.
pub const VERSION: u8 = 1;

/// How long the fixed header is.
pub const HEADER_BYTES: usize = 36;

/// The length of the longest encoding.
pub const CANONICAL_BYTES_MAX: usize = HEADER_BYTES
    + ConceptPath::BYTES_MAX
    + Predicate::BYTES_MAX
    + Value::BYTES_MAX
    + ConceptPath::BYTES_MAX
    + ClaimHash::BYTES
    + DerivedFrom::COUNT_MAX * ClaimHash::BYTES
    + EpochId::BYTES_MAX
    + AgentName::BYTES_MAX // longer than a key
    + 32 // the source hash
    + Metadata::BYTES_MAX;

const FLAG_PARENT: u8 = 1;
const FLAG_SOURCE_HASH: u8 = 2;
const FLAG_AGENT_KEY: u8 = 4;
const FLAGS: u8 = FLAG_PARENT | FLAG_SOURCE_HASH | FLAG_AGENT_KEY;

/// Why bytes are not the encoding of anything.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before what they announce.
    #[error("truncated: {bytes_needed} bytes announced, {bytes} there")]
    Truncated {
        /// How many bytes there should be at least.
        bytes_needed: usize,
        /// How many there are.
        bytes: usize,
    },
    /// More bytes than announced, where nothing may follow.
    #[error("{bytes} bytes behind the end")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// Written by a later release, or not an encoding at all.
    #[error("unknown encoding version {version}, this release reads version 1")]
    UnknownVersion {
        /// The first byte.
        version: u8,
    },
    /// A header byte has a value that encoding never writes.
    #[error("byte {offset} of the header is {found}, expected {expected}")]
    BadHeader {
        /// Where, from the beginning of the encoding.
        offset: usize,
        /// What is there.
        found: u8,
        /// What may be there.
        expected: &'static str,
    },
    /// A field's bytes are not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: Field,
    },
    /// A field is valid but written in another way than encoding writes it.
    #[error("{field} is not in its canonical form")]
    NotCanonical {
        /// The field.
        field: Field,
    },
    /// A field breaks one of its rules.
    #[error(transparent)]
    Invalid(#[from] ClaimError),
    /// The hash in front of a claim is not the claim's.
    #[error("hash mismatch: expected {expected}, the claim's is {actual}")]
    HashMismatch {
        /// The hash that was stored.
        expected: ClaimHash,
        /// The hash of the bytes that were stored.
        actual: ClaimHash,
    },
}

impl<'a> Claim<'a> {
    /// Appends the claim's canonical encoding to `out`. Allocates nothing but room in `out`.
    pub fn encode_canonical(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        let bytes = self.canonical_bytes();
        out.reserve(bytes);
        out.extend_from_slice(&self.canonical_header());
        out.extend_from_slice(self.subject.as_str().as_bytes());
        out.extend_from_slice(self.predicate.as_str().as_bytes());
        match &self.value {
            Value::Text(text) => out.extend_from_slice(text.as_str().as_bytes()),
            Value::Number(number) => out.extend_from_slice(&number.value().to_le_bytes()),
            Value::Boolean(boolean) => out.push(u8::from(*boolean)),
            Value::Reference(path) => out.extend_from_slice(path.as_str().as_bytes()),
            Value::Json(json) => out.extend_from_slice(json.as_str().as_bytes()),
        }
        if let Some(source) = &self.source {
            out.extend_from_slice(source.as_str().as_bytes());
        }
        if let Some(parent) = &self.parent {
            out.extend_from_slice(&parent.0);
        }
        for hash in self.derived_from.iter() {
            out.extend_from_slice(&hash.0);
        }
        if let Some(epoch) = &self.epoch {
            out.extend_from_slice(epoch.as_str().as_bytes());
        }
        match &self.agent {
            Some(Agent::Key(key)) => out.extend_from_slice(key),
            Some(Agent::Name(name)) => out.extend_from_slice(name.as_str().as_bytes()),
            None => {}
        }
        if let Some(source_hash) = &self.source_hash {
            out.extend_from_slice(source_hash);
        }
        if let Some(metadata) = &self.metadata {
            out.extend_from_slice(metadata.as_str().as_bytes());
        }
        assert_eq!(out.len() - begin, bytes, "the header announces what follows");
    }

    /// The claim whose canonical encoding begins `bytes`, and how long that encoding is.
    ///
    /// Strict: the bytes it accepts are exactly those that [`Claim::encode_canonical`] writes for what it returns.
    pub fn decode_canonical(bytes: &'a [u8]) -> Result<(Claim<'a>, usize), DecodeError> {
        let header = Header::decode(bytes)?;
        let end = header.canonical_bytes();
        let Some(body) = bytes.get(HEADER_BYTES..end) else {
            return Err(DecodeError::Truncated { bytes_needed: end, bytes: bytes.len() });
        };
        let mut body = Body { rest: body };
        // In the order of the encoding: each part is taken from the front of the rest.
        let subject = ConceptPath::new(body.text(header.subject_bytes, Field::Subject)?)?;
        let predicate = Predicate::new(body.text(header.predicate_bytes, Field::Predicate)?)?;
        let value = body.value(header.value_type, header.value_bytes)?;
        let source =
            body.optional_text(header.source_bytes, Field::Source)?.map(ConceptPath::new).transpose();
        let source = source.map_err(|error| error.in_field(Field::Source))?;
        let parent = header.has(FLAG_PARENT).then(|| ClaimHash(body.array()));
        let derived_from = (0..header.derived_from_count).map(|_| ClaimHash(body.array())).collect();
        let derived_from = DerivedFrom::new(derived_from)?;
        let epoch = body.optional_text(header.epoch_bytes, Field::Epoch)?.map(EpochId::new).transpose()?;
        let agent = if header.has(FLAG_AGENT_KEY) {
            Some(Agent::Key(body.array()))
        } else {
            let name = body.optional_text(header.agent_name_bytes, Field::AgentId)?;
            name.map(AgentName::new).transpose()?.map(Agent::Name)
        };
        let source_hash = header.has(FLAG_SOURCE_HASH).then(|| body.array());
        let metadata =
            body.optional_text(header.metadata_bytes, Field::Metadata)?.map(Metadata::new).transpose()?;
        assert!(body.rest.is_empty(), "the header announced exactly what was there");
        let claim = Claim {
            subject,
            predicate,
            value,
            confidence: header.confidence,
            timestamp: header.timestamp,
            source,
            source_class: header.source_class,
            lifecycle: header.lifecycle,
            parent,
            derived_from,
            epoch,
            agent,
            source_hash,
            metadata,
        };
        Ok((claim, end))
    }

    /// How long the canonical encoding is: from 38 (an empty text) to [`CANONICAL_BYTES_MAX`].
    pub fn canonical_bytes(&self) -> usize {
        let agent_bytes = match &self.agent {
            Some(Agent::Key(key)) => key.len(),
            Some(Agent::Name(name)) => name.as_str().len(),
            None => 0,
        };
        HEADER_BYTES
            + self.subject.as_str().len()
            + self.predicate.as_str().len()
            + self.value_bytes()
            + self.source.map_or(0, |source| source.as_str().len())
            + self.parent.map_or(0, |parent| parent.0.len())
            + self.derived_from.len() * ClaimHash::BYTES
            + self.epoch.map_or(0, |epoch| epoch.as_str().len())
            + agent_bytes
            + self.source_hash.map_or(0, |source_hash| source_hash.len())
            + self.metadata.map_or(0, |metadata| metadata.as_str().len())
    }

    fn value_bytes(&self) -> usize {
        match &self.value {
            Value::Text(text) => text.as_str().len(),
            Value::Number(_) => 8,
            Value::Boolean(_) => 1,
            Value::Reference(path) => path.as_str().len(),
            Value::Json(json) => json.as_str().len(),
        }
    }

    fn canonical_header(&self) -> [u8; HEADER_BYTES] {
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        let (agent_key, agent_name_bytes) = match &self.agent {
            Some(Agent::Key(_)) => (true, 0),
            Some(Agent::Name(name)) => (false, name.as_str().len()),
            None => (false, 0),
        };
        let source_bytes = self.source.map_or(0, |source| source.as_str().len());
        let epoch_bytes = self.epoch.map_or(0, |epoch| epoch.as_str().len());
        let metadata_bytes = self.metadata.map_or(0, |metadata| metadata.as_str().len());

        let mut header = [0; HEADER_BYTES];
        header[0] = VERSION;
        header[1] = self.value.value_type().number();
        header[2] = self.source_class.number();
        header[3] = self.lifecycle.number();
        header[4] = flag(self.parent.is_some(), FLAG_PARENT)
            | flag(self.source_hash.is_some(), FLAG_SOURCE_HASH)
            | flag(agent_key, FLAG_AGENT_KEY);
        header[5] = self.derived_from.len() as u8;
        header[6] = agent_name_bytes as u8;
        header[7] = epoch_bytes as u8;
        header[8..16].copy_from_slice(&self.confidence.value().to_le_bytes());
        header[16..24].copy_from_slice(&self.timestamp.unix_micros().0.to_le_bytes());
        header[24..26].copy_from_slice(&(self.subject.as_str().len() as u16).to_le_bytes());
        header[26..28].copy_from_slice(&(self.predicate.as_str().len() as u16).to_le_bytes());
        header[28..30].copy_from_slice(&(source_bytes as u16).to_le_bytes());
        header[30..32].copy_from_slice(&(metadata_bytes as u16).to_le_bytes());
        header[32..36].copy_from_slice(&(self.value_bytes() as u32).to_le_bytes());
        header
    }
}

/// The fixed header, each field within its bounds; the lengths only within their width.
struct Header {
    value_type: ValueType,
    source_class: SourceClass,
    lifecycle: Lifecycle,
    flags: u8,
    derived_from_count: usize,
    agent_name_bytes: usize,
    epoch_bytes: usize,
    confidence: Confidence,
    timestamp: Timestamp,
    subject_bytes: usize,
    predicate_bytes: usize,
    source_bytes: usize,
    metadata_bytes: usize,
    value_bytes: usize,
}

impl Header {
    fn decode(bytes: &[u8]) -> Result<Header, DecodeError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(DecodeError::Truncated { bytes_needed: HEADER_BYTES, bytes: bytes.len() });
        };
        if header[0] != VERSION {
            return Err(DecodeError::UnknownVersion { version: header[0] });
        }
        let bad =
            |offset: usize, expected| DecodeError::BadHeader { offset, found: header[offset], expected };
        if header[4] & !FLAGS != 0 {
            return Err(bad(4, "no flags but 1, 2 and 4"));
        }
        if header[4] & FLAG_AGENT_KEY != 0 && header[6] != 0 {
            return Err(bad(6, "0 beside an agent key"));
        }
        let u16_at = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        Ok(Header {
            value_type: ValueType::from_number(header[1])?,
            source_class: SourceClass::from_number(header[2])?,
            lifecycle: Lifecycle::from_number(header[3])?,
            flags: header[4],
            derived_from_count: usize::from(header[5]),
            agent_name_bytes: usize::from(header[6]),
            epoch_bytes: usize::from(header[7]),
            confidence: decode_confidence(u64_at(8))?,
            timestamp: Timestamp::new(UnixMicros(u64_at(16) as i64))?,
            subject_bytes: u16_at(24),
            predicate_bytes: u16_at(26),
            source_bytes: u16_at(28),
            metadata_bytes: u16_at(30),
            value_bytes: u16_at(32) | u16_at(34) << 16,
        })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// How long the whole encoding is. Cannot overflow: one `u32`, and a few numbers of 16 bits and fewer.
    fn canonical_bytes(&self) -> usize {
        let fixed_if = |flag| if self.has(flag) { 32 } else { 0 };
        HEADER_BYTES
            + self.subject_bytes
            + self.predicate_bytes
            + self.value_bytes
            + self.source_bytes
            + fixed_if(FLAG_PARENT)
            + self.derived_from_count * ClaimHash::BYTES
            + self.epoch_bytes
            + fixed_if(FLAG_AGENT_KEY)
            + self.agent_name_bytes
            + fixed_if(FLAG_SOURCE_HASH)
            + self.metadata_bytes
    }
}

fn decode_confidence(bits: u64) -> Result<Confidence, DecodeError> {
    let confidence = Confidence::new(f64::from_bits(bits))?;
    if confidence.value().to_bits() != bits {
        return Err(DecodeError::NotCanonical { field: Field::Confidence });
    }
    Ok(confidence)
}

/// What is left of the variable parts. The header's lengths add up to all of it, so taking never fails.
struct Body<'a> {
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("exactly that many bytes were taken")
    }

    fn text(&mut self, bytes: usize, field: Field) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.take(bytes)).map_err(|_| DecodeError::NotUtf8 { field })
    }

    /// Text whose absence is written as length 0.
    fn optional_text(&mut self, bytes: usize, field: Field) -> Result<Option<&'a str>, DecodeError> {
        if bytes == 0 { Ok(None) } else { self.text(bytes, field).map(Some) }
    }

    fn value(&mut self, value_type: ValueType, bytes: usize) -> Result<Value<'a>, DecodeError> {
        let not_canonical = Err(DecodeError::NotCanonical { field: Field::Value });
        match value_type {
            ValueType::Text => Ok(Value::text(self.text(bytes, Field::Value)?)?),
            ValueType::Number => {
                let Ok(bits) = self.take(bytes).try_into().map(u64::from_le_bytes) else {
                    return not_canonical;
                };
                let number = Number::new(f64::from_bits(bits))?;
                if number.value().to_bits() == bits { Ok(Value::Number(number)) } else { not_canonical }
            }
            ValueType::Boolean => match self.take(bytes) {
                [0] => Ok(Value::Boolean(false)),
                [1] => Ok(Value::Boolean(true)),
                _ => not_canonical,
            },
            ValueType::Reference => Ok(Value::reference(self.text(bytes, Field::Value)?)?),
            ValueType::Json => Ok(Value::json(self.text(bytes, Field::Value)?)?),
        }
    }
}

#[cfg(test)]
mod tests;
