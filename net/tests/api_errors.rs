//! Every error code: something that leads to it, and its place in the reference.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{
    ApiError, AssertContext, ClaimReader, ErrorCode, RetractRequest, agent_of_header, hash_of_path,
    query_of_body,
};
use stemedb_net::http::Reject;
use stemedb_net::json::Reader;

const NOW: UnixMicros = UnixMicros(1_754_000_000_000_000);
const REFERENCE: &str = include_str!("../../docs/api.md");

fn assert_error(body: &str) -> Option<ApiError> {
    let context = AssertContext { now: NOW, future_us_max: 300_000_000, agent: None };
    let mut reader = ClaimReader::new(1000);
    match reader.read(body.as_bytes(), &context) {
        Ok(request) => request.encode(&mut Vec::new()).err(),
        Err(error) => Some(error),
    }
}

fn query_error(body: &str) -> Option<ApiError> {
    query_of_body(&mut Reader::new(1000), body.as_bytes(), NOW).err()
}

fn retract_error(body: &str) -> Option<ApiError> {
    RetractRequest::read(&mut Reader::new(1000), body.as_bytes()).err()
}

/// A request that leads to the code. `None` for codes that come from the state of the server or from a route.
fn provoke(code: ErrorCode) -> Option<ApiError> {
    let assert_with =
        |member: &str| assert_error(&format!(r#"{{"subject":"a","predicate":"p","object":1,{member}}}"#));
    let query_with = |member: &str| query_error(&format!(r#"{{"subject":"a",{member}}}"#));
    let key = hex::encode(SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes());
    let signature = format!(r#"[{{"agent_id":"{key}","signature":"{}","timestamp":1}}]"#, "00".repeat(64));
    match code {
        ErrorCode::InvalidJson => assert_error("{"),
        ErrorCode::JsonTooDeep => assert_with(&format!(r#""metadata":{}"#, r#"{"a":"#.repeat(32))),
        ErrorCode::NotAnObject => assert_error("[]"),
        ErrorCode::MissingField => assert_error("{}"),
        ErrorCode::UnknownField => assert_with(r#""unit":"g""#),
        ErrorCode::DuplicateField => assert_with(r#""value":1"#),
        ErrorCode::InvalidConceptPath => assert_error(r#"{"subject":"","predicate":"p","object":1}"#),
        ErrorCode::InvalidPredicate => assert_error(r#"{"subject":"a","predicate":"","object":1}"#),
        ErrorCode::InvalidValue => assert_error(r#"{"subject":"a","predicate":"p","object":{"Text":1}}"#),
        ErrorCode::InvalidConfidence => assert_with(r#""confidence":2"#),
        ErrorCode::InvalidTimestamp => assert_with(r#""timestamp":-1"#),
        ErrorCode::TimestampInFuture => assert_with(r#""timestamp":1754000301"#),
        ErrorCode::MissingTimestamp => assert_with(&format!(r#""signatures":{signature}"#)),
        ErrorCode::InvalidSource => assert_with(r#""source":"""#),
        ErrorCode::InvalidSourceClass => assert_with(r#""source_class":"best""#),
        ErrorCode::InvalidLifecycle => assert_with(r#""lifecycle":"done""#),
        ErrorCode::InvalidParentHash => assert_with(r#""parent_hash":"00""#),
        ErrorCode::InvalidDerivedFrom => assert_with(r#""derived_from":"00""#),
        ErrorCode::InvalidEpoch => assert_with(r#""epoch":"""#),
        ErrorCode::InvalidAgentId => agent_of_header(b"").err(),
        ErrorCode::InvalidSignature => assert_with(&format!(r#""timestamp":1,"signatures":{signature}"#)),
        ErrorCode::InvalidSourceHash => assert_with(r#""source_hash":1"#),
        ErrorCode::InvalidMetadata => assert_with(r#""metadata":1"#),
        ErrorCode::UnknownLens => query_with(r#""lens":"newest""#),
        ErrorCode::InvalidLimit => query_with(r#""limit":0"#),
        ErrorCode::InvalidCursor => query_with(r#""cursor":"x""#),
        ErrorCode::InvalidAsOf => query_with(r#""as_of":-1"#),
        ErrorCode::InvalidMinConfidence => query_with(r#""min_confidence":2"#),
        ErrorCode::InvalidIncludeRetracted => query_with(r#""include_retracted":1"#),
        ErrorCode::InvalidDecay => query_with(r#""decay":1"#),
        ErrorCode::InvalidReason => retract_error(r#"{"subject":"a","reason":" \t"}"#),
        ErrorCode::InvalidCascade => retract_error(r#"{"subject":"a","reason":"r","cascade":1}"#),
        ErrorCode::InvalidHash => hash_of_path("xyz").err(),
        ErrorCode::BodyTooLarge => assert_error(&" ".repeat(1001)),
        ErrorCode::LensNotImplemented => query_with(r#""lens":"tier_authority""#),
        ErrorCode::CascadeNotImplemented => retract_error(r#"{"subject":"a","reason":"r","cascade":true}"#),
        ErrorCode::NotFound
        | ErrorCode::AssertionNotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::PreconditionFailed
        | ErrorCode::StorageFailed
        | ErrorCode::StorageDamaged
        | ErrorCode::DiskFull
        | ErrorCode::LogFull
        | ErrorCode::MemoryFull
        | ErrorCode::Overloaded
        | ErrorCode::NotReady
        | ErrorCode::ShuttingDown => None,
    }
}

#[test]
fn every_code_of_a_wrong_request_is_reached() {
    for code in ErrorCode::ALL {
        if let Some(error) = provoke(*code) {
            assert_eq!(error.code, *code, "{error}");
            assert!(!error.message.is_empty() && error.message.len() < 500, "{error}");
        } else {
            let status = code.status().code();
            assert!(status >= 500 || [404, 405, 412].contains(&status), "{code:?} is for wrong requests");
        }
    }
}

/// The rows of the reference's tables of codes.
fn codes_in_reference() -> BTreeMap<String, u16> {
    let (_, errors) = REFERENCE.split_once("\n## Errors\n").expect("a chapter about errors");
    let mut codes = BTreeMap::new();
    for line in errors.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(code), Some(status)) = (cells.next(), cells.next()) else { continue };
        if let (Some(code), Ok(status)) =
            (code.strip_prefix('`').and_then(|c| c.strip_suffix('`')), status.parse())
        {
            assert_eq!(codes.insert(code.to_owned(), status), None, "{code} stands there once");
        }
    }
    codes
}

#[test]
fn the_reference_lists_every_code_and_no_other() {
    let mut codes = BTreeMap::new();
    for code in ErrorCode::ALL {
        codes.insert(code.as_str().to_owned(), code.status().code());
    }
    for reject in [
        Reject::TlsHandshake,
        Reject::PlainHttp,
        Reject::InvalidRequestLine,
        Reject::InvalidLineEnd,
        Reject::FoldedField,
        Reject::InvalidFieldName,
        Reject::InvalidFieldValue,
        Reject::MissingHost,
        Reject::RepeatedHost,
        Reject::InvalidHost,
        Reject::InvalidTarget,
        Reject::InvalidContentLength,
        Reject::RepeatedContentLength,
        Reject::AmbiguousLength,
        Reject::InvalidTransferEncoding,
        Reject::UnsupportedTransferEncoding,
        Reject::TransferEncodingInHttp10,
        Reject::InvalidChunk,
        Reject::ChunkOverhead,
        Reject::InvalidTrailer,
        Reject::TrailerTooLarge { bytes_max: 1 },
        Reject::UnsupportedVersion,
        Reject::Connect,
        Reject::UnknownMethod,
        Reject::Misdirected,
        Reject::UnsupportedContentEncoding,
        Reject::ExpectationFailed,
        Reject::TargetTooLong { bytes_max: 1 },
        Reject::HeadTooLarge { bytes_max: 1 },
        Reject::TooManyFields { fields_max: 1 },
        Reject::BodyTooLarge { bytes_max: 1 },
        Reject::HeadTimeout { ms_max: 1 },
        Reject::BodyTimeout { bytes_min: 1, ms: 1 },
        Reject::Truncated,
    ] {
        let status = reject.status().code();
        // A code that both have must mean the same.
        assert_eq!(*codes.entry(reject.code().to_owned()).or_insert(status), status);
    }
    assert_eq!(codes_in_reference(), codes);
}

#[test]
fn the_commands_of_the_reference_are_accepted() {
    let mut commands = 0;
    for line in REFERENCE.replace("\\\n", " ").lines().filter(|line| line.starts_with("curl ")) {
        let Some((_, body)) = line.split_once("-d '") else { continue };
        let body = body.strip_suffix('\'').expect("the body ends the command");
        let error = match line {
            _ if line.contains("/v1/assert ") => assert_error(body),
            _ if line.contains("/v1/query ") => query_error(body),
            _ if line.contains("/v1/retract ") => retract_error(body),
            _ => panic!("unknown endpoint: {line}"),
        };
        assert_eq!(error, None, "{line}");
        commands += 1;
    }
    assert!(commands >= 3);
}
