//! No request reaches a panic: all kinds of requests, right and wrong, and what fuzzers begin with, are thrown at the
//! real server. A panic would end it, in a release at once, in a development build with the core that it struck.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Random, http};

use crate::Served;

const METHODS: [&str; 12] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PRI",
    "get",
    "!#$%&'*+-.^_`|~",
];

const TARGETS: [&str; 23] = [
    "/v1/assert",
    "/v1/assert/batch",
    "/v1/query",
    "/v1/query?",
    "/v1/query?concept_path=a",
    "/v1/query?concept_path=%2F*&limit=10000&lens=recency&decay=true&include_retracted=true",
    "/v1/query?&&=&=x&x=",
    "/v1/query?concept_path=%00",
    "/v1/query?concept_path=%ff",
    "/v1/retract",
    "/v1/assertion/",
    "/v1/assertion/0",
    "/v1/assertion/0000000000000000000000000000000000000000000000000000000000000000",
    "/v1/assertion/%30%30",
    "/v1/health",
    "/health",
    "/ready",
    "/metrics",
    "/api-doc/openapi.json",
    "/",
    "*",
    "http://test/v1/health",
    "/v1/../v1/./health",
];

/// Endpoints that take a body, and their fields.
const FIELDS: [(&str, &[&str]); 3] = [
    (
        "/v1/assert",
        &[
            "concept_path",
            "subject",
            "predicate",
            "value",
            "object",
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
            "unknown",
        ],
    ),
    (
        "/v1/query",
        &[
            "concept_path",
            "subject",
            "predicate",
            "lens",
            "limit",
            "cursor",
            "as_of",
            "lifecycle",
            "epoch",
            "source_class",
            "min_confidence",
            "include_retracted",
            "decay",
            "then",
        ],
    ),
    ("/v1/retract", &["concept_path", "subject", "reason", "cascade"]),
];

/// Values at and beyond the ends of all that a field may be.
fn extremes() -> Vec<String> {
    let hash = "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";
    let numbers = [
        "0",
        "-0",
        "-0.0",
        "1",
        "-1",
        "5",
        "6",
        "0.1",
        "1.0000000000000002",
        "5e-324",
        "-5e-324",
        "1e-400",
        "1e308",
        "-1e308",
        "1e309",
        "-1e309",
        "1e999999999",
        "1e-999999999",
        "4294967295",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854.775807",
        "9223372036854.775808",
        "9223372036855",
        "253402300800",
        "1e18",
        "170141183460469231731687303715884105728",
    ];
    let texts = [
        "\"\"",
        "\" \"",
        "\"/\"",
        "\"*\"",
        "\"/*\"",
        "\"a/*\"",
        "\"//\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "\"\\udbff\\udfff\"",
        "\"\u{10ffff}\"",
        "\"\u{fffd}\\n\"",
        "\"recency\"",
        "\"consensus\"",
        "\"confidence\"",
        "\"any\"",
        "\"approved\"",
        "\"rfc://x\"",
        "\"true\"",
        "\"1\"",
        "\"AA\"",
    ];
    let others = [
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[{}]",
        "{\"\":{}}",
        "{\"Number\":1e308}",
        "{\"Number\":-0}",
        "{\"Text\":\"\"}",
        "{\"Json\":null}",
        "{\"Reference\":\"a\"}",
        "{\"Boolean\":true}",
        "{\"type\":\"Number\",\"value\":5e-324}",
        "{\"type\":\"Json\",\"value\":{\"type\":\"Json\",\"value\":1}}",
        "{\"type\":\"Text\",\"value\":\"x\",\"more\":1}",
        hash,
    ];
    let mut values: Vec<String> =
        numbers.iter().chain(&texts).chain(&others).map(|value| (*value).to_owned()).collect();
    for count in [1, 16, 17, 64, 65] {
        values.push(format!("[{}]", vec![hash; count].join(",")));
        values.push(format!("[{}]", vec!["{}"; count].join(",")));
    }
    for bytes in [127, 128, 129, 255, 256, 257, 511, 512, 513, 1024, 1025, 8192, 65_535, 65_536, 65_537] {
        values.push(format!("\"{}\"", "x".repeat(bytes)));
        values.push(format!("\"{}\"", "é".repeat(bytes / 2)));
        values.push(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)));
        values.push("9".repeat(bytes));
    }
    for depth in [31, 32, 33, 127, 128, 129, 5000] {
        values.push(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        values.push(format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)));
    }
    values
}

/// A server that requests are thrown at.
struct Thrown {
    served: Served,
    requests: u64,
}

impl Thrown {
    /// Sends well-formed requests, many ahead of their answers. None is the server's own fault.
    fn ask(&mut self, requests: &[(&str, Vec<u8>)]) {
        for group in requests.chunks(32) {
            let mut client = self.served.server.client();
            let bytes: Vec<u8> = group.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
            let mut writer = client.stream().try_clone().expect("a socket");
            std::thread::scope(|scope| {
                // The server ends the connection where a request is refused for its form; then the rest is not read.
                scope.spawn(move || drop(std::io::Write::write_all(&mut writer, &bytes)));
                for (method, bytes) in group {
                    let is_head = *method == "HEAD";
                    let response = if is_head { client.head_response() } else { client.response() };
                    let response = response.unwrap_or_else(|error| {
                        panic!("{error} after {}\n{}", shown(bytes), self.served.server.text())
                    });
                    self.requests += 1;
                    let is_right = response.status < 500 || [501, 505].contains(&response.status);
                    assert!(is_right, "{response:?} to {}", shown(bytes));
                    if response.field("connection") == Some("close") {
                        // Nobody must be kept writing.
                        let _ = client.stream().shutdown(std::net::Shutdown::Both);
                        break;
                    }
                }
            });
        }
    }

    /// Sends bytes, right or wrong, and nothing after them; takes whatever is answered. Gives the status of the first answer.
    fn throw(&mut self, bytes: &[u8]) -> Option<u16> {
        let mut client = self.served.server.client();
        if client.send(bytes).is_ok() {
            client.finish_sending();
        }
        let mut answers = Vec::new();
        // A reset is an end, too.
        let _ = client.stream().read_to_end(&mut answers);
        self.requests += 1;
        if answers.is_empty() {
            return None;
        }
        let status = answers
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| str::from_utf8(rest.get(..3)?).ok()?.parse().ok());
        Some(status.unwrap_or_else(|| panic!("{} to {}", shown(&answers), shown(bytes))))
    }

    /// The server is the one that was started, and says of no panic and no other error. That a core has to wait long for its CPU is none.
    fn is_alive(&self, pid: u32) {
        let Served { server, .. } = &self.served;
        assert_eq!(server.pid(), pid);
        let health = server.health();
        assert_eq!((&health["status"], &health["generation"]), (&"healthy".into(), &1.into()));
        let text = server.text();
        assert!(!text.contains("panicked"), "{text}");
        let is_error = |line: &str| line.contains("ERROR") && !line.contains("has not turned its loop");
        assert!(!text.lines().any(is_error), "{text}");
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

/// The files of a fuzz target's corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    files.iter().map(|file| fs::read(file).expect("readable")).collect()
}

/// The bytes after some of them were replaced, removed or repeated.
fn changed(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.within(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.within(0..=bytes.len() as u64 - 1) as usize;
        let end = (at + random.within(1..=8) as usize).min(bytes.len());
        match random.within(0..=3) {
            0 => bytes[at] = random.next_u64() as u8,
            1 => bytes[at] ^= 1 << random.within(0..=7),
            2 => drop(bytes.drain(at..end)),
            _ => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// A value as a parameter of a URL.
fn encoded(value: &str) -> String {
    value.trim_matches('"').bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Every target with every method, with and without a body.
fn methods_and_targets() -> Vec<(&'static str, Vec<u8>)> {
    let claim = TestClaim::new("thrown", "is", 1).json();
    let bodies =
        ["", "{}", "[]", "null", "x", &claim, &format!("[{claim}]"), &format!("{claim}\n{claim}\n\n{{")];
    let each = |method: &'static str| {
        TARGETS.into_iter().flat_map(move |target| {
            bodies.map(|body| (method, http::request(method, target, body.as_bytes())))
        })
    };
    METHODS.into_iter().flat_map(each).collect()
}

/// Every field of every endpoint with every extreme, in bodies and in URLs.
fn fields_and_extremes() -> Vec<(&'static str, Vec<u8>)> {
    let mut requests = Vec::new();
    for (target, fields) in FIELDS {
        for field in fields {
            for value in extremes() {
                let right =
                    [("concept_path", "\"t\""), ("predicate", "\"p\""), ("value", "1"), ("reason", "\"r\"")];
                let needed: &[&str] = match target {
                    "/v1/assert" => &["concept_path", "predicate", "value"],
                    "/v1/query" => &["concept_path"],
                    _ => &["concept_path", "reason"],
                };
                let alias = match *field {
                    "subject" => "concept_path",
                    "object" => "value",
                    other => other,
                };
                let kept = right.iter().filter(|(name, _)| needed.contains(name) && *name != alias);
                let kept: String = kept.map(|(name, value)| format!("\"{name}\":{value},")).collect();
                let body = format!("{{{kept}\"{field}\":{value}}}");
                requests.push(("POST", http::request("POST", target, body.as_bytes())));
                if target == "/v1/query" && value.len() < 1200 {
                    let path = if alias == "concept_path" { "" } else { "concept_path=t&" };
                    let target = format!("{target}?{path}{field}={}", encoded(&value));
                    requests.push(("GET", http::request("GET", &target, b"")));
                }
            }
        }
    }
    requests
}

/// Bodies of which each field is some extreme.
fn random_bodies(random: &mut Random, count: usize) -> Vec<(&'static str, Vec<u8>)> {
    let extremes = extremes();
    let body = |random: &mut Random| {
        let (target, fields) = FIELDS[random.within(0..=2) as usize];
        let members = fields.iter().filter_map(|field| {
            let value = &extremes[random.within(0..=extremes.len() as u64 - 1) as usize];
            random.once_in(2).then(|| format!("\"{field}\":{value}"))
        });
        let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        let target = if target == "/v1/assert" && random.once_in(3) { "/v1/assert/batch" } else { target };
        ("POST", http::request("POST", target, body.as_bytes()))
    };
    (0..count).map(|_| body(random)).collect()
}

#[test]
fn no_request_reaches_a_panic() {
    let mut random = Random::for_test("no_panic");
    let cores = stemedb_tests::process::cpus().min(2).to_string();
    let served = Served::with(&[("STEMEDB_CORES", &cores), ("STEMEDB_HEAD_TIMEOUT_S", "5")]);
    let pid = served.server.pid();
    let mut thrown = Thrown { served, requests: 0 };

    thrown.ask(&fields_and_extremes());
    thrown.ask(&random_bodies(&mut random, 2000));
    for (target, corpus) in [("json_body", corpus("json_body")), ("assert_body", corpus("assert_body"))] {
        let mut requests = Vec::new();
        for body in corpus {
            for change in 0..60 {
                let body = if change == 0 { body.clone() } else { changed(&body, &mut random) };
                for target in ["/v1/assert", "/v1/assert/batch", "/v1/query", "/v1/retract"] {
                    requests.push(("POST", http::request("POST", target, &body)));
                }
            }
        }
        println!("{target}: {} requests", requests.len());
        thrown.ask(&requests);
    }
    thrown.is_alive(pid);

    for (_, request) in methods_and_targets() {
        thrown.throw(&request);
    }
    let mut statuses = BTreeMap::new();
    for input in corpus("http") {
        // The first two bytes only tell the fuzzer how to cut the rest, and for which bounds.
        let stream = &input[2..];
        *statuses.entry(thrown.throw(stream)).or_insert(0) += 1;
        for _ in 1..100 {
            thrown.throw(&changed(stream, &mut random));
        }
    }
    // If the streams began elsewhere, nearly all would be refused for their first byte.
    let understood: u32 =
        [100, 200, 404].map(|status| statuses.get(&Some(status)).copied().unwrap_or(0)).iter().sum();
    assert!(understood >= 40, "what the streams of the corpus are answered first: {statuses:?}");
    thrown.is_alive(pid);
    println!("{} requests and no panic", thrown.requests);
    survives_what_it_took(thrown.served);
}

/// What was taken can be read in every way, and after a restart, too.
fn survives_what_it_took(mut served: Served) {
    let claims = served.server.assertion_count();
    assert!(claims >= 100, "only {claims} claims were taken");
    for lens in ["", "&lens=recency", "&lens=consensus", "&lens=confidence"] {
        for as_of in ["", "&as_of=0", "&as_of=1700000000", "&as_of=9223372036854"] {
            for decay in ["", "&decay=true&min_confidence=1"] {
                let target = format!(
                    "/v1/query?concept_path=*&lifecycle=any&include_retracted=true&limit=10000{lens}{as_of}{decay}"
                );
                assert_eq!(served.client.get(&target).expect("an answer").status, 200, "{target}");
            }
        }
    }
    let Served { client, server, data } = served;
    drop(client);
    server.stop();
    let server = stemedb_tests::Start::on(&data).serve();
    assert_eq!(server.assertion_count(), claims);
    let text = server.stop();
    assert!(!text.contains("panicked"), "{text}");
}
