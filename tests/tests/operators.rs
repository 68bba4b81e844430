//! Goal: what operators type does what their runbooks say.
//!
//! Method: the commands are run as they are typed, by bash, with curl, jq and grep, against a server on another port
//! than the usual one, which is put in its place. Where the tools are not installed, nothing is tested.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use stemedb_tests::claims::TestClaim;
use stemedb_tests::random::Random;
use stemedb_tests::{Data, Server, Start, binary, skip, wal};

/// The port in the runbooks.
const PORT: &str = ":18180";

/// Whether bash, curl and jq are there. Says so if not.
fn has_tools() -> bool {
    let missing = ["bash", "curl", "jq", "grep"].into_iter().find(|tool| {
        Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    });
    if let Some(tool) = missing {
        skip(format_args!("no {tool} on this machine"));
    }
    missing.is_none()
}

/// Types `line` at the server. Every command in it must succeed.
fn typed(server: &Server, line: &str) -> String {
    let Output { status, stdout, stderr } = output_of(server, line);
    assert!(status.success(), "{line}: {status}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("answers are UTF-8")
}

fn output_of(server: &Server, line: &str) -> Output {
    assert!(line.contains(PORT), "{line}");
    let line = line.replace(PORT, &format!(":{}", server.address().port()));
    Command::new("bash")
        .args(["-o", "pipefail", "-c", &line])
        .env_remove("http_proxy")
        .env_remove("ALL_PROXY")
        .output()
        .expect("bash is there")
}

/// The same with the status of the answer, which curl is asked to print behind it.
fn typed_with_status(server: &Server, line: &str) -> (Value, String) {
    let output = typed(server, &format!("{line} -w '\\n%{{http_code}}'"));
    let (body, status) = output.rsplit_once('\n').expect("a line for the status");
    (serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")), status.to_owned())
}

#[test]
fn health_tells_status_version_uptime_and_count() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    let (health, status) = typed_with_status(&server, "curl http://localhost:18180/v1/health");
    assert_eq!(status, "200");
    assert_eq!(health["status"], "healthy");
    assert!(health["version"].as_str().is_some_and(|version| version.split('.').count() == 3), "{health}");
    assert!(health["uptime_seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{health}");
    let count = typed(&server, "curl http://localhost:18180/v1/health | jq '.assertion_count'");
    assert_eq!(count, "0\n");
    server.client().post("/v1/assert", TestClaim::new("a", "is", 1).json()).expect("an answer").ok();
    let count = typed(&server, "curl http://localhost:18180/v1/health | jq '.assertion_count'");
    assert_eq!(count, "1\n");
}

#[test]
fn a_query_that_finds_nothing_is_fine() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    let line = r#"curl -X POST http://localhost:18180/v1/query -H "Content-Type: application/json" -d '{"concept_path":"test/health","lens":"recency"}'"#;
    let (answer, status) = typed_with_status(&server, line);
    assert_eq!((&*status, &answer["assertions"], &answer["count"]), ("200", &json!([]), &json!(0)));
}

#[test]
fn a_query_needs_no_content_type() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    let line = r#"curl http://localhost:18180/v1/query -d '{"concept_path":"bad/data/path","lens":"recency"}' | jq '.assertions[0].timestamp'"#;
    assert_eq!(typed(&server, line), "null\n");
    let claim = TestClaim::new("bad/data/path", "is", "bad").json();
    server.client().post("/v1/assert", claim).expect("an answer").ok();
    assert_eq!(typed(&server, line), "1700000000\n");
}

#[test]
fn an_assertion_is_created() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    let line = r#"curl -i -X POST http://localhost:18180/v1/assert -H "Content-Type: application/json" -d '{"concept_path":"test/restore_validation","predicate":"restored","value":true,"confidence":0.95}'"#;
    let output = typed(&server, line);
    assert!(output.starts_with("HTTP/1.1 201 Created\r\n"), "{output}");
    let (_, body) = output.split_once("\r\n\r\n").expect("a head and a body");
    let answer: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(answer["status"], "created");
    let line = r#"curl http://localhost:18180/v1/query -d '{"concept_path":"test/restore_validation"}' | jq -c '.assertions[0] | [.value, .confidence, .hash]'"#;
    assert_eq!(typed(&server, line), format!("[true,0.95,{}]\n", answer["hash"]));
}

#[test]
fn a_retraction_takes_the_source_and_what_names_it() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).cores(2).serve();
    for number in 0..10 {
        let mut claim = TestClaim::new(format!("claim/{number}"), "is", number);
        claim.source = (number < 6).then(|| "source/bad_source".to_owned());
        server.client().post("/v1/assert", claim.json()).expect("an answer").ok();
    }
    // The runbook's command asks for a cascade, which is not there yet: it must say so and retract nothing.
    let line = r#"curl -X POST http://localhost:18180/v1/retract -H "Content-Type: application/json" -d '{"concept_path":"source/bad_source","reason":"data_quality_issue","cascade":true}'"#;
    let (answer, status) = typed_with_status(&server, line);
    assert_eq!((&*status, &answer["error"]["code"]), ("501", &json!("cascade_not_implemented")));
    let count = r#"curl http://localhost:18180/v1/query -d '{"concept_path":"claim/*"}' | jq .count"#;
    assert_eq!(typed(&server, count), "10\n");

    let (answer, status) = typed_with_status(&server, &line.replace("true", "false"));
    assert_eq!((&*status, &answer["status"], &answer["retracted"]), ("200", &json!("retracted"), &json!(6)));
    assert_eq!(typed(&server, count), "4\n");
}

#[test]
fn metrics_have_the_lines_that_runbooks_look_for() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    for pattern in ["grep wal_", "grep stemedb_"] {
        let lines = typed(&server, &format!("curl http://localhost:18180/metrics | {pattern}"));
        assert!(lines.lines().count() > 10, "{pattern}:\n{lines}");
    }
    // The other names come with the features that they are about.
    let line = "curl http://localhost:18180/metrics | grep -E '(stemedb_query_latency|wal_fsync_latency|quarantine_pending|circuit_breaker_state|replication_lag)'";
    let lines = typed(&server, line);
    for name in ["stemedb_query_latency_seconds", "stemedb_wal_fsync_latency_seconds"] {
        let is_sample = |line: &str| line.starts_with(name);
        assert!(lines.lines().any(is_sample), "no sample of {name} in\n{lines}");
    }
}

#[test]
fn a_start_on_a_port_that_is_taken_ends_at_once_and_names_the_holder() {
    if !has_tools() {
        return;
    }
    let (data, other) = (Data::new(), Data::new());
    let server = Start::on(&data).serve();
    let line = format!(
        "STEMEDB_BIND_ADDR=127.0.0.1:18180 STEMEDB_WAL_DIR={0}/wal STEMEDB_DB_DIR={0}/db {1}",
        other.root().display(),
        binary::stemedb_api().display()
    );
    let output = output_of(&server, &line);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let address = format!("127.0.0.1:{}", server.address().port());
    for part in [&address, "Address already in use", &format!("process {}", server.pid())] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_segment_with_a_broken_header_or_frame_is_not_started_from() {
    if !has_tools() {
        return;
    }
    let data = Data::new();
    let server = Start::on(&data).serve();
    for number in 0..10 {
        server.client().post("/v1/assert", TestClaim::new("a", "is", number).json()).expect("an answer").ok();
    }
    server.stop();
    let segments = wal::segments(&data.wal());
    let segment = segments.iter().find(|segment| segment.header.is_some()).expect("claims were written");
    let frame = segment.frames[3].offset;
    for (offset, message, named) in
        [(0, "WAL magic byte validation failed", 0), (frame + 70, "Checksum mismatch in WAL segment", frame)]
    {
        let line = format!(
            "printf BROKEN | dd of={}/{} bs=1 seek={offset} conv=notrunc status=none && sha256sum {0}/*.log > {2}/before; \
             STEMEDB_BIND_ADDR=127.0.0.1:0 STEMEDB_CORES=1 STEMEDB_WAL_DIR={0} STEMEDB_DB_DIR={3} {4}; code=$?; \
             sha256sum --quiet --check {2}/before && ls {0}/*.log | wc -l && exit $code",
            data.wal().display(),
            segment.name(),
            data.root().display(),
            data.db().display(),
            binary::stemedb_api().display()
        );
        let output = Command::new("bash").args(["-c", &line]).output().expect("bash is there");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let place = format!("at offset {named} of {}", segment.path.display());
        for part in [message, &place, "docs/operations/recovery.md"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), segments.len().to_string());
        restore(segment);
    }
    assert_eq!(Start::on(&data).serve().assertion_count(), 10);
}

/// Gives a segment back the bytes it had.
fn restore(segment: &wal::Segment) {
    let mut file = std::fs::File::create(&segment.path).expect("it is there");
    file.write_all(&segment.bytes).expect("writable");
}

/// Types `line` in the directory above `data`, as on a host where the server is installed.
fn typed_beside(data: &Path, line: &str) {
    let status = Command::new("bash").args(["-c", line]).current_dir(data).status().expect("bash is there");
    assert!(status.success(), "{line}: {status}");
}

/// So many claims about 500 subjects, with 7 predicates, of some hundred bytes each.
fn claims(count: u64) -> Vec<String> {
    let mut random = Random::for_test("indexes");
    let claim = |number: u64| {
        TestClaim::new(format!("host/{}", number % 500), &format!("field-{}", number % 7), random.text(400))
            .json()
    };
    (0..count).map(claim).collect()
}

fn store(server: &Server, claims: &[String]) {
    for batch in claims.chunks(2_000) {
        server.client().post("/v1/assert/batch", batch.join("\n")).expect("an answer").ok();
    }
}

#[test]
fn indexes_that_are_removed_are_rebuilt() {
    if !has_tools() {
        return;
    }
    let host = Data::new();
    let start = Start::at(&host.root().join("data")).with("STEMEDB_CHECKPOINT_BYTES", "4MiB");
    let claims = claims(10_234);
    let (first, last) = claims.split_at(9_000);
    // In one segment, which ends with this life of the server: what goes into tables goes there at once, before a snapshot is taken of it.
    let server = start.clone().with("STEMEDB_SEGMENT_BYTES", "16MiB").serve();
    store(&server, first);
    server.stop();
    let server = start.serve();
    let taken = server.wait_for_line("Index snapshot 1 taken");
    assert!(taken.contains(" bytes in "), "{taken}");
    assert_eq!(server.metric("stemedb_index_snapshots_total"), 1.0);
    assert!(server.metric("stemedb_index_snapshot_bytes") > 100_000.0);
    // These are in the log alone.
    store(&server, last);
    server.stop();

    let server = start.serve();
    let text = server.text();
    assert!(text.contains("Restored ") && text.contains(" assertions from index snapshot 1 in "), "{text}");
    assert!(!text.contains("Index rebuild started..."), "{text}");
    assert_eq!(server.assertion_count(), 10_234);
    assert!(server.metric("stemedb_index_snapshot_restored_assertions") > 5_000.0);
    let answer = |server: &Server| {
        let line = r#"curl http://localhost:18180/v1/query -d '{"concept_path":"host/*","limit":10000}' | jq -c '[.assertions[].hash]'"#;
        typed(server, line)
    };
    let expected = answer(&server);
    server.stop();

    typed_beside(host.root(), "rm -rf data/db/indexes/");
    let server = start.serve();
    let text = server.text();
    let lines = [
        "Index rebuild started...",
        "Rebuilding predicate index from 10234 assertions...",
        "Rebuilding concept index...",
        "Index rebuild complete in ",
    ];
    let places: Vec<_> =
        lines.iter().map(|line| text.find(line).unwrap_or_else(|| panic!("{line}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    let (_, seconds) = text.split_once("Index rebuild complete in ").expect("it was found");
    let seconds = seconds.lines().next().and_then(|line| line.strip_suffix('s')).expect("seconds");
    assert!(seconds.parse::<f64>().is_ok() && seconds.len() >= 3, "{seconds}");
    assert!(!text.contains("WARN"), "{text}");
    assert_eq!((server.assertion_count(), answer(&server)), (10_234, expected));
}
