//! Checks bodies that others have written before anything believes them.

use std::str::from_utf8;

use super::Counts;
use crate::claim::{
    ConceptPath, Confidence, DerivedFrom, Json, Lifecycle, Metadata, Number, SourceClass, Text, ValueType,
};
use crate::index::body::{
    HAS_AGENT, HAS_CONFIDENCE, HAS_DERIVED_FROM, HAS_EPOCH, HAS_METADATA, HAS_PARENT, HAS_RARE, HAS_SOURCE,
    HAS_SOURCE_HASH, METADATA_IS_LONG, VALUE_IS_LONG,
};
use crate::index::long::{LongParts, is_long};

/// What a restored index needs to know of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckedBody {
    pub(super) bytes: usize,
    pub(super) source: Option<u32>,
    pub(super) long: Option<CheckedLong>,
}

/// What a body says of the claim's long parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckedLong {
    pub(super) number: u32,
    /// The type of the value, its length and its hash, if it is long.
    value: Option<(ValueType, u32, [u8; 32])>,
    metadata: bool,
}

impl CheckedLong {
    /// Whether these are the parts, and what an index expects of such.
    pub(super) fn fits(&self, parts: &LongParts) -> bool {
        let text = |bytes| from_utf8(bytes).ok().filter(|text| is_long(text));
        let metadata = match self.metadata {
            true => text(parts.metadata()).is_some_and(|text| Metadata::new(text).is_ok()),
            false => parts.metadata().is_empty(),
        };
        let value = match self.value {
            None => parts.value().is_empty(),
            Some((value_type, bytes, hash)) => {
                let is_one = |text| match value_type {
                    ValueType::Text => Text::new(text).is_ok(),
                    ValueType::Reference => ConceptPath::new(text).is_ok(),
                    ValueType::Json => Json::new(text).is_ok(),
                    ValueType::Number | ValueType::Boolean => false,
                };
                parts.value().len() == bytes as usize
                    && *blake3::hash(parts.value()).as_bytes() == hash
                    && text(parts.value()).is_some_and(is_one)
            }
        };
        metadata && value
    }
}

/// Checks the body that `bytes` begin with: whatever an index reads of it later is there and what it expects. `None` if not.
pub(super) fn check(bytes: &[u8], counts: &Counts) -> Option<CheckedBody> {
    let mut reader = Reader(bytes);
    let [first, second] = reader.array()?;
    let value_type = *ValueType::ALL.get(usize::from(first & 7))?;
    Lifecycle::ALL.get(usize::from(first >> 3 & 7))?;
    SourceClass::ALL.get(usize::from(second & 7))?;
    let rare = if first & HAS_RARE != 0 { reader.byte()? } else { 0 };
    if first & HAS_CONFIDENCE != 0 {
        Confidence::new(f64::from_le_bytes(reader.array()?)).ok()?;
    }
    let mut id = |flag, count: u32| match second & flag {
        0 => Some(None),
        _ => reader.varint().filter(|id| *id < count).map(Some),
    };
    let source = id(HAS_SOURCE, counts.sources)?;
    id(HAS_EPOCH, counts.epochs)?;
    id(HAS_AGENT, counts.agents)?;
    let (value_is_long, metadata_is_long) = (second & VALUE_IS_LONG != 0, second & METADATA_IS_LONG != 0);
    let number = (value_is_long || metadata_is_long).then(|| reader.array().map(u32::from_le_bytes));
    let number = number.map_or(Some(None), |number| number.map(Some))?;
    let value = match value_is_long {
        true => Some((value_type, u32::from_le_bytes(reader.array()?), reader.array()?)),
        false => None,
    };
    if value.is_none() {
        check_value(value_type, &mut reader)?;
    }
    if metadata_is_long && rare & HAS_METADATA == 0 {
        return None;
    }
    if rare != 0 {
        check_rare(if metadata_is_long { rare & !HAS_METADATA } else { rare }, &mut reader)?;
    }
    let long = number.map(|number| CheckedLong { number, value, metadata: metadata_is_long });
    Some(CheckedBody { bytes: bytes.len() - reader.0.len(), source, long })
}

/// Values are compared by their bytes: each has but one spelling.
fn check_value(value_type: ValueType, reader: &mut Reader<'_>) -> Option<()> {
    match value_type {
        ValueType::Text => Text::new(reader.text()?).ok().map(drop),
        ValueType::Reference => ConceptPath::new(reader.text()?).ok().map(drop),
        ValueType::Json => Json::new(reader.text()?).ok().map(drop),
        ValueType::Number => {
            let value = f64::from_le_bytes(reader.array()?);
            let number = Number::new(value).ok()?;
            (number.value().to_bits() == value.to_bits()).then_some(())
        }
        ValueType::Boolean => (reader.byte()? <= 1).then_some(()),
    }
}

fn check_rare(rare: u8, reader: &mut Reader<'_>) -> Option<()> {
    if rare & HAS_PARENT != 0 {
        reader.bytes(32)?;
    }
    if rare & HAS_DERIVED_FROM != 0 {
        let count = usize::from(reader.byte()?);
        reader.bytes(32 * count).filter(|_| count <= DerivedFrom::COUNT_MAX)?;
    }
    if rare & HAS_SOURCE_HASH != 0 {
        reader.bytes(32)?;
    }
    if rare & HAS_METADATA != 0 {
        Metadata::new(reader.text()?).ok()?;
    }
    Some(())
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let count = self.varint()? as usize;
        from_utf8(self.bytes(count)?).ok()
    }
}
