//! The one function that reads JSON, and the memory it reuses.

use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape};

use super::document::Document;
use super::error::JsonError;

/// How deeply objects and arrays may be nested: `[]` is one deep, `[{}]` two.
pub const DEPTH_MAX: usize = 32;

/// Bodies up to this length leave their memory with the reader; what a longer one needed is given back.
const BODY_BYTES_RETAINED: usize = 64 * 1024;

/// Reads JSON texts one after another with the same memory: once warm, reading a small body allocates nothing.
pub struct Reader {
    bytes_max: usize,
    /// The body with padding behind it, in which the parser decodes strings in place.
    scratch: Vec<u8>,
    /// The same for a body with a number that no f64 holds, its huge numbers replaced.
    scratch_replaced: Vec<u8>,
    buffers: Buffers,
    /// Always empty here: a document borrows the allocation and brings it back.
    tape: Tape<'static>,
    last_body_bytes: usize,
}

impl Reader {
    /// A reader for bodies of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Reader {
        Reader {
            bytes_max,
            scratch: Vec::new(),
            scratch_replaced: Vec::new(),
            buffers: Buffers::with_max_depth(0, DEPTH_MAX),
            tape: Tape(Vec::new()),
            last_body_bytes: 0,
        }
    }

    /// Reads `body` as one JSON text.
    ///
    /// Accepted is what RFC 8259 calls a JSON text, in UTF-8 and without a byte order mark: any value may
    /// stand at the top, any number of the grammar is valid however large, keys may repeat (it is for the
    /// caller to refuse them), and an escape that is half of a surrogate pair is refused.
    ///
    /// The strings of the document live as long as the borrow of `self`, which is longer than the document.
    ///
    /// # Errors
    ///
    /// [`JsonError::TooLarge`] before anything is read; [`JsonError::TooDeep`] as soon as an object or array
    /// opens beyond [`DEPTH_MAX`]; [`JsonError::Syntax`] for everything that is no JSON text.
    pub fn parse<'a>(&'a mut self, body: &'a [u8]) -> Result<Document<'a>, JsonError> {
        if body.len() > self.bytes_max {
            return Err(JsonError::TooLarge { bytes: body.len(), bytes_max: self.bytes_max });
        }
        if self.last_body_bytes > BODY_BYTES_RETAINED && body.len() <= BODY_BYTES_RETAINED {
            *self = Reader::new(self.bytes_max);
        }
        self.last_body_bytes = body.len();

        let Reader { scratch, scratch_replaced, buffers, tape: slot, .. } = self;
        let mut tape = std::mem::replace(slot, Tape(Vec::new())).reset();
        load(scratch, body);
        let mut outcome = simd_json::fill_tape_padded(scratch, body.len(), buffers, &mut tape);
        if outcome.as_ref().is_err_and(|error| *error.error() == ErrorType::InvalidNumber) {
            // The parser refuses a number that no f64 holds. It is valid JSON all the same, and a document
            // takes its numbers from the text, so a stand-in of the same length is good enough here.
            load(scratch_replaced, body);
            replace_huge_numbers(&mut scratch_replaced[..body.len()]);
            outcome = simd_json::fill_tape_padded(scratch_replaced, body.len(), buffers, &mut tape);
        }
        match outcome {
            Ok(()) => Ok(Document::new(body, tape, buffers.structural_indexes(), slot)),
            Err(error) => {
                *slot = tape.reset();
                Err(match error.error() {
                    ErrorType::DepthLimitExceeded => JsonError::TooDeep { depth_max: DEPTH_MAX },
                    _ => JsonError::explain(body, &error),
                })
            }
        }
    }
}

/// Copies `body` into `scratch` with the padding that the parser asks for.
fn load(scratch: &mut Vec<u8>, body: &[u8]) {
    scratch.clear();
    scratch.extend_from_slice(body);
    scratch.resize(body.len() + INPUT_PADDING, b' ');
}

/// Overwrites every number outside strings by a zero and spaces, up to the first that is none by the grammar of
/// RFC 8259, section 6, or is not followed by what may follow one. Thus a text that is wrong stays wrong.
#[cold]
fn replace_huge_numbers(text: &mut [u8]) {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at),
            b'-' | b'0'..=b'9' => {
                let Some(bytes) = number_bytes(&text[at..]) else { return };
                let end = at + bytes;
                if !matches!(text.get(end), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}')) {
                    return;
                }
                text[at] = b'0';
                text[at + 1..end].fill(b' ');
                at = end;
            }
            _ => at += 1,
        }
    }
}

/// The index behind the string that opens at `start`, or the length of a text in which it never closes.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// How many bytes at the start of `text` are a number: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
fn number_bytes(text: &[u8]) -> Option<usize> {
    let digits_from = |start: usize| text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let digits = digits_from(at);
    if digits == 0 || (digits > 1 && text[at] == b'0') {
        return None;
    }
    at += digits;
    if text.get(at) == Some(&b'.') {
        let digits = digits_from(at + 1);
        if digits == 0 {
            return None;
        }
        at += 1 + digits;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let digits = digits_from(at + 1 + sign);
        if digits == 0 {
            return None;
        }
        at += 1 + sign + digits;
    }
    Some(at)
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> JsonError {
        match Reader::new(1 << 20).parse(body.as_bytes()) {
            Ok(_) => panic!("accepted: {body}"),
            Err(error) => error,
        }
    }

    fn accepted(body: &str) {
        if let Err(error) = Reader::new(1 << 20).parse(body.as_bytes()) {
            panic!("{body}: {error}");
        }
    }

    #[test]
    fn size_is_capped_before_anything_is_read() {
        let mut reader = Reader::new(4);
        assert!(reader.parse(b"1234").is_ok());
        assert_eq!(reader.parse(b"{{{{{").err(), Some(JsonError::TooLarge { bytes: 5, bytes_max: 4 }));
    }

    #[test]
    fn depth_is_capped_and_a_bomb_is_only_too_deep() {
        accepted(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)));
        accepted(&format!("{}1{}", r#"{"a":"#.repeat(DEPTH_MAX), "}".repeat(DEPTH_MAX)));
        let too_deep = JsonError::TooDeep { depth_max: DEPTH_MAX };
        assert_eq!(refused(&format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1))), too_deep);
        assert_eq!(refused(&"[".repeat(1 << 20)), too_deep);
        assert_eq!(refused(&r#"{"a":"#.repeat(100_000)), too_deep);
    }

    #[test]
    fn numbers_of_any_size_are_json_and_near_misses_are_not() {
        for number in
            ["1e400", "-1E+999999", "123456789012345678901234567890", "1e-400", "-0", "0.0", "-0.0e-0"]
        {
            accepted(number);
            accepted(&format!("[{number}]"));
            accepted(&format!("{{\"1e400\\\"9\":{number} , \"b\":[ 1e999 ,{number}]}}"));
        }
        let nines = "9".repeat(1000);
        accepted(&nines);
        accepted(&format!("[1e400,-{nines}.{nines}e{nines}]"));
        for not_a_number in [
            "01",
            "-01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e+",
            "-",
            "--1",
            "1e400x",
            "1e400 5",
            "0x1",
            "NaN",
            "Infinity",
            "1e400.5",
            "1_000",
            "1e4e400",
            "1\u{0}",
            "1e400\u{0}",
            "0\u{0}",
        ] {
            refused(not_a_number);
            refused(&format!("[1e400,{not_a_number}]"));
            refused(&format!("[{not_a_number},1e400]"));
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        let message = refused("{\"a\":1,}").to_string();
        assert!(message.starts_with("the body is not valid JSON: "), "{message}");
        assert!(message.ends_with(" at line 1 column 8"), "{message}");
        assert!(refused("").to_string().ends_with(" at line 1 column 0"));
        assert_eq!(
            refused(r#"["\ud800"]"#).to_string(),
            "the body is not valid JSON: a \\u escape is half of a surrogate pair"
        );
        let error = Reader::new(100).parse(b"[\"\xff\"]").err().expect("0xFF is never UTF-8");
        assert_eq!(error.to_string(), "the body is not valid JSON: invalid UTF-8 at byte 2");
    }

    #[test]
    fn memory_is_used_again_whether_a_body_was_right_or_wrong() {
        let mut reader = Reader::new(1 << 20);
        let mut places = Vec::new();
        for _ in 0..3 {
            for body in [r#"{"a":"x\ny","b":[1,2,3]}"#, r#"{"a":"x\ny","b":[1,2,3}"#] {
                drop(reader.parse(body.as_bytes()));
                places.push((reader.scratch.as_ptr(), reader.tape.0.as_ptr(), reader.tape.0.capacity()));
            }
        }
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn memory_of_a_large_body_is_given_back() {
        let mut reader = Reader::new(1 << 20);
        let large = format!("[{}1]", "1,".repeat(500_000));
        drop(reader.parse(large.as_bytes()).expect("a long array"));
        assert!(reader.tape.0.capacity() > 500_000);
        drop(reader.parse(b"[]").expect("an empty array"));
        assert!(reader.tape.0.capacity() < 1000 && reader.scratch.capacity() < 1000);
    }
}
