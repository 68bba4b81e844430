//! Entries: the claims of a table, and the order in which they stand.
//!
//! ```text
//! 0        4       6       8       16
//! ├────────┼───────┼───────┼───────┼───────────┤
//! │ length │ flags │ state │ order │ payload … │   the next entry follows without padding
//! ```

use super::{Damage, array};
use crate::claim::ClaimHash;
use crate::claim::assertion::ASSERTION_BYTES_MAX;
use crate::claim::canonical::{DecodeError, Outline};
use crate::order::WriteOrder;
use crate::slot::Slot;
use crate::time::UnixMicros;

/// Bytes before the payload of an entry.
pub(super) const ENTRY_HEADER_BYTES: usize = 16;

/// Bytes of the longest entry.
pub(super) const ENTRY_BYTES_MAX: usize = ENTRY_HEADER_BYTES + ASSERTION_BYTES_MAX;

const STATE_RETRACTED: u16 = 1;

/// A claim of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was written.
    pub order: WriteOrder,
    /// The flags of its record.
    pub flags: u16,
    /// Whether it was retracted by a record that this table, or one that was merged into it, knew of. Retractions in newer
    /// tables may strike it besides.
    pub retracted: bool,
    /// The payload of its record, to be decoded by [`Assertion::decode`](crate::claim::Assertion::decode).
    pub payload: &'a [u8],
}

impl<'a> Entry<'a> {
    /// How many bytes it takes in a block.
    pub(super) fn bytes(&self) -> usize {
        ENTRY_HEADER_BYTES + self.payload.len()
    }

    /// Appends it to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).expect("a payload fits into a frame of the log");
        let state = if self.retracted { STATE_RETRACTED } else { 0 };
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&state.to_le_bytes());
        out.extend_from_slice(&self.order.as_u64().to_le_bytes());
        out.extend_from_slice(self.payload);
    }

    /// The entry that begins `bytes`, which are of the block's entry number `entry` on.
    pub(super) fn decode(bytes: &'a [u8], entry: u32) -> Result<Entry<'a>, Damage> {
        let short =
            |needed: usize| Damage::Entry { entry, expected: needed as u64, actual: bytes.len() as u64 };
        let Some((header, rest)) = bytes.split_first_chunk::<ENTRY_HEADER_BYTES>() else {
            return Err(short(ENTRY_HEADER_BYTES));
        };
        let length = u32::from_le_bytes(array(header, 0)) as usize;
        let state = u16::from_le_bytes(array(header, 6));
        Damage::check_bound("the state of an entry", STATE_RETRACTED.into(), state.into())?;
        let Some(payload) = rest.get(..length) else {
            return Err(short(ENTRY_HEADER_BYTES + length));
        };
        Ok(Entry {
            order: WriteOrder::from_u64(u64::from_le_bytes(array(header, 8))),
            flags: u16::from_le_bytes(array(header, 4)),
            retracted: state == STATE_RETRACTED,
            payload,
        })
    }
}

/// Where an entry stands in a table. No two entries of a table share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    pub(super) slot: Slot,
    pub(super) subject: &'a [u8],
    pub(super) predicate: &'a [u8],
    pub(super) timestamp: UnixMicros,
    pub(super) order: WriteOrder,
    pub(super) hash: &'a [u8; ClaimHash::BYTES],
}

impl<'a> Key<'a> {
    /// The key of an entry with this order and payload, and the source that its claim rests on, empty if it has none.
    pub(super) fn of(order: WriteOrder, payload: &'a [u8]) -> Result<(Key<'a>, &'a [u8]), DecodeError> {
        if payload.len() > ASSERTION_BYTES_MAX {
            return Err(DecodeError::TrailingBytes { bytes: payload.len() - ASSERTION_BYTES_MAX });
        }
        let outline = Outline::read(payload)?;
        Ok((Key::new(Slot::of(outline.subject), order, &outline), outline.source))
    }

    /// As [`Self::of`], where the slot is known.
    pub(super) fn in_slot(
        slot: Slot,
        order: WriteOrder,
        payload: &'a [u8],
    ) -> Result<(Key<'a>, &'a [u8]), DecodeError> {
        let outline = Outline::read(payload)?;
        Ok((Key::new(slot, order, &outline), outline.source))
    }

    fn new(slot: Slot, order: WriteOrder, outline: &Outline<'a>) -> Key<'a> {
        let Outline { hash, subject, predicate, timestamp, .. } = *outline;
        Key { slot, subject, predicate, timestamp, order, hash }
    }
}

/// A key that outlives its entry.
#[derive(Debug, Clone)]
pub(super) struct KeyBuffer {
    slot: Slot,
    /// The subject, then the predicate.
    names: Vec<u8>,
    subject_bytes: usize,
    timestamp: UnixMicros,
    order: WriteOrder,
    hash: [u8; ClaimHash::BYTES],
}

impl KeyBuffer {
    /// A copy of `key`.
    pub(super) fn new(key: &Key<'_>) -> KeyBuffer {
        KeyBuffer {
            slot: key.slot,
            names: [key.subject, key.predicate].concat(),
            subject_bytes: key.subject.len(),
            timestamp: key.timestamp,
            order: key.order,
            hash: *key.hash,
        }
    }

    /// Becomes a copy of `key`, in the same memory.
    pub(super) fn set(&mut self, key: &Key<'_>) {
        self.names.clear();
        self.names.extend_from_slice(key.subject);
        self.names.extend_from_slice(key.predicate);
        let names = std::mem::take(&mut self.names);
        *self = KeyBuffer {
            slot: key.slot,
            names,
            subject_bytes: key.subject.len(),
            timestamp: key.timestamp,
            order: key.order,
            hash: *key.hash,
        };
    }

    /// The key, borrowed.
    pub(super) fn key(&self) -> Key<'_> {
        let (subject, predicate) = self.names.split_at(self.subject_bytes);
        Key {
            slot: self.slot,
            subject,
            predicate,
            timestamp: self.timestamp,
            order: self.order,
            hash: &self.hash,
        }
    }
}
