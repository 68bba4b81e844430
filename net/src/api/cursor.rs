//! Cursors: where the next page of a list begins, as text that clients hand back.
//!
//! A cursor is 98 hexadecimal digits: the version, 1, then the last key of the page before, as timestamp in
//! microseconds and write order, both big-endian, and hash. It stays good over restarts, and with any query.

use stemedb_engine::order::{ListKey, WriteOrder};
use stemedb_engine::time::UnixMicros;

const VERSION: u8 = 1;

/// Appends the cursor of the page after `key`.
pub(super) fn push(out: &mut Vec<u8>, key: &ListKey) {
    let mut bytes = [VERSION; 49];
    bytes[1..9].copy_from_slice(&key.timestamp.0.to_be_bytes());
    bytes[9..17].copy_from_slice(&key.order.as_u64().to_be_bytes());
    bytes[17..].copy_from_slice(&key.hash);
    out.extend_from_slice(hex::encode(bytes).as_bytes());
}

/// The key that a cursor stands for. `None` for a text that no page ended with.
pub(super) fn parse(text: &str) -> Option<ListKey> {
    let mut bytes = [0; 49];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    let [VERSION, key @ ..] = bytes else { return None };
    let (timestamp, key) = key.split_first_chunk()?;
    let (order, hash) = key.split_first_chunk()?;
    let timestamp = UnixMicros(i64::from_be_bytes(*timestamp));
    if timestamp.0 < 0 {
        return None;
    }
    let order = WriteOrder::from_u64(u64::from_be_bytes(*order));
    Some(ListKey { timestamp, order, hash: hash.try_into().expect("49 = 1 + 8 + 8 + 32") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stands_for_its_key() {
        let key = ListKey {
            timestamp: UnixMicros(1_754_000_000_123_456),
            order: WriteOrder::new(3, 77),
            hash: [0xA5; 32],
        };
        let mut text = Vec::new();
        push(&mut text, &key);
        let text = String::from_utf8(text).expect("digits");
        assert_eq!(parse(&text), Some(key));

        let other_version = format!("02{}", &text[2..]);
        let before_1970 = format!("01ff{}", &text[4..]);
        let shorter = &text[..text.len() - 2];
        let odd = &text[1..];
        for wrong in [
            "",
            "x",
            shorter,
            odd,
            &format!("{text}00"),
            &other_version,
            &before_1970,
            &text.replace('a', "g"),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
