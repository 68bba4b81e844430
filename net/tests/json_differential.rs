//! The server's reading of JSON against serde_json's: the same texts are accepted, and they mean the same.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use stemedb_net::json::{DEPTH_MAX, JsonError, Kind, Reader, Value, minify};

const BYTES_MAX: usize = 1 << 20;

/// What serde_json says of `body`: `None` where it cannot say, since it refuses a number for its size before it
/// has looked at the rest.
fn accepted_by_serde_json(body: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => {
            // This reading has no range of numbers, and only passes over UTF-8 and surrogates.
            let text = std::str::from_utf8(body).ok()?;
            (!text.contains("\\u")).then(|| serde_json::from_str::<IgnoredAny>(text).is_ok())
        }
        Err(_) => Some(false),
    }
}

fn assert_same_meaning(ours: Value<'_, '_>, theirs: &serde_json::Value) {
    match ours.kind() {
        Kind::Null => assert!(theirs.is_null()),
        Kind::Boolean => assert_eq!(ours.as_bool(), theirs.as_bool()),
        Kind::String => assert_eq!(ours.as_str(), theirs.as_str()),
        Kind::Number => {
            let (ours, theirs) = (ours.as_f64().expect("a number"), theirs.as_f64().expect("a number"));
            // serde_json rounds to one of the two nearest numbers, unless told otherwise when it is built.
            assert!((ours - theirs).abs() <= theirs.abs() * 1e-15, "{ours} {theirs}");
        }
        Kind::Array => {
            let theirs = theirs.as_array().expect("an array");
            let elements = ours.elements().expect("an array");
            assert_eq!(elements.len(), theirs.len());
            elements.zip(theirs).for_each(|(ours, theirs)| assert_same_meaning(ours, theirs));
        }
        Kind::Object => {
            let theirs = theirs.as_object().expect("an object");
            let members: Vec<_> = ours.members().expect("an object").collect();
            for (key, theirs) in theirs {
                // Of a repeated key, serde_json keeps the last.
                let (_, ours) = members.iter().rfind(|(ours, _)| ours == key).expect("the key is there");
                assert_same_meaning(*ours, theirs);
            }
            assert!(members.iter().all(|(key, _)| theirs.contains_key(*key)));
        }
    }
}

/// Every text of a value and its minified form mean what the value means.
fn assert_texts_mean_the_same(value: Value<'_, '_>) {
    let Ok(theirs) = serde_json::from_str::<serde_json::Value>(value.text()) else {
        return; // A number beyond the range of an f64.
    };
    assert_same_meaning(value, &theirs);
    let mut minified = String::new();
    minify(value.text(), &mut minified);
    let of_minified: serde_json::Value = serde_json::from_str(&minified).expect("minified JSON is JSON");
    assert_eq!(of_minified, theirs);
    for (_, member) in value.members().into_iter().flatten() {
        assert_texts_mean_the_same(member);
    }
    value.elements().into_iter().flatten().for_each(assert_texts_mean_the_same);
}

fn check(reader: &mut Reader, body: &[u8]) {
    let shown = String::from_utf8_lossy(body);
    match reader.parse(body) {
        Ok(document) => {
            assert_ne!(accepted_by_serde_json(body), Some(false), "only serde_json refuses {shown:?}");
            assert_texts_mean_the_same(document.root());
        }
        Err(JsonError::TooDeep { .. }) => {
            assert!(body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > DEPTH_MAX, "{shown:?}");
        }
        Err(error) => {
            assert_ne!(
                accepted_by_serde_json(body),
                Some(true),
                "only serde_json accepts {shown:?}: {error}"
            );
        }
    }
}

/// Pieces of JSON, right and nearly right, whose every sequence is a test.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"b\":",
    "\\",
    "\\\"",
    "\\u",
    "\\u00e9",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00",
    "\\n",
    "\\x",
    " ",
    "\t",
    "\n",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{0}",
    "\u{1f}",
    "\u{7f}",
    "\u{a0}",
    "\u{feff}",
    "\u{2028}",
    "é",
    "😀",
    "true",
    "false",
    "null",
    "tru",
    "nulls",
    "0",
    "-0",
    "1",
    "-",
    "+",
    ".",
    "e",
    "E",
    "00",
    "12.5",
    "1e400",
    "-1e-400",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1.5e+10",
    "0.1",
    "[]",
    "{}",
    "[1]",
    "{\"a\":1}",
    "NaN",
    "Infinity",
    "//",
    "/**/",
    "'a'",
];

fn valid_json() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        "[a-z]{0,8}".prop_map(|text| format!("{text:?}")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string is JSON")),
        "(\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-cA-C][0-9a-fA-F]{3}|[ -!#-\\[\\]-~]){0,80}"
            .prop_map(|text| format!("\"{text}\"")),
    ];
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string.clone(),
    ];
    let space = "[ \t\n\r]{0,2}";
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let spaced = (space, inner, space).prop_map(|(before, value, after)| before + &value + &after);
        prop_oneof![
            prop::collection::vec(spaced.clone(), 0..6).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((string.clone(), space, spaced), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(key, space, value)| format!("{key}{space}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_texts_are_accepted_and_mean_the_same(body in valid_json()) {
        let mut reader = Reader::new(BYTES_MAX);
        prop_assert!(reader.parse(body.as_bytes()).is_ok());
        check(&mut reader, body.as_bytes());
    }

    #[test]
    fn damaged_texts_are_judged_alike(
        body in valid_json(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>(), prop::sample::select(PIECES)), 1..4),
    ) {
        let mut body = body.into_bytes();
        for (at, how, byte, piece) in damage {
            let at = at.index(body.len() + 1);
            match how {
                0 => body.truncate(at),
                1 => body.insert(at, byte),
                2 if at < body.len() => body[at] = byte,
                3 if at < body.len() => drop(body.remove(at)),
                _ => drop(body.splice(at..at, piece.bytes())),
            }
        }
        check(&mut Reader::new(BYTES_MAX), &body);
    }

    #[test]
    fn sequences_of_pieces_are_judged_alike(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12)) {
        let mut reader = Reader::new(BYTES_MAX);
        let body = pieces.concat();
        check(&mut reader, body.as_bytes());
        check(&mut reader, format!("[{body}]").as_bytes());
        check(&mut reader, format!("{{\"key\":\"{body}\"}}").as_bytes());
        // The same in the second block of the parser, and across the border of the first.
        check(&mut reader, format!("{}[{body}]", " ".repeat(60)).as_bytes());
    }

    #[test]
    fn a_reader_forgets_what_it_read_before(bodies in prop::collection::vec(valid_json(), 1..5), cut in any::<prop::sample::Index>()) {
        let mut reader = Reader::new(BYTES_MAX);
        for body in &bodies {
            let cut = cut.index(body.len() + 1);
            check(&mut reader, &body.as_bytes()[..cut]);
            check(&mut reader, body.as_bytes());
        }
    }
}

#[test]
fn every_pair_of_pieces_is_judged_alike() {
    let mut reader = Reader::new(BYTES_MAX);
    for first in PIECES {
        for second in PIECES {
            for (before, after) in [("", ""), ("[", "]"), ("\"", "\""), ("{\"a\":", "}"), ("[1,", ",1]")] {
                check(&mut reader, format!("{before}{first}{second}{after}").as_bytes());
            }
        }
    }
}

#[test]
fn every_byte_is_judged_alike_everywhere() {
    let mut reader = Reader::new(BYTES_MAX);
    let bodies = [
        r#"{"a":1,"b":[true,null,"x\n"],"c":-1.5e3}"#,
        r#"["\u00e9\ud83d\ude00",0,false]"#,
        "1",
        "\"\"",
        "[123456789012345678901234567890 ]",
    ];
    for body in bodies {
        for at in 0..=body.len() {
            for byte in 0..=255 {
                let mut changed = body.as_bytes().to_vec();
                changed.insert(at, byte);
                check(&mut reader, &changed);
                if at < body.len() {
                    changed.remove(at + 1);
                    check(&mut reader, &changed);
                }
            }
            check(&mut reader, &body.as_bytes()[..at]);
        }
    }
}
