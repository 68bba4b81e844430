//! Test vectors: claims whose encodings and hashes can never change, since they are on disks and in agents' records.
//!
//! `docs/format-claims.md` shows the same vectors to whoever writes an encoder of their own.

use super::*;
use crate::slot::LaneId;
use crate::time::UnixMicros;

/// A claim and what it must be encoded to.
pub(super) struct Vector {
    pub(super) name: &'static str,
    pub(super) claim: Claim<'static>,
    canonical: &'static str,
    hash: &'static str,
}

/// One claim for each type of value, with all optional fields among them.
pub(super) fn claims() -> Vec<Vector> {
    let claim = |subject, predicate, value: Result<Value<'static>, ClaimError>, micros| {
        Claim::new(
            ConceptPath::new(subject).expect("a valid path"),
            Predicate::new(predicate).expect("a valid predicate"),
            value.expect("a valid value"),
            Timestamp::new(UnixMicros(micros)).expect("a valid time"),
        )
    };
    let path = |text| ConceptPath::new(text).expect("a valid path");
    let count_up = |from: u8| std::array::from_fn(|i| from + i as u8);
    let public_key = signature::tests::PUBLIC_KEY;
    vec![
        Vector {
            name: "smallest",
            claim: claim("s", "p", Value::text(""), 0),
            canonical: "0100030200000000000000000000f03f00000000000000000100010000000000000000007370",
            hash: "e47d045d1f3dff775b503c48c0ed28d50175684a2b7274d63a08a193394dac77",
        },
        Vector {
            name: "text",
            claim: claim("rfc://7519/alg", "must_use:alg", Value::text("ES256"), 1_700_000_000_000_000),
            canonical: concat!(
                "0100000200000000000000000000f03f00401e18240a06000e000c0000000000050000007266633a2f2f3735",
                "31392f616c676d7573745f7573653a616c674553323536"
            ),
            hash: "4c52c892e7091bfea135489c14c2898466f3ef5e6581db6c2fc9619fdce66eb4",
        },
        Vector {
            name: "number",
            claim: Claim {
                confidence: Confidence::new(0.875).expect("a fraction"),
                source: Some(path("source/fda")),
                source_class: SourceClass::Clinical,
                ..claim("drug/ozempic", "efficacy_percent", Value::number(96.7), 1_700_000_000_250_001)
            },
            canonical: concat!(
                "0101010200000000000000000000ec3f91102218240a06000c0010000a00000008000000647275672f6f7a65",
                "6d70696365666669636163795f70657263656e74cdcccccccc2c5840736f757263652f666461"
            ),
            hash: "21b8eb36e421d3866d0840f8109ee71b9ffca03e2bd50a420a1dcf6c4c10f7b0",
        },
        Vector {
            name: "boolean",
            claim: Claim {
                lifecycle: Lifecycle::Proposed,
                agent: Some(Agent::Name(AgentName::new("crawler-7").expect("a valid name"))),
                ..claim("debian/bash", "essential", Ok(Value::Boolean(true)), 1)
            },
            canonical: concat!(
                "0102030000000900000000000000f03f01000000000000000b000900000000000100000064656269616e2f62",
                "617368657373656e7469616c01637261776c65722d37"
            ),
            hash: "b7ab3288d7c362505cea99679124c53e548ea32567991a78987a23ff824fedf7",
        },
        Vector {
            name: "reference",
            claim: Claim {
                confidence: Confidence::new(-0.0).expect("a fraction"),
                lifecycle: Lifecycle::Deprecated,
                parent: Some(ClaimHash(count_up(0))),
                epoch: Some(EpochId::new("2023-q4").expect("a valid epoch")),
                ..claim("wiki://Käse", "broader", Value::reference("wiki://Milch"), i64::MAX)
            },
            canonical: concat!(
                "01030303010000070000000000000000ffffffffffffff7f0c000700000000000c00000077696b693a2f2f4b",
                "c3a4736562726f6164657277696b693a2f2f4d696c6368000102030405060708090a0b0c0d0e0f1011121314",
                "15161718191a1b1c1d1e1f323032332d7134"
            ),
            hash: "c927ae98798cf91a2d8c9ea8bf95b8ed1e85b7f59e6b8169731d8566c099a344",
        },
        Vector {
            name: "json",
            claim: Claim {
                metadata: Some(Metadata::new(r#"{"run":42}"#).expect("a valid object")),
                ..claim("count/atoms", "at_least", Value::json("18446744073709551616"), 1_700_000_000_000_000)
            },
            canonical: concat!(
                "0104030200000000000000000000f03f00401e18240a06000b00080000000a0014000000636f756e742f6174",
                "6f6d7361745f6c6561737431383434363734343037333730393535313631367b2272756e223a34327d"
            ),
            hash: "15a573dc56b23b8e9b348e3ad71ceea91a1f9ae7c5ec983a2967f85525aca287",
        },
        Vector {
            name: "everything",
            claim: Claim {
                subject: path("pubmed://31415926/größe"),
                predicate: Predicate::new("result").expect("a valid predicate"),
                value: Value::json(r#"{"p":0.05,"n":[12,null,"é"]}"#).expect("valid JSON"),
                confidence: Confidence::new(0.1).expect("a fraction"),
                timestamp: Timestamp::new(UnixMicros(1_234_567_890_123_456)).expect("a valid time"),
                source: Some(path("source/lab/9")),
                source_class: SourceClass::Anecdotal,
                lifecycle: Lifecycle::Rejected,
                parent: Some(ClaimHash(count_up(0x20))),
                derived_from: DerivedFrom::new(vec![ClaimHash(count_up(0x40)), ClaimHash(count_up(0x60))])
                    .expect("two hashes"),
                epoch: Some(EpochId::new("epoch-1").expect("a valid epoch")),
                agent: Some(Agent::Key(public_key)),
                source_hash: Some(count_up(0x80)),
                metadata: Some(Metadata::new(r#"{"tool":"xtract","v":2}"#).expect("a valid object")),
            },
            canonical: concat!(
                "01040504070200079a9999999999b93fc0ba8a3cd5620400190006000c0017001d0000007075626d65643a2f",
                "2f33313431353932362f6772c3b6c39f65726573756c747b2270223a302e30352c226e223a5b31322c6e756c",
                "6c2c22c3a9225d7d736f757263652f6c61622f39202122232425262728292a2b2c2d2e2f3031323334353637",
                "38393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263",
                "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f65706f63682d31d75a980182b10ab7d5",
                "4bfed3c964073a0ee172f3daa62325af021a68f707511a808182838485868788898a8b8c8d8e8f9091929394",
                "95969798999a9b9c9d9e9f7b22746f6f6c223a22787472616374222c2276223a327d"
            ),
            hash: "d5f921a85514b8553bfe948f653c7552b0b12127324636991e8dc9a716201cc6",
        },
    ]
}

/// What the agent with the test key signs for the claim `text`, one second after it was made.
const MESSAGE: &str = concat!(
    "7374656d6564622d636c61696d2d76314c52c892e7091bfea135489c14c2898466f3ef5e6581db6c2fc9619f",
    "dce66eb440822d18240a0600"
);

/// The signature.
const SIGNATURE: &str = concat!(
    "b71de78200c930fca7e5f62a751b4223a84bd9076a6a2f882f371e1f0a83a7fa5656ada627f2116b15134fb4",
    "dc04e2c170c484d87af92ea4bcdbb5f00cf43903"
);

/// The claim `text` with that signature, as the log keeps it.
const ASSERTION: &str = concat!(
    "4c52c892e7091bfea135489c14c2898466f3ef5e6581db6c2fc9619fdce66eb4010000020000000000000000",
    "0000f03f00401e18240a06000e000c0000000000050000007266633a2f2f373531392f616c676d7573745f75",
    "73653a616c67455332353601d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "b71de78200c930fca7e5f62a751b4223a84bd9076a6a2f882f371e1f0a83a7fa5656ada627f2116b15134fb4",
    "dc04e2c170c484d87af92ea4bcdbb5f00cf4390340822d18240a0600"
);

/// A retraction, as the log keeps it.
const RETRACTION: &str = concat!(
    "0300000002006712000000000000010000401e18240a06000a000900736f757263652f666461776974686472",
    "61776e"
);

fn text_claim() -> Claim<'static> {
    claims().into_iter().find(|vector| vector.name == "text").expect("there is such a vector").claim
}

#[test]
fn claims_are_encoded_and_named_as_ever() {
    for vector in claims() {
        let mut canonical = Vec::new();
        vector.claim.encode_canonical(&mut canonical);
        assert_eq!(::hex::encode(&canonical), vector.canonical, "{}", vector.name);
        assert_eq!(ClaimHash::of_canonical(&canonical).to_string(), vector.hash, "{}", vector.name);
        let decoded = Claim::decode_canonical(&canonical);
        assert_eq!(decoded, Ok((vector.claim, canonical.len())), "{}", vector.name);
    }
}

#[test]
fn assertions_are_signed_and_encoded_as_ever() {
    let claim = text_claim();
    let mut canonical = Vec::new();
    claim.encode_canonical(&mut canonical);
    let hash = ClaimHash::of_canonical(&canonical);
    let signed = signature::tests::sign(&hash, UnixMicros(1_700_000_001_000_000));
    assert_eq!(::hex::encode(signature::message(&hash, signed.timestamp)), MESSAGE);
    assert_eq!(::hex::encode(signed.signature), SIGNATURE);
    assert!(signature::verify(&hash, &signed));

    let mut payload = Vec::new();
    assert_eq!(assertion::encode(&claim, &[signed], &mut payload), hash);
    assert_eq!(::hex::encode(&payload), ASSERTION);
    let decoded = Assertion::decode(&payload).expect("it was just encoded");
    assert_eq!((decoded.hash, &decoded.claim, decoded.canonical), (hash, &claim, &canonical[..]));
    assert!(decoded.signatures.iter().eq([signed]));
}

#[test]
fn retractions_are_encoded_as_ever() {
    let retraction = Retraction {
        id: RetractionId { generation: 3, lane: LaneId(2), lsn: 4711 },
        path: ConceptPath::new("source/fda").expect("a valid path"),
        reason: Reason::new("withdrawn").expect("a valid reason"),
        at: UnixMicros(1_700_000_000_000_000),
    };
    let mut payload = Vec::new();
    retraction.encode(&mut payload);
    assert_eq!(::hex::encode(&payload), RETRACTION);
    assert_eq!(Retraction::decode(&payload), Ok(retraction));
}

#[test]
fn the_documentation_shows_these_vectors() {
    let documentation = include_str!("../../../docs/format-claims.md");
    let shown = |hex: &str| documentation.lines().any(|line| line.ends_with(hex));
    for vector in claims() {
        assert!(shown(vector.canonical) && shown(vector.hash), "{}", vector.name);
    }
    for hex in [MESSAGE, SIGNATURE, ASSERTION, RETRACTION] {
        assert!(shown(hex), "{hex}");
    }
}
