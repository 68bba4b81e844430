//! Minified JSON: kept by its text, checked to be one well-formed value.
//!
//! An answer carries this text as it is, inside its own JSON. So what is not well-formed must not get in.

use super::error::{ClaimError, Field, Problem, check_length_max};
use super::value::Value;
use std::fmt;

/// One JSON value (RFC 8259) of at most 64 KiB without insignificant white space, nested at most 128 deep.
///
/// Strings hold no lone surrogate escapes (RFC 7493, section 2.1). Beyond that the text is kept as it is: the order
/// of keys, repeated keys, escapes and the digits of numbers are the agent's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// How many arrays and objects can be open at once.
    pub const DEPTH_MAX: u32 = u128::BITS;

    /// Checks that `text` is one minified JSON value.
    pub fn new(text: &'a str) -> Result<Json<'a>, ClaimError> {
        check_length_max(text, Value::BYTES_MAX).map_err(|problem| problem.of(Field::Value))?;
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        reader.document().map_err(|reason| {
            let problem = Problem::NotMinifiedJson { reason, offset: reader.at };
            problem.of(Field::Value)
        })?;
        Ok(Json(text))
    }

    /// JSON that [`Json::new`] has accepted before, without the cost of reading it again.
    ///
    /// For what keeps claims in another form and gives them back; debug builds check all the same.
    pub fn from_checked(text: &'a str) -> Json<'a> {
        debug_assert!(Json::new(text).is_ok(), "JSON was checked before");
        Json(text)
    }

    /// The text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// What is wrong, as part of a sentence. Where, is [`Reader::at`].
type Reason = &'static str;

/// What may come next.
enum Next {
    Value,
    /// Behind `[`: a value or `]`.
    FirstElement,
    /// Behind `{`: a key or `}`.
    FirstKey,
    /// Behind `,` in an object.
    Key,
    /// Behind a value: `,` or the end of what is open; at depth 0, the end of the text.
    Separator,
}

/// The arrays and objects that are open: one bit each, 1 for an object, the innermost lowest.
struct Open {
    bits: u128,
    depth: u32,
}

impl Open {
    fn push(&mut self, is_object: bool) -> Result<(), Reason> {
        if self.depth == Json::DEPTH_MAX {
            return Err("nested more than 128 deep");
        }
        self.bits = self.bits << 1 | u128::from(is_object);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
    }

    fn is_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

/// Reads JSON without recursion and without memory of its own.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// RFC 8259, section 2: `JSON-text = ws value ws`; here all `ws` must be empty.
    fn document(&mut self) -> Result<(), Reason> {
        let mut open = Open { bits: 0, depth: 0 };
        let mut next = Next::Value;
        loop {
            next = match next {
                Next::FirstElement if self.skip(b']') => {
                    open.pop();
                    Next::Separator
                }
                Next::Value | Next::FirstElement => self.value(&mut open)?,
                Next::FirstKey if self.skip(b'}') => {
                    open.pop();
                    Next::Separator
                }
                Next::Key | Next::FirstKey => {
                    self.key()?;
                    Next::Value
                }
                Next::Separator if open.depth == 0 => {
                    return if self.at == self.bytes.len() { Ok(()) } else { Err("expected the end") };
                }
                Next::Separator => self.separator(&mut open)?,
            };
        }
    }

    /// The whole of a scalar, or the beginning of an array or object.
    fn value(&mut self, open: &mut Open) -> Result<Next, Reason> {
        match self.peek() {
            Some(b'{') => {
                open.push(true)?;
                self.at += 1;
                return Ok(Next::FirstKey);
            }
            Some(b'[') => {
                open.push(false)?;
                self.at += 1;
                return Ok(Next::FirstElement);
            }
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            _ => return Err("expected a value"),
        }
        Ok(Next::Separator)
    }

    /// What follows a value inside an array or object.
    fn separator(&mut self, open: &mut Open) -> Result<Next, Reason> {
        let is_object = open.is_object();
        if self.skip(b',') {
            return Ok(if is_object { Next::Key } else { Next::Value });
        }
        if self.skip(if is_object { b'}' } else { b']' }) {
            open.pop();
            return Ok(Next::Separator);
        }
        Err(if is_object { "expected ',' or '}'" } else { "expected ',' or ']'" })
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<(), Reason> {
        if self.peek() != Some(b'"') {
            return Err("expected a key");
        }
        self.string()?;
        if self.skip(b':') { Ok(()) } else { Err("expected ':'") }
    }

    /// RFC 8259, section 7. The bytes are known to be UTF-8.
    fn string(&mut self) -> Result<(), Reason> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err("expected the end of a string"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err("unescaped control character"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Reason> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit()? {
                0xd800..=0xdbff => match self.code_unit() {
                    Ok(0xdc00..=0xdfff) => Ok(()),
                    _ => Err("lone surrogate"),
                },
                0xdc00..=0xdfff => Err("lone surrogate"),
                _ => Ok(()),
            },
            _ => Err("unknown escape"),
        }
    }

    /// `\u` and four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u16, Reason> {
        let Some([b'\\', b'u', digits @ ..]) = self.bytes.get(self.at..self.at + 6) else {
            return Err("unfinished escape");
        };
        let mut unit = 0;
        for &digit in digits {
            let value = char::from(digit).to_digit(16).ok_or("unfinished escape")?;
            unit = unit << 4 | value as u16;
        }
        self.at += 6;
        Ok(unit)
    }

    /// RFC 8259, section 6: `[ minus ] int [ frac ] [ exp ]`.
    fn number(&mut self) -> Result<(), Reason> {
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Reason> {
        let begin = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > begin { Ok(()) } else { Err("expected a digit") }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Reason> {
        if !self.bytes[self.at..].starts_with(literal) {
            return Err("expected a value");
        }
        self.at += literal.len();
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over `byte` if it is next.
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minified_json_passes() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "10",
            "-1.50",
            "1e9",
            "1E+9",
            "0.1e-9",
            "18446744073709551616",
            "\"\"",
            "\"a b\\n\\u00e9\\ud83d\\ude00 é\"",
            "[]",
            "{}",
            "[[],{}]",
            "[1,\"a\",null]",
            "{\"a\":{\"b\":[1,2]},\"a\":3}",
            "{\"\":\"\"}",
            "\"\u{7f}\"",
        ] {
            assert_eq!(Json::new(text).map(|json| json.as_str()), Ok(text));
        }
    }

    #[test]
    fn anything_else_does_not() {
        for text in [
            "",
            " ",
            "1 ",
            " 1",
            "[1, 2]",
            "{\"a\": 1}",
            "{\"a\" :1}",
            "[ ]",
            "{ }",
            "\n{}",
            "[1,]",
            "[,1]",
            "[1",
            "[",
            "]",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[1}",
            "{\"a\":1]",
            "01",
            "-",
            "+1",
            "1.",
            ".1",
            "1e",
            "1e+",
            "0x1",
            "--1",
            "1-",
            "nul",
            "nulll",
            "True",
            "NaN",
            "Infinity",
            "'a'",
            "\"",
            "\"\\",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\\ud800\\ud800\"",
            "\"\n\"",
            "\"\0\"",
            "1 2",
            "[]{}",
            "//",
            "\u{feff}1",
        ] {
            let error = Json::new(text).expect_err(text);
            assert!(matches!(error.problem, Problem::NotMinifiedJson { .. }), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(Json::new(&nested(open, close, 128)).is_ok());
            assert!(Json::new(&nested(open, close, 129)).is_err());
        }
        assert!(Json::new(&"[".repeat(64 << 10)).is_err());
        let (mut alternating, mut end) = (String::new(), String::new());
        for _ in 0..64 {
            alternating.push_str("[{\"a\":");
            end.push_str("}]");
        }
        assert!(Json::new(&format!("{alternating}[1]{end}")).is_err());
        assert!(Json::new(&format!("{alternating}1{end}")).is_ok());
    }

    #[test]
    fn the_message_says_where() {
        let message = Json::new("{\"a\": 1}").map_err(|e| e.to_string());
        let expected = "value must be JSON without insignificant white space, expected a value at byte 5";
        assert_eq!(message, Err(expected.to_string()));
    }
}
