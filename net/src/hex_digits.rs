//! Bytes as hexadecimal digits, eight digits at a time.

/// The lower-case digits of four bytes.
pub(crate) fn of_four(bytes: [u8; 4]) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // One nibble a byte, the first of the text in the lowest byte.
    let wide = u64::from(u32::from_be_bytes(bytes));
    let wide = ((wide & 0xFFFF_0000) << 16) | (wide & 0xFFFF);
    let wide = (wide & 0x0000_FF00_0000_FF00) << 8 | (wide & 0x0000_00FF_0000_00FF);
    let nibbles = ((wide & 0x00F0_00F0_00F0_00F0) << 4 | (wide & 0x000F_000F_000F_000F)).swap_bytes();
    // A nibble of ten or more carries into the fifth bit when six is added.
    let letters = (nibbles + 6 * ONES) >> 4 & ONES;
    (nibbles + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_digits_in_each_place() {
        for byte in 0..=255_u8 {
            for place in 0..4 {
                let mut bytes = [0x3C, 0xA5, 0x09, 0xF0];
                bytes[place] = byte;
                assert_eq!(of_four(bytes), hex::encode(bytes).as_bytes());
            }
        }
    }
}
