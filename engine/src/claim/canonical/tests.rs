//! That every claim has one encoding, and that the encoding is held to its bounds.

use super::*;
use crate::claim::{Problem, arbitrary};
use proptest::prelude::*;

fn encoded(claim: &Claim<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    claim.encode_canonical(&mut bytes);
    bytes
}

fn smallest() -> Claim<'static> {
    let subject = ConceptPath::new("s").expect("a valid path");
    let predicate = Predicate::new("p").expect("a valid predicate");
    let timestamp = Timestamp::new(UnixMicros(0)).expect("a valid time");
    let value = Value::text("").expect("a valid text");
    Claim::new(subject, predicate, value, timestamp)
}

/// What must hold for any bytes whatever: they are refused, or they are what encoding writes.
fn check_strict(bytes: &[u8]) -> Option<Claim<'_>> {
    let (claim, consumed) = Claim::decode_canonical(bytes).ok()?;
    assert_eq!(encoded(&claim), &bytes[..consumed], "a second encoding of {claim:?}");
    Some(claim)
}

proptest! {
    #[test]
    fn every_claim_leads_back(owned in arbitrary::claims(), behind in any::<[u8; 3]>()) {
        let claim = owned.claim();
        let mut bytes = vec![7];
        claim.encode_canonical(&mut bytes);
        prop_assert_eq!(bytes.remove(0), 7, "what was there before stays");
        prop_assert_eq!(bytes.len(), claim.canonical_bytes());
        let end = bytes.len();
        bytes.extend(behind);
        prop_assert_eq!(Claim::decode_canonical(&bytes), Ok((claim, end)));
    }

    #[test]
    fn changed_encodings_are_refused_or_other_claims(
        owned in arbitrary::claims(),
        at in any::<prop::sample::Index>(),
        replacement in prop::collection::vec(any::<u8>(), 0..4),
        removed in 0..4_usize,
    ) {
        let claim = owned.claim();
        let original = encoded(&claim);
        let begin = at.index(original.len());
        let end = original.len().min(begin + removed);
        let mut changed = original.clone();
        changed.splice(begin..end, replacement);
        let decoded = check_strict(&changed);
        if !changed.starts_with(&original) {
            prop_assert_ne!(decoded, Some(claim));
        }
    }

    #[test]
    fn headers_with_any_lengths_are_read_strictly(
        mut header in any::<[u8; HEADER_BYTES]>(),
        small in any::<[u8; 16]>(),
        body in prop::collection::vec(prop_oneof![400 => Just(b'1'), 1 => any::<u8>()], 300..600),
    ) {
        // Bytes of which few values are valid are made valid more often than not; lengths need not fit together.
        header[0] = VERSION;
        for (at, bound) in [(1, 6), (2, 6), (3, 5), (4, 8), (5, 3), (6, 20), (7, 20)] {
            header[at] = small[at] % bound;
        }
        if header[4] & FLAG_AGENT_KEY != 0 {
            header[6] = small[0] / 240;
        }
        header[8..16].copy_from_slice(&(f64::from(small[8]) / 250.0).to_le_bytes());
        header[23] &= 0x7f;
        header[24..].fill(0);
        for (at, length) in [(24, small[9] % 40), (26, small[10] % 40), (28, small[11] % 40), (30, small[12] / 200)] {
            header[at] = length;
        }
        header[32] = if header[1] == ValueType::Number.number() { 8 } else { small[13] % 40 };
        check_strict(&[&header[..], &body[..]].concat());
    }
}

#[test]
fn every_truncation_and_every_bit_flip_is_refused_or_another_claim() {
    for vector in crate::claim::vectors::claims() {
        let original = encoded(&vector.claim);
        for end in 0..original.len() {
            let truncated = Claim::decode_canonical(&original[..end]);
            assert!(matches!(truncated, Err(DecodeError::Truncated { bytes, .. }) if bytes == end), "{end}");
        }
        for bit in 0..8 * original.len() {
            let mut flipped = original.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check_strict(&flipped), Some(vector.claim.clone()), "bit {bit}");
        }
    }
}

#[test]
fn the_smallest_and_the_largest_claim_lead_back() {
    let claim = smallest();
    let bytes = encoded(&claim);
    assert_eq!(bytes.len(), 38);
    assert_eq!(Claim::decode_canonical(&bytes), Ok((claim, 38)));

    let longest = "x".repeat(Value::BYTES_MAX);
    let metadata = format!("{{\"k\":\"{}\"}}", &longest[..Metadata::BYTES_MAX - 8]);
    let claim = Claim {
        subject: ConceptPath::new(&longest[..512]).expect("512 bytes"),
        predicate: Predicate::new(&longest[..256]).expect("256 bytes"),
        value: Value::text(&longest).expect("64 KiB"),
        timestamp: Timestamp::new(UnixMicros(i64::MAX)).expect("the last microsecond"),
        source: Some(ConceptPath::new(&longest[..512]).expect("512 bytes")),
        parent: Some(ClaimHash([0xff; 32])),
        derived_from: DerivedFrom::new(vec![ClaimHash([0xff; 32]); 64]).expect("64 hashes"),
        epoch: Some(EpochId::new(&longest[..128]).expect("128 bytes")),
        agent: Some(Agent::Name(AgentName::new(&longest[..128]).expect("128 bytes"))),
        source_hash: Some([0xff; 32]),
        metadata: Some(Metadata::new(&metadata).expect("8 KiB")),
        ..smallest()
    };
    let bytes = encoded(&claim);
    assert_eq!((bytes.len(), CANONICAL_BYTES_MAX), (77_412, 77_412));
    assert_eq!(Claim::decode_canonical(&bytes), Ok((claim, bytes.len())));
}

/// Decodes the smallest claim after `change`, to which the body behind the header is given apart.
fn decode_changed(change: impl FnOnce(&mut [u8; HEADER_BYTES], &mut Vec<u8>)) -> Result<(), DecodeError> {
    let bytes = encoded(&smallest());
    let (header, body) = bytes.split_first_chunk().expect("a header");
    let (mut header, mut body) = (*header, body.to_vec());
    change(&mut header, &mut body);
    let bytes = [&header[..], &body[..]].concat();
    Claim::decode_canonical(&bytes).map(|(claim, consumed)| {
        assert_eq!((encoded(&claim), consumed), (bytes.clone(), bytes.len()));
    })
}

#[test]
fn header_bytes_are_held_to_their_values() {
    type Change = fn(&mut [u8; HEADER_BYTES]);
    let invalid: &[(Change, Field)] = &[
        (|header| header[1] = 5, Field::Value),
        (|header| header[2] = 6, Field::SourceClass),
        (|header| header[3] = 5, Field::Lifecycle),
        (|header| header[8..16].copy_from_slice(&1.1_f64.to_le_bytes()), Field::Confidence),
        (|header| header[8..16].copy_from_slice(&f64::NAN.to_le_bytes()), Field::Confidence),
        (|header| header[16..24].fill(0xff), Field::Timestamp),
    ];
    for (change, field) in invalid {
        let error = decode_changed(|header, _| change(header)).expect_err(field.name());
        assert!(matches!(&error, DecodeError::Invalid(error) if error.field == *field), "{error}");
    }
    let minus_zero = decode_changed(|header, _| header[8..16].copy_from_slice(&(-0.0_f64).to_le_bytes()));
    assert_eq!(minus_zero, Err(DecodeError::NotCanonical { field: Field::Confidence }));
    for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
        let decoded = decode_changed(|header, _| header[0] = version);
        assert_eq!(decoded, Err(DecodeError::UnknownVersion { version }));
    }
    for flags in 8..=u8::MAX {
        let decoded = decode_changed(|header, body| {
            header[4] = flags;
            body.extend([0; 96]);
        });
        assert!(matches!(decoded, Err(DecodeError::BadHeader { offset: 4, .. })), "{flags}");
    }
    let key_and_name = decode_changed(|header, body| {
        (header[4], header[6]) = (FLAG_AGENT_KEY, 1);
        body.extend([b'a'; 33]);
    });
    assert!(matches!(key_and_name, Err(DecodeError::BadHeader { offset: 6, .. })));
}

/// The smallest claim with one part replaced by `bytes` bytes `x`, its length where the header has it.
fn with_long_part(
    offset: usize,
    width: usize,
    at: usize,
    replaced: usize,
    bytes: usize,
) -> Result<(), DecodeError> {
    decode_changed(|header, body| {
        header[offset..offset + width].copy_from_slice(&(bytes as u32).to_le_bytes()[..width]);
        body.splice(at..at + replaced, std::iter::repeat_n(b'x', bytes));
    })
}

#[test]
fn lengths_are_held_to_their_bounds() {
    // The field, where its length stands, how wide that is, where the part stands in the body, how much of it is
    // there already, and its bound.
    for (field, offset, width, at, replaced, bytes_max) in [
        (Field::Subject, 24, 2, 0, 1, 512),
        (Field::Predicate, 26, 2, 1, 1, 256),
        (Field::Value, 32, 4, 2, 0, 65_536),
        (Field::Source, 28, 2, 2, 0, 512),
        (Field::Epoch, 7, 1, 2, 0, 128),
        (Field::AgentId, 6, 1, 2, 0, 128),
    ] {
        let decode = |bytes| with_long_part(offset, width, at, replaced, bytes);
        assert_eq!(decode(bytes_max), Ok(()), "{field}");
        let too_long = Problem::TooLong { bytes: bytes_max + 1, bytes_max };
        assert_eq!(decode(bytes_max + 1), Err(too_long.of(field).into()));
    }
    for (field, offset, at) in [(Field::Subject, 24, 0), (Field::Predicate, 26, 1)] {
        assert_eq!(with_long_part(offset, 2, at, 1, 0), Err(Problem::Empty.of(field).into()));
    }
    let metadata = |bytes: usize| {
        decode_changed(|header, body| {
            header[30..32].copy_from_slice(&(bytes as u16).to_le_bytes());
            body.extend(format!("{{\"k\":\"{}\"}}", "x".repeat(bytes - 8)).as_bytes());
        })
    };
    assert_eq!(metadata(8192), Ok(()));
    let too_long = Problem::TooLong { bytes: 8193, bytes_max: 8192 };
    assert_eq!(metadata(8193), Err(too_long.of(Field::Metadata).into()));
    let derived_from = |count: u8| {
        decode_changed(|header, body| {
            header[5] = count;
            body.extend(vec![0; 32 * usize::from(count)]);
        })
    };
    assert_eq!(derived_from(64), Ok(()));
    let too_many = Problem::TooMany { count: 65, count_max: 64 };
    assert_eq!(derived_from(65), Err(too_many.of(Field::DerivedFrom).into()));
    // A length that no memory holds is not waited for and not allocated.
    let endless = decode_changed(|header, _| header[32..36].fill(0xff));
    assert_eq!(endless, Err(DecodeError::Truncated { bytes_needed: 38 + u32::MAX as usize, bytes: 38 }));
}

#[test]
fn values_are_held_to_their_types() {
    let decode = |value_type: ValueType, value: &[u8]| {
        decode_changed(|header, body| {
            header[1] = value_type.number();
            header[32..36].copy_from_slice(&(value.len() as u32).to_le_bytes());
            body.extend(value);
        })
    };
    let not_canonical = Err(DecodeError::NotCanonical { field: Field::Value });
    assert_eq!(decode(ValueType::Number, &1.5_f64.to_le_bytes()), Ok(()));
    assert_eq!(decode(ValueType::Number, &(-0.0_f64).to_le_bytes()), not_canonical);
    assert_eq!(decode(ValueType::Number, &[0; 7]), not_canonical);
    assert_eq!(decode(ValueType::Number, &[0; 9]), not_canonical);
    assert_eq!(decode(ValueType::Number, &[]), not_canonical);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(decode(ValueType::Number, &number.to_le_bytes()), Err(DecodeError::Invalid(_))));
    }
    assert_eq!(decode(ValueType::Boolean, &[0]), Ok(()));
    assert_eq!(decode(ValueType::Boolean, &[1]), Ok(()));
    for value in [&[][..], &[2], &[0xff], &[0, 0], &[1, 0]] {
        assert_eq!(decode(ValueType::Boolean, value), not_canonical);
    }
    assert_eq!(decode(ValueType::Reference, b"a/b"), Ok(()));
    assert_eq!(decode(ValueType::Reference, b""), Err(Problem::Empty.of(Field::Value).into()));
    assert!(decode(ValueType::Reference, b"a\n").is_err());
    assert_eq!(decode(ValueType::Json, b"[1]"), Ok(()));
    assert!(decode(ValueType::Json, b"[1 ]").is_err());
    assert!(decode(ValueType::Json, b"").is_err());
    assert_eq!(decode(ValueType::Text, b"a\0\n"), Ok(()));
    assert_eq!(decode(ValueType::Text, b"\xff"), Err(DecodeError::NotUtf8 { field: Field::Value }));
    // A surrogate, an overlong form, and a sequence that ends too early: not UTF-8 either.
    for text in [&b"\xed\xa0\x80"[..], b"\xc0\xaf", b"\xe2\x82"] {
        assert_eq!(decode(ValueType::Text, text), Err(DecodeError::NotUtf8 { field: Field::Value }));
    }
}
