//! Numbers, times and strings as JSON text.

use stemedb_engine::time::UnixMicros;

use crate::hex_digits;

/// Integers of a magnitude up to this one have one f64 each, and each such f64 is one integer: 2^53.
pub(super) const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// Appends `text` as a JSON string. Only what RFC 8259 section 7 demands is escaped.
pub(super) fn push_json_string(out: &mut Vec<u8>, text: &str) {
    push_json_utf8(out, text.as_bytes());
}

/// As [`push_json_string`], for bytes that are known to be UTF-8.
pub(super) fn push_json_utf8(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    // Most text needs no escape, and to see that is quicker than to look for the first.
    if !needs_escape(rest) {
        out.extend_from_slice(rest);
        out.push(b'"');
        return;
    }
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..=0x1F | b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 0xF)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether a byte of `text` is a control character, a quote or a backslash.
fn needs_escape(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x80 * ONES;
    // Subtracting borrows from the high bit of a byte that is less, if that bit was not set; what is borrowed by a
    // neighbour only shows if that one is less itself.
    let any_less = |word: u64, than: u64| word.wrapping_sub(than * ONES) & !word & HIGH_BITS;
    let in_word = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        let quotes = word ^ (u64::from(b'"') * ONES);
        let backslashes = word ^ (u64::from(b'\\') * ONES);
        any_less(word, 0x20) | any_less(quotes, 1) | any_less(backslashes, 1)
    };
    let (words, _) = text.as_chunks();
    match text.last_chunk() {
        // The last eight bytes overlap those before them.
        Some(last) => words.iter().fold(in_word(last), |found, word| found | in_word(word)) != 0,
        None => text.iter().any(|byte| matches!(byte, 0..=0x1F | b'"' | b'\\')),
    }
}

/// Appends a finite number: the fewest digits that read back as the same f64. Integers have neither fraction nor
/// exponent up to [`EXACT_INTEGER_MAX`] and an exponent beyond, where a request's integer would not be a Number.
pub(super) fn push_number(out: &mut Vec<u8>, number: f64) {
    use std::io::Write;

    assert!(number.is_finite(), "JSON has no text for {number}");
    let magnitude = number.abs();
    if number.trunc() == number && magnitude <= EXACT_INTEGER_MAX as f64 {
        push_integer(out, number as i64);
    } else if let Some(millionths) = as_millionths(magnitude) {
        if number < 0.0 {
            out.push(b'-');
        }
        push_integer(out, millionths / MILLION);
        push_millionths(out, millionths % MILLION);
    } else if (1e-5..EXACT_INTEGER_MAX as f64).contains(&magnitude) {
        write!(out, "{number}").expect("writing to memory does not fail");
    } else {
        write!(out, "{number:e}").expect("writing to memory does not fail");
    }
}

const MILLION: i64 = 1_000_000;

/// The number in millionths, if some whole number of them reads back as it: then, but for zeros at its end, that is the
/// decimal number with the fewest digits that does, since no two decimals of up to 15 digits read back as one f64.
fn as_millionths(magnitude: f64) -> Option<i64> {
    if !(1e-5..1e9).contains(&magnitude) {
        return None;
    }
    let millionths = (magnitude * MILLION as f64 + 0.5) as i64;
    (millionths as f64 / MILLION as f64 == magnitude).then_some(millionths)
}

/// Appends an integer.
pub(super) fn push_integer(out: &mut Vec<u8>, integer: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

/// Appends `true` or `false`.
pub(super) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends an integer that is not negative.
pub(super) fn push_count(out: &mut Vec<u8>, count: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
}

/// Appends a hash or a key as lower-case hexadecimal digits in quotes.
pub(super) fn push_hex_string(out: &mut Vec<u8>, bytes: &[u8; 32]) {
    let mut digits = [0; 64];
    for (digits, bytes) in digits.as_chunks_mut().0.iter_mut().zip(bytes.as_chunks().0) {
        *digits = hex_digits::of_four(*bytes);
    }
    out.push(b'"');
    out.extend_from_slice(&digits);
    out.push(b'"');
}

/// Appends a time, not before 1970, as Unix seconds: an integer when it is one, else with up to six decimals.
pub(super) fn push_seconds(out: &mut Vec<u8>, time: UnixMicros) {
    assert!(time.0 >= 0, "{} µs is before 1970", time.0);
    push_integer(out, time.0 / UnixMicros::PER_SECOND);
    push_millionths(out, time.0 % UnixMicros::PER_SECOND);
}

/// Appends a point and up to six decimals; nothing for none.
fn push_millionths(out: &mut Vec<u8>, mut micros: i64) {
    if micros == 0 {
        return;
    }
    let mut decimals = *b".000000";
    for digit in decimals[1..].iter_mut().rev() {
        *digit += (micros % 10) as u8;
        micros /= 10;
    }
    let last = decimals.iter().rposition(|digit| *digit != b'0').expect("the point is no zero");
    out.extend_from_slice(&decimals[..=last]);
}

/// Reads a number of JSON's grammar as Unix seconds, to the nearest microsecond; what is beyond the range of
/// [`UnixMicros`] becomes its last or first.
///
/// Exact for decimals, which an f64 is not for times after 2106.
pub(super) fn seconds(text: &str) -> UnixMicros {
    exact_seconds(text).unwrap_or_else(|| {
        let seconds: f64 = text.parse().expect("Rust's grammar of floats includes that of JSON numbers");
        UnixMicros((seconds * UnixMicros::PER_SECOND as f64).round() as i64)
    })
}

/// Reads a number without an exponent. `None` where there is one, or where the number is out of range.
fn exact_seconds(text: &str) -> Option<UnixMicros> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => (-1, magnitude),
        None => (1, text),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let whole: i64 = whole.parse().ok()?;
    let mut micros = 0;
    let digits = fraction.bytes().chain(std::iter::repeat(b'0'));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    for digit in digits.clone().take(6) {
        micros = micros * 10 + i64::from(digit - b'0');
    }
    if digits.clone().nth(6).is_some_and(|digit| digit >= b'5') {
        micros += 1;
    }
    let micros = whole.checked_mul(UnixMicros::PER_SECOND)?.checked_add(micros)?;
    Some(UnixMicros(sign * micros))
}

/// Whether `text` is a number of JSON's grammar (RFC 8259, section 6).
pub(super) fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (magnitude, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn numbers_have_the_fewest_digits() {
        let cases = [
            (0.0, "0"),
            (96.7, "96.7"),
            (-5.0, "-5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (9_007_199_254_740_994.0, "9.007199254740994e15"),
            (1e300, "1e300"),
            (-2.5e-7, "-2.5e-7"),
            (0.00001, "0.00001"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(|out| push_number(out, number)), expected);
        }
    }

    #[test]
    fn short_decimals_are_written_as_any_other_number() {
        let mut numbers =
            vec![1e-5, 1.5e-5, 0.000_001, 0.999_999_5, 999_999_999.999_999, 1e9 + 0.5, 1e15 + 0.5];
        for decimals in 1..=9 {
            for whole in [0, 1, 7, 95, 1_234_567, 99_999_999, 123_456_789_012_345_i64] {
                numbers.push(whole as f64 / 10_f64.powi(decimals));
            }
        }
        let neighbours = |number: &f64| [number.next_down(), *number, number.next_up()];
        for number in numbers.iter().flat_map(neighbours).flat_map(|number| [number, -number]) {
            if number.trunc() != number && number.abs() >= 1e-5 {
                assert_eq!(text(|out| push_number(out, number)), number.to_string());
            }
        }
    }

    #[test]
    fn one_byte_to_escape_is_seen_at_any_place() {
        for length in 0..40 {
            let plain = vec![b'a'; length];
            assert!(!needs_escape(&plain));
            for place in 0..length {
                for byte in 0..=255_u8 {
                    let mut text = plain.clone();
                    text[place] = byte;
                    let escaped = matches!(byte, 0..=0x1F | b'"' | b'\\');
                    assert_eq!(needs_escape(&text), escaped, "{byte:#04x} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn times_are_integers_or_have_up_to_six_decimals() {
        let cases = [
            (0, "0"),
            (1_754_000_000_000_000, "1754000000"),
            (1_754_000_000_500_000, "1754000000.5"),
            (1_754_000_000_123_456, "1754000000.123456"),
            (1, "0.000001"),
            (10, "0.00001"),
        ];
        for (micros, expected) in cases {
            assert_eq!(text(|out| push_seconds(out, UnixMicros(micros))), expected);
        }
    }

    #[test]
    fn seconds_are_read_exactly_and_rounded_to_the_nearest_microsecond() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("-1.5", -1_500_000),
            ("1754000000", 1_754_000_000_000_000),
            ("1754000000.1234564999", 1_754_000_000_123_456),
            ("1754000000.1234565", 1_754_000_000_123_457),
            ("0.9999999", 1_000_000),
            ("9223372036854.775807", i64::MAX),
            ("9223372036854.775808", i64::MAX),
            ("9223372036855", i64::MAX),
            ("1754e6", 1_754_000_000_000_000),
            ("1.5E+0", 1_500_000),
            ("1.5e-3", 1_500),
            ("1e400", i64::MAX),
            ("-1e400", i64::MIN),
            ("1e-400", 0),
            ("99999999999999999999999999", i64::MAX),
        ];
        for (text, micros) in cases {
            assert!(is_json_number(text), "{text}");
            assert_eq!(seconds(text), UnixMicros(micros), "{text}");
        }
    }

    #[test]
    fn strings_escape_what_they_must() {
        assert_eq!(
            text(|out| push_json_string(out, "a\"\\/\n\r\t\u{0}\u{1f}\u{7f}é😀")),
            "\"a\\\"\\\\/\\n\\r\\t\\u0000\\u001f\u{7f}é😀\""
        );
    }

    #[test]
    fn numbers_are_those_of_json() {
        for number in ["0", "-0", "10", "1.5", "1e5", "1E+5", "-1.25e-10", "0.0"] {
            assert!(is_json_number(number), "{number}");
        }
        for other in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1e+-5", "inf", "nan", "0x1", " 1", "1 ", "1_0",
            "1.5.5",
        ] {
            assert!(!is_json_number(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(number in any::<f64>().prop_filter("finite", |n| n.is_finite()), micros in 0..=i64::MAX, string in any::<String>()) {
            let written = text(|out| push_number(out, number));
            prop_assert!(is_json_number(&written));
            prop_assert_eq!(written.parse::<f64>().unwrap(), number);
            prop_assert_eq!(seconds(&text(|out| push_seconds(out, UnixMicros(micros)))), UnixMicros(micros));
            let written = text(|out| push_json_string(out, &string));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), string);
        }

        #[test]
        fn numbers_of_json_are_those_that_serde_json_reads(text in "-?[0-9.eE+-]{0,8}") {
            prop_assert_eq!(is_json_number(&text), serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        }
    }
}
