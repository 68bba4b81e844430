//! As much of HPACK (RFC 7541) as one request with fixed fields and the check of a status take.
//!
//! The table of what was sent before is kept empty by a setting, so blocks can be read for themselves. Strings that are
//! Huffman-coded are compared in that form, not decoded.

use thiserror::Error;

/// The entry of the static table that is `:status: 200`.
const STATUS_200: u64 = 8;

/// The last entry of the static table.
const STATIC_MAX: u64 = 61;

/// `grpc-status`, Huffman-coded.
const GRPC_STATUS_HUFFMAN: &[u8] = b"\x9a\xca\xc8\xb2\x12\x34\xda\x8f";

/// What a block of fields says of the success of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Statuses<'a> {
    /// `:status` is 200.
    pub(super) is_ok: bool,
    /// The value of `grpc-status`.
    pub(super) grpc: Option<&'a [u8]>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum HpackError {
    #[error("a block of HTTP/2 fields ends in the middle of one")]
    Truncated,
    #[error("a block of HTTP/2 fields refers to entry {0}, which is not there")]
    Index(u64),
    #[error("a number in a block of HTTP/2 fields is too large")]
    Overflow,
    #[error("the grpc-status is Huffman-coded, though that makes it no shorter")]
    CodedStatus,
}

/// A name or value as it stands in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Text<'a> {
    is_huffman: bool,
    bytes: &'a [u8],
}

/// Appends a field whose name is in the static table.
pub(super) fn field_indexed(out: &mut Vec<u8>, name: u8, value: &str) {
    // Section 6.2.2: without indexing, the name's number in four bits and more.
    match name {
        0..15 => out.push(name),
        _ => out.extend_from_slice(&[15, name - 15]),
    }
    string(out, value);
}

/// Appends a field whose name is not in the static table.
pub(super) fn field_named(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0);
    string(out, name);
    string(out, value);
}

/// Reads a block for what it says of success.
pub(super) fn statuses(block: &[u8]) -> Result<Statuses<'_>, HpackError> {
    let mut statuses = Statuses::default();
    let mut rest = block;
    while let Some(first) = rest.first().copied() {
        // Section 6: what a field's first bits say of its form.
        let (prefix_bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => {
                // A change of the size of the table, which stays empty.
                integer(&mut rest, 5)?;
                continue;
            }
            _ => (4, true),
        };
        let index = integer(&mut rest, prefix_bits)?;
        if index > STATIC_MAX || (index == 0 && !is_literal) {
            return Err(HpackError::Index(index));
        }
        if !is_literal {
            statuses.is_ok |= index == STATUS_200;
            continue;
        }
        let name = if index == 0 { Some(text(&mut rest)?) } else { None };
        let value = text(&mut rest)?;
        if name.is_some_and(is_grpc_status) {
            if value.is_huffman {
                return Err(HpackError::CodedStatus);
            }
            statuses.grpc = Some(value.bytes);
        }
    }
    Ok(statuses)
}

fn is_grpc_status(name: Text<'_>) -> bool {
    name.bytes == if name.is_huffman { GRPC_STATUS_HUFFMAN } else { b"grpc-status" }
}

/// Section 5.1: a number that begins in the low bits of a byte.
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Result<u64, HpackError> {
    let prefix_max = (1u64 << prefix_bits) - 1;
    let mut value = u64::from(take(rest)?) & prefix_max;
    if value < prefix_max {
        return Ok(value);
    }
    for shift in (0..=28).step_by(7) {
        let byte = take(rest)?;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackError::Overflow)
}

/// Section 5.2: a string.
fn text<'a>(rest: &mut &'a [u8]) -> Result<Text<'a>, HpackError> {
    let is_huffman = rest.first().ok_or(HpackError::Truncated)? & 0x80 != 0;
    let length = integer(rest, 7)? as usize;
    let (bytes, after) = rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = after;
    Ok(Text { is_huffman, bytes })
}

fn take(rest: &mut &[u8]) -> Result<u8, HpackError> {
    let (first, after) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = after;
    Ok(*first)
}

/// Appends a string as it is.
fn string(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127, "the length fits its byte");
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_head_and_of_trailers() {
        // From etcd: the table's new size, :status: 200, content-type: application/grpc.
        let head = b"\x20\x88\x0f\x10\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64";
        assert_eq!(statuses(head), Ok(Statuses { is_ok: true, grpc: None }));
        // grpc-status: 0, grpc-message: (nothing), both names Huffman-coded.
        let trailers =
            b"\0\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x01\x30\0\x89\x9a\xca\xc8\xb5\x25\x42\x07\x31\x7f\0";
        assert_eq!(statuses(trailers), Ok(Statuses { is_ok: false, grpc: Some(b"0") }));
    }

    #[test]
    fn what_this_writes_it_reads() {
        let mut block = vec![0x88];
        field_indexed(&mut block, 31, "application/grpc");
        field_named(&mut block, "grpc-status", "14");
        assert_eq!(&block[1..4], [0x0f, 0x10, 16], "RFC 7541, 5.1: 31 in four bits and more");
        assert_eq!(statuses(&block), Ok(Statuses { is_ok: true, grpc: Some(b"14") }));
    }

    #[test]
    fn a_block_that_cannot_be_read_is_refused() {
        assert_eq!(statuses(b"\xbe"), Err(HpackError::Index(62)));
        assert_eq!(statuses(b"\x80"), Err(HpackError::Index(0)));
        assert_eq!(statuses(b"\0\x03ab"), Err(HpackError::Truncated));
        assert_eq!(statuses(b"\xff\xff\xff\xff\xff\xff\xff"), Err(HpackError::Overflow));
        assert_eq!(statuses(b"\0\x0bgrpc-status\x81\x07"), Err(HpackError::CodedStatus));
    }
}
