//! Bodies: everything of a claim that neither its row nor its series holds, in as few bytes as it takes.
//!
//! ```text
//! value type 3 bits | lifecycle 3 | has confidence 1 | has rare fields 1
//! source class 3 bits | has source 1 | has epoch 1 | has agent 1 | value is long 1 | metadata is long 1
//! [rare fields, 1 byte: parent 1 bit | derived_from 1 | source_hash 1 | metadata 1]
//! [confidence f64; absent: 1] [source varint] [epoch varint] [agent varint]
//! [of a claim that has long parts: their number u32]
//! value: long: length u32, BLAKE3 hash 32; text, reference, JSON: length varint, bytes; number: f64; boolean: 1 byte
//! [parent 32] [derived_from: count 1, 32 each] [source_hash 32] [metadata that is not long: length varint, bytes]
//! ```
//!
//! Bodies live in memory only. Little-endian; varints are LEB128.

use super::long::{INLINE_BYTES_MAX, LongParts, is_long as is_long_text};
use crate::claim::{
    Claim, ClaimHash, ConceptPath, Confidence, DerivedFrom, Json, Lifecycle, Metadata, SourceClass, Text,
    Value, ValueType,
};

pub(super) const HAS_CONFIDENCE: u8 = 1 << 6;
pub(super) const HAS_RARE: u8 = 1 << 7;

pub(super) const HAS_SOURCE: u8 = 1 << 3;
pub(super) const HAS_EPOCH: u8 = 1 << 4;
pub(super) const HAS_AGENT: u8 = 1 << 5;

pub(super) const VALUE_IS_LONG: u8 = 1 << 6;
pub(super) const METADATA_IS_LONG: u8 = 1 << 7;

pub(super) const HAS_PARENT: u8 = 1 << 0;
pub(super) const HAS_DERIVED_FROM: u8 = 1 << 1;
pub(super) const HAS_SOURCE_HASH: u8 = 1 << 2;
pub(super) const HAS_METADATA: u8 = 1 << 3;

/// The longest body, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 3
    + 8
    + 3 * 5
    + 4
    + (5 + INLINE_BYTES_MAX)
    + 32
    + (1 + DerivedFrom::COUNT_MAX * 32)
    + 32
    + (5 + INLINE_BYTES_MAX);

/// Bytes that stand for a value that is long: its length, its hash.
pub(super) const DIGEST_BYTES: usize = 4 + 32;

const _: () = assert!(DIGEST_BYTES <= INLINE_BYTES_MAX);

/// The numbers that stand for a claim's shared strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SharedIds {
    pub(super) source: Option<u32>,
    pub(super) epoch: Option<u32>,
    pub(super) agent: Option<u32>,
}

/// Whether a claim has parts that its body does not hold.
pub(super) fn is_long(claim: &Claim<'_>) -> bool {
    let (value, metadata) = texts(claim);
    [value, metadata].into_iter().flatten().any(is_long_text)
}

/// Those parts.
pub(super) fn long_parts(claim: &Claim<'_>) -> LongParts {
    let (value, metadata) = texts(claim);
    LongParts::of(value, metadata)
}

/// The text of the value and of the metadata.
fn texts<'a>(claim: &Claim<'a>) -> (Option<&'a str>, Option<&'a str>) {
    (text_of(&claim.value), claim.metadata.map(|metadata| metadata.as_str()))
}

/// The text of a value, if it is one that has a text.
fn text_of<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text.as_str()),
        Value::Reference(path) => Some(path.as_str()),
        Value::Json(json) => Some(json.as_str()),
        Value::Number(_) | Value::Boolean(_) => None,
    }
}

/// Appends the body of `claim` to `out`. `long` is the number of its long parts, if it has some.
pub(super) fn encode(claim: &Claim<'_>, ids: SharedIds, long: Option<u32>, out: &mut Vec<u8>) {
    let long_value = text_of(&claim.value).filter(|text| is_long_text(text));
    let metadata_is_long = claim.metadata.as_ref().is_some_and(|metadata| is_long_text(metadata.as_str()));
    assert_eq!(long.is_some(), long_value.is_some() || metadata_is_long, "long parts have a number");
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let rare = flag(claim.parent.is_some(), HAS_PARENT)
        | flag(!claim.derived_from.is_empty(), HAS_DERIVED_FROM)
        | flag(claim.source_hash.is_some(), HAS_SOURCE_HASH)
        | flag(claim.metadata.is_some(), HAS_METADATA);
    out.push(
        claim.value.value_type().number()
            | claim.lifecycle.number() << 3
            | flag(claim.confidence != Confidence::CERTAIN, HAS_CONFIDENCE)
            | flag(rare != 0, HAS_RARE),
    );
    out.push(
        claim.source_class.number()
            | flag(ids.source.is_some(), HAS_SOURCE)
            | flag(ids.epoch.is_some(), HAS_EPOCH)
            | flag(ids.agent.is_some(), HAS_AGENT)
            | flag(long_value.is_some(), VALUE_IS_LONG)
            | flag(metadata_is_long, METADATA_IS_LONG),
    );
    if rare != 0 {
        out.push(rare);
    }
    if claim.confidence != Confidence::CERTAIN {
        out.extend(claim.confidence.value().to_le_bytes());
    }
    for id in [ids.source, ids.epoch, ids.agent].into_iter().flatten() {
        encode_varint(id, out);
    }
    out.extend(long.map(u32::to_le_bytes).iter().flatten());
    match claim.value {
        _ if let Some(text) = long_value => {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(blake3::hash(text.as_bytes()).as_bytes());
        }
        Value::Text(text) => encode_string(text.as_str(), out),
        Value::Reference(path) => encode_string(path.as_str(), out),
        Value::Json(json) => encode_string(json.as_str(), out),
        Value::Number(number) => out.extend(number.value().to_le_bytes()),
        Value::Boolean(boolean) => out.push(u8::from(boolean)),
    }
    out.extend(claim.parent.iter().flat_map(|hash| hash.0));
    if !claim.derived_from.is_empty() {
        out.push(u8::try_from(claim.derived_from.len()).expect("a claim derives from at most 64 others"));
        claim.derived_from.iter().for_each(|hash| out.extend(hash.0));
    }
    out.extend(claim.source_hash.iter().flatten());
    let metadata = claim.metadata.iter().filter(|_| !metadata_is_long);
    metadata.for_each(|metadata| encode_string(metadata.as_str(), out));
}

/// A body, read as far as filters need it; the rest is read when asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) lifecycle: Lifecycle,
    pub(super) source_class: SourceClass,
    pub(super) confidence: Confidence,
    pub(super) ids: SharedIds,
    /// The number of the long parts.
    pub(super) long: Option<u32>,
    value_type: ValueType,
    rare: u8,
    value_is_long: bool,
    pub(super) metadata_is_long: bool,
    /// From the value on.
    rest: &'a [u8],
}

/// The fields that few claims have.
#[derive(Debug, Default)]
pub(super) struct RareFields<'a> {
    pub(super) parent: Option<ClaimHash>,
    pub(super) derived_from: DerivedFrom,
    pub(super) source_hash: Option<[u8; 32]>,
    pub(super) metadata: Option<Metadata<'a>>,
}

impl<'a> Body<'a> {
    /// The body that `bytes` begin with.
    pub(super) fn at(bytes: &'a [u8]) -> Body<'a> {
        let mut reader = Reader(bytes);
        let [first, second] = reader.array();
        let rare = if first & HAS_RARE != 0 { reader.byte() } else { 0 };
        let confidence = match first & HAS_CONFIDENCE {
            0 => Confidence::CERTAIN,
            _ => Confidence::new(f64::from_le_bytes(reader.array())).expect("encoded from a confidence"),
        };
        let mut id = |flag| (second & flag != 0).then(|| reader.varint());
        let ids = SharedIds { source: id(HAS_SOURCE), epoch: id(HAS_EPOCH), agent: id(HAS_AGENT) };
        let long =
            (second & (VALUE_IS_LONG | METADATA_IS_LONG) != 0).then(|| u32::from_le_bytes(reader.array()));
        Body {
            lifecycle: Lifecycle::ALL[usize::from(first >> 3 & 7)],
            source_class: SourceClass::ALL[usize::from(second & 7)],
            confidence,
            ids,
            long,
            value_type: ValueType::ALL[usize::from(first & 7)],
            rare,
            value_is_long: second & VALUE_IS_LONG != 0,
            metadata_is_long: second & METADATA_IS_LONG != 0,
            rest: reader.0,
        }
    }

    /// Appends the same body with other numbers: what comes behind them is as it was.
    pub(super) fn encode_with(&self, ids: SharedIds, long: u32, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.push(
            self.value_type.number()
                | self.lifecycle.number() << 3
                | flag(self.confidence != Confidence::CERTAIN, HAS_CONFIDENCE)
                | flag(self.rare != 0, HAS_RARE),
        );
        out.push(
            self.source_class.number()
                | flag(ids.source.is_some(), HAS_SOURCE)
                | flag(ids.epoch.is_some(), HAS_EPOCH)
                | flag(ids.agent.is_some(), HAS_AGENT)
                | flag(self.value_is_long, VALUE_IS_LONG)
                | flag(self.metadata_is_long, METADATA_IS_LONG),
        );
        if self.rare != 0 {
            out.push(self.rare);
        }
        if self.confidence != Confidence::CERTAIN {
            out.extend(self.confidence.value().to_le_bytes());
        }
        for id in [ids.source, ids.epoch, ids.agent].into_iter().flatten() {
            encode_varint(id, out);
        }
        out.extend(long.to_le_bytes());
        let (_, mut reader) = self.value_and_rest();
        if self.rare & HAS_PARENT != 0 {
            reader.bytes(32);
        }
        if self.rare & HAS_DERIVED_FROM != 0 {
            let count = usize::from(reader.byte());
            reader.bytes(32 * count);
        }
        if self.rare & HAS_SOURCE_HASH != 0 {
            reader.bytes(32);
        }
        if self.rare & HAS_METADATA != 0 && !self.metadata_is_long {
            reader.string_bytes();
        }
        out.extend(&self.rest[..self.rest.len() - reader.0.len()]);
    }

    /// The value, of which `long` is the text if it is long.
    pub(super) fn value(&self, long: impl FnOnce() -> &'a [u8]) -> Value<'a> {
        const CHECKED: &str = "was checked before it was encoded";
        let RawValue { value_type, bytes, is_long } = self.raw_value();
        let bytes = if is_long { long() } else { bytes };
        match value_type {
            ValueType::Text => Value::Text(Text::new(text(bytes)).expect(CHECKED)),
            ValueType::Number => Value::number(f64::from_le_bytes(Reader(bytes).array())).expect(CHECKED),
            ValueType::Boolean => Value::Boolean(bytes != [0]),
            ValueType::Reference => Value::Reference(ConceptPath::new(text(bytes)).expect(CHECKED)),
            ValueType::Json => Value::Json(Json::from_checked(text(bytes))),
        }
    }

    pub(super) fn raw_value(&self) -> RawValue<'a> {
        self.value_and_rest().0
    }

    /// The rare fields, of which `long` is the text of the metadata if that is long.
    pub(super) fn rare_fields(&self, long: impl FnOnce() -> &'a [u8]) -> RareFields<'a> {
        if self.rare == 0 {
            return RareFields::default();
        }
        let mut reader = self.value_and_rest().1;
        let has = |flag| self.rare & flag != 0;
        RareFields {
            parent: has(HAS_PARENT).then(|| ClaimHash(reader.array())),
            derived_from: match has(HAS_DERIVED_FROM) {
                true => {
                    let hashes = (0..reader.byte()).map(|_| ClaimHash(reader.array())).collect();
                    DerivedFrom::new(hashes).expect("encoded from a list within bounds")
                }
                false => DerivedFrom::default(),
            },
            source_hash: has(HAS_SOURCE_HASH).then(|| reader.array()),
            metadata: has(HAS_METADATA).then(|| {
                let bytes = if self.metadata_is_long { long() } else { reader.string_bytes() };
                Metadata::from_checked(text(bytes))
            }),
        }
    }

    fn value_and_rest(&self) -> (RawValue<'a>, Reader<'a>) {
        let mut reader = Reader(self.rest);
        let bytes = match self.value_type {
            _ if self.value_is_long => reader.bytes(DIGEST_BYTES),
            ValueType::Text | ValueType::Reference | ValueType::Json => reader.string_bytes(),
            ValueType::Number => reader.bytes(size_of::<f64>()),
            ValueType::Boolean => reader.bytes(1),
        };
        (RawValue { value_type: self.value_type, bytes, is_long: self.value_is_long }, reader)
    }
}

/// A value as its type and its bytes. Values are equal if these are: there is one zero, and JSON is minified. Instead of the bytes of a
/// long value it has length and hash, wherever the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RawValue<'a> {
    value_type: ValueType,
    bytes: &'a [u8],
    is_long: bool,
}

impl<'a> RawValue<'a> {
    /// How many bytes a value has that is long; 0 if it is not.
    pub(super) fn long_bytes(self) -> usize {
        let length = self.bytes.first_chunk().filter(|_| self.is_long);
        length.map_or(0, |length| u32::from_le_bytes(*length) as usize)
    }

    /// The type, and the text if there is one; `long` is that of a value that is long.
    pub(super) fn utf8(self, long: impl FnOnce() -> &'a [u8]) -> (ValueType, Option<&'a [u8]>) {
        let text = match self.value_type {
            _ if self.is_long => Some(long()),
            ValueType::Text | ValueType::Reference | ValueType::Json => Some(self.bytes),
            ValueType::Number | ValueType::Boolean => None,
        };
        (self.value_type, text)
    }
}

fn encode_varint(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn encode_string(string: &str, out: &mut Vec<u8>) {
    encode_varint(u32::try_from(string.len()).expect("every string of a claim is bounded"), out);
    out.extend_from_slice(string.as_bytes());
}

/// What is left to read of a body. The body was written by [`encode`], so nothing is ever missing.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (array, rest) = self.0.split_first_chunk().expect("encoded whole");
        self.0 = rest;
        *array
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn varint(&mut self) -> u32 {
        let mut number = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = self.byte();
            number |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return number;
            }
        }
        panic!("a varint of a body goes on after five bytes")
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn string_bytes(&mut self) -> &'a [u8] {
        let count = self.varint() as usize;
        self.bytes(count)
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("encoded from a string")
}
