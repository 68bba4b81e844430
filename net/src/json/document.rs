//! A JSON text that has been read.

use simd_json::{Node, Tape};

use super::value::Value;

/// A valid JSON text: its values decoded, and where each of them stands in the text.
///
/// The parser leaves two lists: the tape holds one node for each value and each key, in the order of the
/// text; the structurals hold the offset of each `{ } [ ] , :` and of the first byte of each key and scalar.
/// A [`Value`] walks both in step.
pub struct Document<'a> {
    pub(super) body: &'a [u8],
    tape: Tape<'a>,
    pub(super) structurals: &'a [u32],
    /// Where the allocation of the tape goes back to.
    slot: &'a mut Tape<'static>,
}

impl<'a> Document<'a> {
    pub(super) fn new(
        body: &'a [u8],
        tape: Tape<'a>,
        structurals: &'a [u32],
        slot: &'a mut Tape<'static>,
    ) -> Document<'a> {
        assert!(!tape.0.is_empty() && !structurals.is_empty(), "a JSON text holds a value");
        Document { body, tape, structurals, slot }
    }

    /// The value at the top of the text.
    pub fn root(&self) -> Value<'_, 'a> {
        Value::at(self, 0, 0)
    }

    pub(super) fn node(&self, index: usize) -> Node<'a> {
        self.tape.0[index]
    }

    /// The offset in the text of the structural with this index; the length of the text behind the last one.
    pub(super) fn offset(&self, structural: usize) -> usize {
        self.structurals.get(structural).map_or(self.body.len(), |offset| *offset as usize)
    }
}

impl Drop for Document<'_> {
    fn drop(&mut self) {
        *self.slot = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
    }
}
