//! Bodies that are no JSON, or not the JSON that was asked for.

use stemedb_tests::claims::TestClaim;
use stemedb_tests::http;

use crate::Watched;
use crate::watched::claim_with;

const HEX_64: &str = "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";

#[test]
fn a_body_cut_anywhere_is_no_json() {
    let mut watched = Watched::start();
    let body = claim_with("metadata", r#"{"a":[1,-2.5e3,true,null,"é\u00e9"]}"#);
    for end in 0..body.len() {
        let cut = &body.as_bytes()[..end];
        watched.refuses("/v1/assert", cut, 400, "invalid_json");
        watched.refuses("/v1/query", cut, 400, "invalid_json");
    }
    watched.takes("/v1/assert", body, 1);
    watched.stop();
}

#[test]
fn what_is_no_json_is_told_so() {
    let mut watched = Watched::start();
    let wrong: [&[u8]; 22] = [
        b"{}x",
        b"{} {}",
        b"{\"a\":1,}",
        b"[1,]",
        b"{'a':1}",
        b"{a:1}",
        b"{\"a\" 1}",
        b"// comment\n{}",
        b"nul",
        b"+1",
        b"01",
        b"1.",
        b"0x10",
        b"\"tab\tin string\"",
        b"\"\\x41\"",
        b"\"\\ud800\"",
        b"\"\\udc00\\ud800\"",
        b"\xef\xbb\xbf{}",
        b"\"\xff\"",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"{\"concept_path\":\"a\xe2\x82\",\"predicate\":\"p\",\"value\":1}",
    ];
    for body in wrong {
        for target in ["/v1/assert", "/v1/query", "/v1/retract"] {
            watched.refuses(target, body, 400, "invalid_json");
        }
    }
    for number in ["NaN", "Infinity", "-Infinity", "nan", "inf", "1e", "--1", ".5", "1_000"] {
        for field in ["value", "confidence", "timestamp", "metadata"] {
            watched.refuses("/v1/assert", claim_with(field, number), 400, "invalid_json");
        }
    }
    for body in ["1", "\"text\"", "true", "null", "[]", "[{}]"] {
        for target in ["/v1/assert", "/v1/query", "/v1/retract"] {
            watched.refuses(target, body, 400, "not_an_object");
        }
    }
    watched.stop();
}

#[test]
fn a_bomb_of_depth_is_only_too_deep() {
    let mut watched = Watched::start();
    let bombs = [
        "[".repeat(1 << 20),
        "{\"a\":".repeat(100_000),
        "[{\"a\":".repeat(100_000),
        format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)),
        claim_with("value", &format!("{}{}", "[".repeat(32), "]".repeat(32))),
        claim_with("metadata", &format!("{}1{}", "{\"a\":".repeat(32), "}".repeat(32))),
    ];
    for bomb in bombs {
        for target in ["/v1/assert", "/v1/query", "/v1/retract"] {
            watched.refuses(target, &bomb, 400, "json_too_deep");
        }
    }
    watched.takes("/v1/assert", claim_with("value", &format!("{}{}", "[".repeat(31), "]".repeat(31))), 1);
    watched.takes(
        "/v1/assert",
        claim_with("metadata", &format!("{}1{}", "{\"a\":".repeat(31), "}".repeat(31))),
        1,
    );
    watched.stop();
}

#[test]
fn each_field_of_a_claim_has_its_own_error() {
    let mut watched = Watched::start();
    let wrong: [(&str, &str, &[&str]); 15] = [
        (
            "concept_path",
            "invalid_concept_path",
            &[
                "1",
                "null",
                "true",
                "[]",
                "{}",
                "\"\"",
                r#""a\u0000b""#,
                r#""a\nb""#,
                r#""\u007f""#,
                r#""\u0085""#,
            ],
        ),
        ("predicate", "invalid_predicate", &["1", "null", "[]", "{}", "\"\"", r#""\u0000""#, r#""\t""#]),
        (
            "value",
            "invalid_value",
            &[
                r#"{"Number":"1"}"#,
                r#"{"Text":1}"#,
                r#"{"Boolean":0}"#,
                r#"{"Reference":""}"#,
                r#"{"type":"Number","value":"1"}"#,
                r#"{"type":"Boolean","value":null}"#,
                r#"{"type":"Reference","value":"a\u0000"}"#,
            ],
        ),
        (
            "confidence",
            "invalid_confidence",
            &["\"1\"", "true", "[]", "-0.1", "1.0000001", "1e999", "-1e999", "2"],
        ),
        ("timestamp", "invalid_timestamp", &["\"now\"", "true", "[]", "-1", "-1e999"]),
        ("timestamp", "timestamp_in_future", &["99999999999", "1e999", "1e300"]),
        ("source", "invalid_source", &["1", "\"\"", "[]", r#""a\u0001""#]),
        ("source_class", "invalid_source_class", &["6", "-1", "1.5", "\"none\"", "\"\"", "[]", "true"]),
        ("lifecycle", "invalid_lifecycle", &["\"any\"", "\"Approved\"", "\"\"", "1", "{}"]),
        ("parent_hash", "invalid_parent_hash", &["1", "\"\"", "\"00\"", "[]"]),
        ("derived_from", "invalid_derived_from", &["1", "\"\"", "{}", "[1]", "[null]", "[\"00\"]"]),
        ("epoch", "invalid_epoch", &["1", "\"\"", "[]", r#""\u0000""#]),
        ("agent_id", "invalid_agent_id", &["1", "\"me\"", "\"\"", "[]"]),
        ("source_hash", "invalid_source_hash", &["1", "\"00\"", "{}"]),
        ("metadata", "invalid_metadata", &["1", "\"a\"", "[]", "true"]),
    ];
    for (field, code, values) in wrong {
        for value in values {
            let response = watched.refuses("/v1/assert", claim_with(field, value), 400, code);
            assert_eq!(response.json()["error"]["field"], field, "{value}");
        }
    }
    for (alias, code) in [("subject", "invalid_concept_path"), ("object", "invalid_value")] {
        let body = match alias {
            "subject" => r#"{"subject":"","predicate":"p","value":1}"#,
            _ => r#"{"concept_path":"a","predicate":"p","object":{"Text":1}}"#,
        };
        let response = watched.refuses("/v1/assert", body, 400, code);
        assert_eq!(response.json()["error"]["field"], alias, "an error speaks the client's language");
    }
    for body in [
        r#"{"predicate":"p","value":1}"#,
        r#"{"concept_path":"a","value":1}"#,
        r#"{"concept_path":"a","predicate":"p"}"#,
        "{}",
    ] {
        watched.refuses("/v1/assert", body, 400, "missing_field");
    }
    for body in [
        claim_with("subject", "\"bad/input\""),
        claim_with("object", "1"),
        r#"{"concept_path":"a","concept_path":"a","predicate":"p","value":1}"#.to_owned(),
        r#"{"concept_path":"a","predicate":"p","value":1,"v\u0061lue":1}"#.to_owned(),
    ] {
        watched.refuses("/v1/assert", body, 400, "duplicate_field");
    }
    for field in ["confidense", "Value", "", "__proto__", "hash", "status"] {
        watched.refuses("/v1/assert", claim_with(field, "1"), 400, "unknown_field");
    }
    watched.stop();
}

#[test]
fn a_hash_is_64_digits_and_nothing_else() {
    let mut watched = Watched::start();
    let digits = HEX_64.trim_matches('"');
    let wrong = [
        digits[1..].to_owned(),
        format!("{digits}0"),
        format!("g{}", &digits[1..]),
        format!(" {}", &digits[1..]),
        format!("0x{}", &digits[2..]),
        format!("é{}", &digits[2..]),
        "é".repeat(32),
        "é".repeat(64),
    ];
    for text in wrong {
        for (field, code) in [
            ("parent_hash", "invalid_parent_hash"),
            ("source_hash", "invalid_source_hash"),
            ("agent_id", "invalid_agent_id"),
        ] {
            watched.refuses("/v1/assert", claim_with(field, &format!("\"{text}\"")), 400, code);
        }
        watched.refuses(
            "/v1/assert",
            claim_with("derived_from", &format!("[{HEX_64},\"{text}\"]")),
            400,
            "invalid_derived_from",
        );
        if text.is_ascii() && !text.contains(' ') {
            let request = http::request("GET", &format!("/v1/assertion/{text}"), b"");
            watched.refuses_request(&request, 400, "invalid_hash");
        }
    }
    let request = http::request("GET", &format!("/v1/assertion/{digits}"), b"");
    watched.refuses_request(&request, 404, "assertion_not_found");
    for (number, field) in ["parent_hash", "source_hash", "agent_id"].into_iter().enumerate() {
        watched.takes("/v1/assert", claim_with(field, &HEX_64.to_uppercase()), 1);
        let lower = watched.takes("/v1/assert", claim_with(field, HEX_64), 1);
        assert_eq!(lower["status"], "created", "{number}: without a timestamp each is a claim of its own");
    }
    watched.stop();
}

#[test]
fn a_wrong_query_is_refused_whether_in_a_body_or_in_the_url() {
    let mut watched = Watched::start();
    let wrong = [
        ("limit", "0", "invalid_limit"),
        ("limit", "-1", "invalid_limit"),
        ("limit", "1.5", "invalid_limit"),
        ("limit", "10001", "invalid_limit"),
        ("limit", "1e999", "invalid_limit"),
        ("limit", "99999999999999999999999", "invalid_limit"),
        ("cursor", "\"\"", "invalid_cursor"),
        ("cursor", "\"abc\"", "invalid_cursor"),
        ("lens", "\"none\"", "unknown_lens"),
        ("lens", "\"\"", "unknown_lens"),
        ("as_of", "-1", "invalid_as_of"),
        ("as_of", "\"now\"", "invalid_as_of"),
        ("lifecycle", "\"all\"", "invalid_lifecycle"),
        ("epoch", "\"\"", "invalid_epoch"),
        ("source_class", "6", "invalid_source_class"),
        ("min_confidence", "1.1", "invalid_min_confidence"),
        ("min_confidence", "\"x\"", "invalid_min_confidence"),
        ("include_retracted", "\"yes\"", "invalid_include_retracted"),
        ("include_retracted", "1", "invalid_include_retracted"),
        ("decay", "\"\"", "invalid_decay"),
        ("predicate", "\"\"", "invalid_predicate"),
        ("offset", "1", "unknown_field"),
        ("then", "\"recency\"", "unknown_field"),
    ];
    for (field, value, code) in wrong {
        let body = format!("{{\"concept_path\":\"a\",\"{field}\":{value}}}");
        watched.refuses("/v1/query", body, 400, code);
        let target = format!("/v1/query?concept_path=a&{field}={}", value.trim_matches('"'));
        watched.refuses_request(&http::request("GET", &target, b""), 400, code);
    }
    for lens in
        ["authority", "trust_aware_authority", "tier_authority", "vote_aware_consensus", "epoch_aware"]
    {
        let body = format!("{{\"concept_path\":\"a\",\"lens\":\"{lens}\"}}");
        watched.refuses("/v1/query", body, 501, "lens_not_implemented");
    }
    for target in ["/v1/query", "/v1/query?", "/v1/query?limit=5", "/v1/query?concept_path"] {
        let code = if target.ends_with("concept_path") { "invalid_concept_path" } else { "missing_field" };
        watched.refuses_request(&http::request("GET", target, b""), 400, code);
    }
    for target in ["/v1/query?concept_path=a&concept_path=a", "/v1/query?concept_path=a&subject=a"] {
        watched.refuses_request(&http::request("GET", target, b""), 400, "duplicate_field");
    }
    watched.refuses_request(
        &http::request("GET", "/v1/query?concept_path=a%00b", b""),
        400,
        "invalid_concept_path",
    );
    watched.stop();
}

#[test]
fn a_wrong_retraction_retracts_nothing() {
    let mut watched = Watched::start();
    watched.takes("/v1/assert", TestClaim::new("keep/me", "is", 1).json(), 1);
    for (body, status, code) in [
        (r#"{"concept_path":"keep/me"}"#, 400, "missing_field"),
        (r#"{"reason":"r"}"#, 400, "missing_field"),
        (r#"{"concept_path":"keep/me","reason":""}"#, 400, "invalid_reason"),
        (r#"{"concept_path":"keep/me","reason":" \t\n"}"#, 400, "invalid_reason"),
        (r#"{"concept_path":"keep/me","reason":5}"#, 400, "invalid_reason"),
        (r#"{"concept_path":"","reason":"r"}"#, 400, "invalid_concept_path"),
        (r#"{"concept_path":"keep/me","reason":"r","cascade":"no"}"#, 400, "invalid_cascade"),
        (r#"{"concept_path":"keep/me","reason":"r","cascade":true}"#, 501, "cascade_not_implemented"),
        (r#"{"concept_path":"keep/me","reason":"r","force":true}"#, 400, "unknown_field"),
        (r#"{"concept_path":"keep/me","subject":"keep/me","reason":"r"}"#, 400, "duplicate_field"),
    ] {
        watched.refuses("/v1/retract", body, status, code);
    }
    let found = watched.takes("/v1/query", r#"{"concept_path":"keep/me"}"#, 0);
    assert_eq!(found["count"], 1);
    watched.stop();
}

#[test]
fn an_agent_in_the_header_is_checked() {
    let mut watched = Watched::start();
    let body = claim_with("timestamp", "1");
    for value in ["", "a b", "é", &"a".repeat(129)] {
        for target in ["/v1/assert", "/v1/assert/batch"] {
            let fields = format!("X-Agent-Id: {value}\r\n");
            let request = http::request_with("POST", target, &fields, body.as_bytes());
            watched.refuses_request(&request, 400, "invalid_agent_id");
        }
    }
    watched.stop();
}
