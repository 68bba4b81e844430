//! Claims as clients send them, and the claims that they are read as.

use ed25519_dalek::{Signer, SigningKey};
use stemedb_engine::claim::{
    Agent, AgentName, Assertion, Claim, ClaimHash, ClaimSignature, ConceptPath, Confidence, Lifecycle,
    Predicate, SourceClass, Timestamp, Value, ValueType, signature,
};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{AssertContext, ClaimReader, ErrorCode, agent_of_header};

const NOW: UnixMicros = UnixMicros(1_754_000_000_250_000);
const CONTEXT: AssertContext<'static> = AssertContext { now: NOW, future_us_max: 300_000_000, agent: None };

/// Reads `body` and hands the claim to `check`.
fn with_claim<T>(body: &str, check: impl FnOnce(&Claim<'_>) -> T) -> T {
    let mut reader = ClaimReader::new(1 << 20);
    match reader.read(body.as_bytes(), &CONTEXT) {
        Ok(request) => check(&request.claim),
        Err(error) => panic!("{body}: {error}"),
    }
}

fn refused(body: &str) -> (ErrorCode, Option<String>, String) {
    match ClaimReader::new(1 << 20).read(body.as_bytes(), &CONTEXT) {
        Ok(request) => panic!("{body}: read as {request:?}"),
        Err(error) => (error.code, error.field.map(String::from), error.message.into_owned()),
    }
}

/// A claim with this value.
fn valued(value: &str) -> String {
    format!(r#"{{"subject":"a","predicate":"p","object":{value}}}"#)
}

/// A claim with this further member.
fn with_member(member: &str) -> String {
    format!(r#"{{"concept_path":"a/b","predicate":"p","value":1,{member}}}"#)
}

fn value_of(json: &str) -> (ValueType, String) {
    with_claim(&valued(json), |claim| {
        let text = match claim.value {
            Value::Text(text) => text.as_str().to_owned(),
            Value::Number(number) => number.value().to_string(),
            Value::Boolean(boolean) => boolean.to_string(),
            Value::Reference(path) => path.as_str().to_owned(),
            Value::Json(json) => json.as_str().to_owned(),
        };
        (claim.value.value_type(), text)
    })
}

#[test]
fn both_vocabularies_say_the_same_claim() {
    let operators = r#"{"concept_path":"test/x","predicate":"restored","value":true,"confidence":0.95}"#;
    let agents = r#"{"subject":"test/x","predicate":"restored","object":true,"confidence":0.95}"#;
    let mixed = r#"{"object":true,"confidence":0.95,"predicate":"restored","concept_path":"test/x"}"#;
    let mut hashes = Vec::new();
    for body in [operators, agents, mixed] {
        let mut record = Vec::new();
        let mut reader = ClaimReader::new(1 << 20);
        let request = reader.read(body.as_bytes(), &CONTEXT).expect("a claim");
        hashes.push(request.encode(&mut record).expect("no signatures"));
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[test]
fn what_is_not_given_has_its_default() {
    let body = r#"{"concept_path":"a/b","predicate":"p","value":"v"}"#;
    let mut expected = Claim::new(
        ConceptPath::new("a/b").expect("a path"),
        Predicate::new("p").expect("a predicate"),
        Value::text("v").expect("a text"),
        Timestamp::new(NOW).expect("past 1970"),
    );
    expected.confidence = Confidence::CERTAIN;
    expected.lifecycle = Lifecycle::Approved;
    expected.source_class = SourceClass::Expert;
    with_claim(body, |claim| assert_eq!(*claim, expected));

    let mut reader = ClaimReader::new(1 << 20);
    assert!(!reader.read(body.as_bytes(), &CONTEXT).expect("a claim").timestamp_given);
    let body = with_member(r#""timestamp":1754000000"#);
    assert!(reader.read(body.as_bytes(), &CONTEXT).expect("a claim").timestamp_given);
}

#[test]
fn the_scheme_of_a_subject_sets_the_class_unless_one_is_given() {
    for (subject, class) in [
        ("rfc://7519", SourceClass::Regulatory),
        ("pubmed://1", SourceClass::Clinical),
        ("community://x", SourceClass::Community),
        ("anon://x", SourceClass::Anecdotal),
        ("rfc/7519", SourceClass::Expert),
    ] {
        let body = format!(r#"{{"subject":"{subject}","predicate":"p","object":1}}"#);
        assert_eq!(with_claim(&body, |claim| claim.source_class), class);
        let body =
            format!(r#"{{"subject":"{subject}","predicate":"p","object":1,"source_class":"clinical"}}"#);
        assert_eq!(with_claim(&body, |claim| claim.source_class), SourceClass::Clinical);
        let body = format!(r#"{{"subject":"{subject}","predicate":"p","object":1,"source_class":5}}"#);
        assert_eq!(with_claim(&body, |claim| claim.source_class), SourceClass::Anecdotal);
    }
}

#[test]
fn every_field_arrives() {
    let hash = "0123456789abcdefABCDEF".to_owned() + &"0".repeat(42);
    let body = format!(
        r#"{{"subject":"a/b","predicate":"p","object":"v","confidence":0.5,"timestamp":1753999999.5,
            "source":"source/fda","source_class":"observational","lifecycle":"under_review",
            "parent_hash":"{hash}","derived_from":["{hash}","{hash}"],"epoch":"e1","agent_id":"{hash}",
            "source_hash":"{hash}","metadata":{{ "k" : [1, 2] }}}}"#
    );
    let bytes: [u8; 32] = hex::decode(&hash).expect("digits").try_into().expect("64 digits");
    with_claim(&body, |claim| {
        assert_eq!(claim.confidence.value(), 0.5);
        assert_eq!(claim.timestamp.unix_micros(), UnixMicros(1_753_999_999_500_000));
        assert_eq!(claim.source.map(|source| source.as_str()), Some("source/fda"));
        assert_eq!(claim.source_class, SourceClass::Observational);
        assert_eq!(claim.lifecycle, Lifecycle::UnderReview);
        assert_eq!(claim.parent, Some(ClaimHash(bytes)));
        assert_eq!(*claim.derived_from, [ClaimHash(bytes), ClaimHash(bytes)]);
        assert_eq!(claim.epoch.map(|epoch| epoch.as_str()), Some("e1"));
        assert_eq!(claim.agent, Some(Agent::Key(bytes)));
        assert_eq!(claim.source_hash, Some(bytes));
        assert_eq!(claim.metadata.map(|metadata| metadata.as_str()), Some(r#"{"k":[1,2]}"#));
    });
}

#[test]
fn null_is_as_good_as_absent_but_for_the_value() {
    let optional = [
        "confidence",
        "timestamp",
        "source",
        "source_class",
        "lifecycle",
        "parent_hash",
        "derived_from",
        "epoch",
        "agent_id",
        "signatures",
        "source_hash",
        "metadata",
    ];
    let nulls: Vec<_> = optional.iter().map(|name| format!("\"{name}\":null")).collect();
    let bare = r#"{"concept_path":"a/b","predicate":"p","value":1}"#;
    with_claim(bare, |expected| {
        with_claim(&with_member(&nulls.join(",")), |claim| assert_eq!(claim, expected));
    });
    assert_eq!(value_of("null"), (ValueType::Json, "null".into()));
    assert_eq!(
        refused(r#"{"concept_path":null,"predicate":"p","value":1}"#).0,
        ErrorCode::InvalidConceptPath
    );
}

#[test]
fn bare_values_have_the_type_that_they_are_of() {
    for (json, value_type, text) in [
        (r#""x\ny""#, ValueType::Text, "x\ny"),
        (r#""""#, ValueType::Text, ""),
        ("true", ValueType::Boolean, "true"),
        ("96.7", ValueType::Number, "96.7"),
        ("-0", ValueType::Number, "0"),
        ("-0.0", ValueType::Number, "0"),
        ("1e-400", ValueType::Number, "0"),
        ("9007199254740992", ValueType::Number, "9007199254740992"),
        ("-9007199254740992", ValueType::Number, "-9007199254740992"),
        ("9007199254740993", ValueType::Json, "9007199254740993"),
        ("-9007199254740993", ValueType::Json, "-9007199254740993"),
        ("18446744073709551616", ValueType::Json, "18446744073709551616"),
        ("1e16", ValueType::Number, "10000000000000000"),
        ("1e400", ValueType::Json, "1e400"),
        ("-123456789012345678901234567890.5e999", ValueType::Json, "-123456789012345678901234567890.5e999"),
        ("null", ValueType::Json, "null"),
        ("[ 1 , \"a b\" ]", ValueType::Json, "[1,\"a b\"]"),
        ("{ \"b\" : 1.0, \"a\" : 1e400 }", ValueType::Json, "{\"b\":1.0,\"a\":1e400}"),
        ("{}", ValueType::Json, "{}"),
    ] {
        assert_eq!(value_of(json), (value_type, text.into()), "{json}");
    }
}

#[test]
fn typed_forms_are_exactly_those_keys_and_a_known_type() {
    for (json, value_type, text) in [
        (r#"{"type":"Number","value":96.7}"#, ValueType::Number, "96.7"),
        (r#"{"value":96.7,"type":"Number"}"#, ValueType::Number, "96.7"),
        (r#"{"type":"Text","value":"x"}"#, ValueType::Text, "x"),
        (r#"{"type":"Boolean","value":false}"#, ValueType::Boolean, "false"),
        (r#"{"type":"Reference","value":"a/b"}"#, ValueType::Reference, "a/b"),
        (r#"{"type":"Json","value":[ 1 ]}"#, ValueType::Json, "[1]"),
        (r#"{"type":"Json","value":"x"}"#, ValueType::Json, "\"x\""),
        (r#"{"type":"Number","value":9007199254740993}"#, ValueType::Json, "9007199254740993"),
        (r#"{"Text":"ES256"}"#, ValueType::Text, "ES256"),
        (r#"{"Number":1}"#, ValueType::Number, "1"),
        (r#"{"Boolean":true}"#, ValueType::Boolean, "true"),
        (r#"{"Reference":"a/b"}"#, ValueType::Reference, "a/b"),
        (r#"{"Json":{"Text":"x"}}"#, ValueType::Json, r#"{"Text":"x"}"#),
        // Anything else is JSON.
        (r#"{"type":"Integer","value":1}"#, ValueType::Json, r#"{"type":"Integer","value":1}"#),
        (r#"{"type":"number","value":1}"#, ValueType::Json, r#"{"type":"number","value":1}"#),
        (
            r#"{"type":"Number","value":1,"unit":"g"}"#,
            ValueType::Json,
            r#"{"type":"Number","value":1,"unit":"g"}"#,
        ),
        (r#"{"type":"Number"}"#, ValueType::Json, r#"{"type":"Number"}"#),
        (r#"{"type":"Number","type":"Number"}"#, ValueType::Json, r#"{"type":"Number","type":"Number"}"#),
        (r#"{"type":1,"value":1}"#, ValueType::Json, r#"{"type":1,"value":1}"#),
        (r#"{"text":"x"}"#, ValueType::Json, r#"{"text":"x"}"#),
        (r#"{"Text":"x","Number":1}"#, ValueType::Json, r#"{"Text":"x","Number":1}"#),
    ] {
        assert_eq!(value_of(json), (value_type, text.into()), "{json}");
    }
    for json in [
        r#"{"type":"Number","value":"1"}"#,
        r#"{"type":"Text","value":1}"#,
        r#"{"Boolean":"true"}"#,
        r#"{"Reference":7}"#,
        r#"{"Reference":""}"#,
        r#"{"Text":null}"#,
    ] {
        let (code, field, _) = refused(&valued(json));
        assert_eq!((code, field.as_deref()), (ErrorCode::InvalidValue, Some("object")), "{json}");
    }
}

#[test]
fn bounds_hold_to_the_byte() {
    let text = |bytes: usize| valued(&format!("\"{}\"", "x".repeat(bytes)));
    with_claim(&text(64 << 10), |_| ());
    assert_eq!(refused(&text((64 << 10) + 1)).0, ErrorCode::InvalidValue);
    let json = |bytes: usize| valued(&format!("[\"{}\"   ]", "x".repeat(bytes - 4)));
    with_claim(&json(64 << 10), |_| ());
    assert_eq!(refused(&json((64 << 10) + 1)).0, ErrorCode::InvalidValue);
    let path =
        |bytes: usize| format!(r#"{{"subject":"{}","predicate":"p","object":1}}"#, "é".repeat(bytes / 2));
    with_claim(&path(512), |_| ());
    assert_eq!(refused(&path(514)).0, ErrorCode::InvalidConceptPath);
    let metadata =
        |bytes: usize| with_member(&format!("\"metadata\":{{\"k\":\"{}\" }}", "x".repeat(bytes - 8)));
    with_claim(&metadata(8 << 10), |_| ());
    assert_eq!(refused(&metadata((8 << 10) + 1)).0, ErrorCode::InvalidMetadata);
    let derived = |count: usize| {
        let hashes = vec![format!("\"{}\"", "0".repeat(64)); count];
        with_member(&format!("\"derived_from\":[{}]", hashes.join(",")))
    };
    with_claim(&derived(64), |_| ());
    assert_eq!(refused(&derived(65)).0, ErrorCode::InvalidDerivedFrom);
    let mut reader = ClaimReader::new(100);
    let error = reader.read(&[b' '; 101], &CONTEXT).expect_err("too long");
    assert_eq!((error.code, error.code.status().code()), (ErrorCode::BodyTooLarge, 413));
}

#[test]
fn timestamps_may_be_a_little_ahead_of_the_server() {
    let latest = with_member(r#""timestamp":1754000300.25"#);
    with_claim(&latest, |claim| assert_eq!(claim.timestamp.unix_micros().0, NOW.0 + 300_000_000));
    for later in ["1754000300.250001", "1e12", "1e400", "9223372036854775807"] {
        let (code, field, message) = refused(&with_member(&format!("\"timestamp\":{later}")));
        assert_eq!((code, field.as_deref()), (ErrorCode::TimestampInFuture, Some("timestamp")));
        assert!(message.contains("at most 300 s in the future") && message.contains(later), "{message}");
    }
    with_claim(&with_member(r#""timestamp":0"#), |claim| assert_eq!(claim.timestamp.unix_micros().0, 0));
    assert_eq!(refused(&with_member(r#""timestamp":-0.000001"#)).0, ErrorCode::InvalidTimestamp);
    assert_eq!(refused(&with_member(r#""timestamp":"1754000000""#)).0, ErrorCode::InvalidTimestamp);
}

#[test]
fn errors_name_the_field_as_the_client_does() {
    let (_, field, message) = refused(r#"{"subject":"","predicate":"p","object":1}"#);
    assert_eq!((field.as_deref(), message.as_str()), (Some("subject"), "subject must not be empty"));
    let (_, field, message) = refused(r#"{"concept_path":"a\u0000","predicate":"p","object":1}"#);
    assert_eq!(field.as_deref(), Some("concept_path"));
    assert_eq!(message, "concept_path must not contain control characters, found U+0000 at byte 1");
    let (code, _, message) = refused(r#"{"concept_path":"a","subject":"a","predicate":"p","object":1}"#);
    assert_eq!(code, ErrorCode::DuplicateField);
    assert_eq!(message, "subject and concept_path are two names of one field, give only one");
    let (code, _, message) = refused(r#"{"value":null,"value":1}"#);
    assert_eq!((code, message.as_str()), (ErrorCode::DuplicateField, "value is given more than once"));
    let (code, field, message) = refused(r#"{"concept_path":"a","predicat":"p","value":1}"#);
    assert_eq!((code, field.as_deref()), (ErrorCode::UnknownField, Some("predicat")));
    assert!(message.starts_with("\"predicat\" is no field of this request; its fields are concept_path"));
    let (_, _, message) = refused(&with_member(r#""confidence":1.5"#));
    assert_eq!(message, "confidence must be between 0 and 1, got 1.5");
    let (_, _, message) = refused(&with_member(r#""confidence":"high""#));
    assert_eq!(message, "confidence must be a number, got a string");
}

#[test]
fn a_very_long_name_of_an_unknown_field_is_cut() {
    let (code, field, message) = refused(&format!(r#"{{"{}":1}}"#, "é".repeat(100_000)));
    assert_eq!(code, ErrorCode::UnknownField);
    assert_eq!(field, Some("é".repeat(64) + "…"));
    assert!(message.len() < 500);
}

#[test]
fn the_header_names_the_agent_of_a_claim_that_names_none() {
    let key = "ab".repeat(32);
    assert_eq!(agent_of_header(key.as_bytes()).expect("a key"), Agent::Key([0xAB; 32]));
    let named = agent_of_header(b"importer-7").expect("a name");
    assert_eq!(named, Agent::Name(AgentName::new("importer-7").expect("a name")));
    for wrong in [&b""[..], b"two words", b"\xff", &[b'a'; 129]] {
        let error = agent_of_header(wrong).expect_err("no name");
        assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidAgentId, Some("X-Agent-Id")));
    }

    let context = AssertContext { agent: Some(named), ..CONTEXT };
    let mut reader = ClaimReader::new(1 << 20);
    let agent = |reader: &mut ClaimReader, body: &str| match reader
        .read(body.as_bytes(), &context)
        .expect("a claim")
        .claim
        .agent
    {
        Some(Agent::Name(name)) => name.as_str().to_owned(),
        Some(Agent::Key(key)) => hex::encode(key),
        None => String::new(),
    };
    assert_eq!(agent(&mut reader, &valued("1")), "importer-7");
    assert_eq!(agent(&mut reader, &with_member(&format!("\"agent_id\":\"{key}\""))), key);
    // Who signs says by the claim itself who claims.
    let signature = format!(r#"{{"agent_id":"{key}","signature":"{}","timestamp":1}}"#, "00".repeat(64));
    let signed = with_member(&format!("\"timestamp\":1,\"signatures\":[{signature}]"));
    assert_eq!(agent(&mut reader, &signed), "");
}

/// The body of a claim with signatures by these keys, made as a client makes them.
fn signed(keys: &[SigningKey], change: impl Fn(usize, &mut ClaimSignature)) -> String {
    let base = r#""concept_path":"a/b","predicate":"p","value":1,"timestamp":1753999999.123456"#;
    let hash = with_claim(&format!("{{{base}}}"), |claim| {
        let mut canonical = Vec::new();
        claim.encode_canonical(&mut canonical);
        ClaimHash::of_canonical(&canonical)
    });
    let signatures = keys.iter().enumerate().map(|(index, key)| {
        let timestamp = UnixMicros(1_754_000_000_500_000);
        let mut one = ClaimSignature {
            agent_key: key.verifying_key().to_bytes(),
            signature: key.sign(&signature::message(&hash, timestamp)).to_bytes(),
            timestamp,
        };
        change(index, &mut one);
        format!(
            r#"{{"agent_id":"{}","signature":"{}","timestamp":{}}}"#,
            hex::encode(one.agent_key),
            hex::encode(one.signature),
            one.timestamp.as_seconds()
        )
    });
    format!("{{{base},\"signatures\":[{}]}}", signatures.collect::<Vec<_>>().join(","))
}

#[test]
fn right_signatures_travel_with_the_claim() {
    let keys = [SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32])];
    let body = signed(&keys, |_, _| ());
    let mut reader = ClaimReader::new(1 << 20);
    let request = reader.read(body.as_bytes(), &CONTEXT).expect("a claim");
    let mut record = b"before".to_vec();
    let hash = request.encode(&mut record).expect("right signatures");
    let assertion = Assertion::decode(&record[6..]).expect("an assertion");
    assert_eq!((assertion.hash, assertion.signatures.len()), (hash, 2));
    assert!(assertion.signatures.iter().eq(request.signatures.iter().copied()));
}

#[test]
fn one_wrong_signature_spoils_the_claim_before_anything_is_written() {
    let keys = [SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32])];
    let changes: [fn(usize, &mut ClaimSignature); 4] = [
        |index, one| one.signature[5] ^= index as u8,
        |index, one| one.timestamp.0 += index as i64,
        |index, one| one.agent_key[3] ^= index as u8,
        |index, one| one.agent_key = if index == 1 { [0; 32] } else { one.agent_key },
    ];
    for change in changes {
        let body = signed(&keys, change);
        let mut reader = ClaimReader::new(1 << 20);
        let request = reader.read(body.as_bytes(), &CONTEXT).expect("well-formed");
        let mut record = b"before".to_vec();
        let error = request.encode(&mut record).expect_err("a wrong signature");
        assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidSignature, Some("signatures")));
        assert!(error.message.starts_with("signatures[1] is not its agent's signature"), "{error}");
        assert_eq!(record, b"before");
    }
}

#[test]
fn malformed_signatures_are_refused() {
    let (key, bytes) = ("00".repeat(32), "00".repeat(64));
    let one = |agent: &str, signature: &str, rest: &str| {
        with_member(&format!(
            r#""timestamp":1,"signatures":[{{"agent_id":{agent},"signature":{signature}{rest}}}]"#
        ))
    };
    let (agent, signature) = (format!("\"{key}\""), format!("\"{bytes}\""));
    let many = vec![format!(r#"{{"agent_id":{agent},"signature":{signature},"timestamp":1}}"#); 17].join(",");
    for (body, code) in [
        (one(&agent, &signature, ""), ErrorCode::MissingTimestamp),
        (one(&agent, &signature, ",\"timestamp\":-1"), ErrorCode::InvalidSignature),
        (one(&agent, &signature, ",\"timestamp\":\"1\""), ErrorCode::InvalidSignature),
        (one(&agent, &signature, ",\"timestamp\":1,\"timestamp\":1"), ErrorCode::DuplicateField),
        (one(&agent, &signature, ",\"timestamp\":1,\"key\":1"), ErrorCode::UnknownField),
        (one(&signature, &signature, ",\"timestamp\":1"), ErrorCode::InvalidSignature),
        (one(&agent, &agent, ",\"timestamp\":1"), ErrorCode::InvalidSignature),
        (one(&agent, "1", ",\"timestamp\":1"), ErrorCode::InvalidSignature),
        (with_member(&format!(r#""timestamp":1,"signatures":[{many}]"#)), ErrorCode::InvalidSignature),
        (with_member(r#""timestamp":1,"signatures":{}"#), ErrorCode::InvalidSignature),
        (with_member(r#""timestamp":1,"signatures":[1]"#), ErrorCode::InvalidSignature),
        (with_member(r#""timestamp":1,"signatures":[{}]"#), ErrorCode::MissingField),
    ] {
        let (actual, field, message) = refused(&body);
        assert_eq!((actual, field.as_deref()), (code, Some("signatures")), "{message}: {body}");
    }
}

#[test]
fn signatures_need_the_timestamp_that_they_sign() {
    let body = signed(&[SigningKey::from_bytes(&[1; 32])], |_, _| ());
    let (code, field, _) = refused(&body.replace(r#","timestamp":1753999999.123456"#, ""));
    assert_eq!((code, field.as_deref()), (ErrorCode::MissingTimestamp, Some("timestamp")));
    with_claim(&with_member(r#""signatures":[]"#), |_| ());
}

#[test]
fn an_array_is_read_claim_by_claim() {
    let good = valued("1");
    let body = format!(r#" [ {good}, {{"subject":""}} , 7, {good} ] "#);
    let mut reader = ClaimReader::new(1 << 20);
    let mut seen = Vec::new();
    let count = reader.read_array(body.as_bytes(), &CONTEXT, |index, claim| {
        seen.push((
            index,
            claim.map(|request| request.claim.subject.as_str().to_owned()).map_err(|error| error.code),
        ));
    });
    assert_eq!(count, Ok(4));
    assert_eq!(
        seen,
        [
            (0, Ok("a".to_owned())),
            (1, Err(ErrorCode::InvalidConceptPath)),
            (2, Err(ErrorCode::NotAnObject)),
            (3, Ok("a".to_owned())),
        ]
    );
    for (body, code) in [
        (format!("[{good},{good}"), ErrorCode::InvalidJson),
        (format!("[{good},{{]"), ErrorCode::InvalidJson),
        (format!("[{good}] {good}"), ErrorCode::InvalidJson),
        (good, ErrorCode::NotAnObject),
    ] {
        let error = reader
            .read_array(body.as_bytes(), &CONTEXT, |_, _| panic!("nothing is read from a broken array"))
            .expect_err("no array");
        assert_eq!(error.code, code, "{body}");
    }
}

#[test]
fn a_reader_keeps_nothing_of_earlier_bodies() {
    let mut reader = ClaimReader::new(1 << 20);
    let first = with_member(r#""metadata":{ "k":1 },"epoch":"e""#);
    reader.read(first.as_bytes(), &CONTEXT).expect("a claim");
    let body = valued("[ 1, 2 ]");
    let request = reader.read(body.as_bytes(), &CONTEXT).expect("a claim");
    assert_eq!((request.claim.metadata, request.claim.epoch), (None, None));
    assert_eq!(request.claim.value, Value::json("[1,2]").expect("JSON"));
}
