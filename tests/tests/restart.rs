//! Goal: a restart changes no answer, and starts and stops do what they say.
//!
//! Method: a server's answers to a set of queries are kept and compared, byte by byte, with those that it gives after
//! clean stops, after `kill -9`, and with another number of cores. Stops are asked for while requests are under way,
//! which the server shows by asking for their bodies. Starts are asked for that must fail.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::json;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Random, Server, Start, http, listing};

/// How long a server may take to stop, whatever its clients do.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long a stop is waited for where its time is not the matter.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn answers_are_the_same_after_every_kind_of_restart() {
    let mut random = Random::for_test("answers");
    let data = Data::new();
    let server = Start::on(&data).cores(2).serve();
    let hashes = fill(&server, &mut random);
    let expected = answers(&server, &hashes);
    let count = server.assertion_count();
    let cursor = first_cursor(&server);
    let second_page = page_behind(&server, &cursor);
    server.stop();

    for (cores, kills) in [(2, true), (1, false), (1, true), (2, false), (2, true)] {
        let server = Start::on(&data).cores(cores).serve();
        assert_eq!(server.assertion_count(), count);
        for ((query, before), (_, after)) in expected.iter().zip(answers(&server, &hashes)) {
            assert_eq!(*before, after, "{query}, on {cores} cores");
        }
        assert_eq!(page_behind(&server, &cursor), second_page, "a cursor outlives the server");
        if kills { server.kill() } else { drop(server.stop()) }
    }
}

#[test]
fn generations_and_metadata_are_counted_on() {
    let data = Data::new();
    for generation in 1..=4_u64 {
        let server = Start::on(&data).cores(1 + generation as usize % 2).serve();
        assert_eq!(server.health()["generation"], generation);
        assert_eq!(server.metric("stemedb_restarts_total"), (generation - 1) as f64);
        let claim = TestClaim::new("generations", "is", generation);
        server.client().post("/v1/assert", claim.json()).expect("an answer").ok();
        server.stop();
        let text = std::fs::read_to_string(data.root().join("metadata.json")).expect("it was written");
        let metadata: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(metadata["assertion_count"], generation);
        assert_eq!(metadata["generation"], generation);
    }
}

/// What is written at a stop besides the log helps people; the log is what counts.
#[test]
fn a_stop_is_clean_though_its_metadata_cannot_be_written() {
    let data = Data::new();
    let server = Start::on(&data).cores(1).serve();
    let path = data.root().join("metadata.json");
    std::fs::remove_file(&path).expect("the start has written it");
    std::fs::create_dir(&path).expect("the directory is writable");
    let text = server.stop();
    assert!(text.contains("WARN") && text.contains("metadata.json"), "{text}");
}

#[test]
fn a_stop_answers_what_is_under_way_and_frees_the_port() {
    let data = Data::new();
    let server = Start::on(&data).cores(2).serve();
    let address = server.address();
    // Requests of which the server has read the heads, as its leave to send the bodies shows.
    let mut under_way: Vec<(Client, Vec<u8>, u16)> = Vec::new();
    for number in 0..40 {
        let claim = TestClaim::new(format!("stop/{number}"), "is", number).json();
        let (target, body, status) = match number % 4 {
            0 => ("/v1/assert", claim, 201),
            1 => ("/v1/assert/batch", format!("{claim}\n{claim}\n"), 200),
            2 => ("/v1/query", json!({"concept_path": "/*"}).to_string(), 200),
            _ => ("/v1/assert", "{".to_owned(), 400),
        };
        let request = http::request_with("POST", target, "Expect: 100-continue\r\n", body.as_bytes());
        let (head, body) = request.split_at(request.len() - body.len());
        let mut client = server.client();
        client.send(head).expect("it is received");
        assert_eq!(client.response().expect("leave to send the body").status, 100);
        under_way.push((client, body.to_vec(), status));
    }
    let idle: Vec<Client> = (0..10).map(|_| server.client()).collect();

    server.terminate();
    server.wait_for_line("Stopping");
    for mut client in idle {
        client.expect_end();
    }
    // All before any answer is read, so that they share their way to the disk: there are three seconds for them.
    for (client, body, _) in &mut under_way {
        client.send(body).expect("it is received");
    }
    for (client, _, status) in &mut under_way {
        let response = client.response().expect("an answer to what is under way");
        assert_eq!(response.status, *status, "{response:?}");
        assert_eq!(response.field("connection"), Some("close"));
        client.expect_end();
    }
    drop(under_way);
    let (status, text) = server.ended(PATIENCE);
    assert!(status.success(), "{status}:\n{text}");
    TcpListener::bind(address).expect("the port is free");

    let server = Start::on(&data).serve();
    assert_eq!(server.assertion_count(), 20, "{}", server.text());
    server.stop();
}

#[test]
fn a_stop_under_load_breaks_no_answer_off() {
    const WRITERS: usize = 16;
    let data = Data::new();
    let server = Start::on(&data).cores(2).serve();
    let address = server.address();
    let (mut sent, mut acknowledged) = (0, 0);
    thread::scope(|scope| {
        let (started, has_started) = std::sync::mpsc::channel();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let started = started.clone();
                scope.spawn(move || {
                    let mut client = Client::connect(address).expect("the server listens");
                    for number in 0_u64.. {
                        let claim = TestClaim::new(format!("load/{writer}/{number}"), "is", number);
                        match client.post("/v1/assert", claim.json()) {
                            Ok(response) => assert_eq!(response.status, 201, "{response:?}"),
                            Err(error) => {
                                assert_ne!(error.kind(), ErrorKind::UnexpectedEof, "an answer was cut short");
                                return (number, number + 1);
                            }
                        }
                        let _ = started.send(());
                    }
                    panic!("numbers do not end")
                })
            })
            .collect();
        for _ in 0..20 * WRITERS {
            has_started.recv().expect("writers write");
        }
        server.terminate();
        for writer in writers {
            let (of_writer, sent_by_writer) = writer.join().expect("each answer is as it should be");
            acknowledged += of_writer;
            sent += sent_by_writer;
        }
    });
    let (status, text) = server.ended(PATIENCE);
    assert!(status.success(), "{status}:\n{text}");
    let server = Start::on(&data).serve();
    let count = server.assertion_count();
    assert!((acknowledged..=sent).contains(&count), "{count} of {acknowledged} acknowledged and {sent} sent");
    println!("{acknowledged} claims acknowledged before the stop, {count} there after it");
}

#[test]
fn an_interrupt_stops_it_too_and_a_second_one_does_no_harm() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    server.client().post("/v1/assert", TestClaim::new("a", "is", 1).json()).expect("an answer").ok();
    let mut client = server.client();
    let head = "POST /v1/assert HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.send(head.as_bytes()).expect("it is received");
    assert_eq!(client.response().expect("leave to send the body").status, 100);
    server.interrupt();
    server.wait_for_line("Stopping");
    server.interrupt();
    server.terminate();
    client.send(b"{}").expect("it is received");
    assert_eq!(client.response().expect("an answer to what is under way").status, 400);
    drop(client);
    let (status, text) = server.ended(PATIENCE);
    assert!(status.success(), "{status}:\n{text}");
    assert!(text.contains("Stopped with 1 assertions"), "{text}");
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_does_not() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let mut client = server.client();
    let head =
        "POST /v1/assert HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    client.send(head.as_bytes()).expect("it is received");
    assert_eq!(client.response().expect("leave to send the body").status, 100);
    server.terminate();
    let (status, text) = server.ended(STOP_LIMIT);
    assert!(status.success(), "{status}:\n{text}");
    client.expect_end();
}

#[test]
fn a_second_server_is_refused_and_told_who_is_there() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    let other = Data::new();

    let refused = Start::on(&other).with("STEMEDB_BIND_ADDR", server.address().to_string()).refused();
    assert_eq!(refused.status.code(), Some(1));
    for part in [
        server.address().to_string(),
        "Address already in use".to_owned(),
        format!("process {} listens there", server.pid()),
    ] {
        assert!(refused.text.contains(&part), "{part:?} is not in\n{}", refused.text);
    }
    assert!(!other.wal().exists(), "nothing else was begun:\n{}", refused.text);

    for start in [
        Start::on(&data),
        Start::on(&other).with("STEMEDB_WAL_DIR", data.wal()),
        Start::on(&other).with("STEMEDB_DB_DIR", data.db()),
    ] {
        let refused = start.refused();
        assert_eq!(refused.status.code(), Some(1));
        let holder = format!("in use by process {}", server.pid());
        assert!(refused.text.contains(&holder), "{holder:?} is not in\n{}", refused.text);
    }

    let claim = TestClaim::new("still", "is", "there").json();
    assert_eq!(server.client().post("/v1/assert", claim).expect("an answer").status, 201);
    server.kill();
    let server = Start::on(&data).serve();
    assert_eq!(server.assertion_count(), 1, "what a killed server leaves behind is no lock");
}

#[test]
fn a_wrong_setting_is_refused_with_its_name_its_value_and_what_would_be_right() {
    let wrong = [
        ("STEMEDB_BIND_ADDR", "localhost", "an address and a port"),
        ("STEMEDB_BIND_ADDR", "127.0.0.1:99999", "an address and a port"),
        ("STEMEDB_WAL_DIR", "", "a directory"),
        ("STEMEDB_CORES", "0", "a number from 1 to"),
        ("STEMEDB_CORES", "-1", "a number from 1 to"),
        ("STEMEDB_CORES", "100000", "a number from 1 to"),
        ("STEMEDB_CORES", "0,x", "a CPU list"),
        ("STEMEDB_TLS_ENABLED", "yes", "true or false"),
        ("STEMEDB_LOG", "loud", "error, warn, info, debug, trace"),
        ("STEMEDB_SEGMENT_BYTES", "1MiB", "a size from 2MiB to 1GiB"),
        ("STEMEDB_SEGMENT_BYTES", "2097153", "a multiple of 4KiB"),
        ("STEMEDB_SEGMENT_BYTES", "64MB", "a size from 2MiB to 1GiB"),
        ("STEMEDB_FRAME_BYTES_MAX", "2MiB", "a size from 128KiB to 1MiB"),
        ("STEMEDB_FRAMES_IN_FLIGHT", "3", "a whole number from 1 to 2"),
        ("STEMEDB_FRAME_BUFFERS", "two", "a whole number from 4 to 1024"),
        ("STEMEDB_INDEX_BYTES_MAX", "99999999999GiB", "a size from"),
        ("STEMEDB_CONNECTIONS_MAX", "0", "a whole number from 1"),
        ("STEMEDB_HEAD_BYTES_MAX", "1", "a size from 1KiB to 64KiB"),
        ("STEMEDB_BODY_BYTES_MAX", "1e6", "a size from 128KiB to 16MiB"),
        ("STEMEDB_IDLE_TIMEOUT_S", "0", "a whole number from 1 to 3600"),
        ("STEMEDB_HEAD_TIMEOUT_S", "1.5", "a whole number from 1 to 600"),
        ("STEMEDB_BODY_BYTES_PER_SECOND_MIN", "1GiB", "a size from 0 to 1MiB"),
        ("STEMEDB_SEND_TIMEOUT_S", "601", "a whole number from 1 to 600"),
        ("STEMEDB_TIMESTAMP_FUTURE_S_MAX", "-5", "a whole number from 0 to 86400"),
    ];
    let data = Data::new();
    for (variable, value, expected) in wrong {
        let refused = Start::on(&data).with(variable, value).refused();
        assert_eq!(refused.status.code(), Some(1), "{variable}={value}");
        for part in [variable, &format!("'{value}'"), expected] {
            assert!(refused.text.contains(part), "{variable}={value}: {part:?} is not in\n{}", refused.text);
        }
        assert_eq!(refused.text.lines().count(), 1, "{variable}={value}:\n{}", refused.text);

        let flag = format!("--{}", variable.trim_start_matches("STEMEDB_").to_lowercase().replace('_', "-"));
        let refused = Start::on(&data).argument(format!("{flag}={value}")).refused();
        assert!(refused.text.contains(&format!("flag {flag}")), "{}", refused.text);
    }
    assert!(!data.wal().exists(), "nothing was begun");

    let refused = Start::on(&data).argument("--no-such-flag").refused();
    assert_eq!(refused.status.code(), Some(2), "{}", refused.text);
    let file = data.root().join("stemedb.toml");
    std::fs::write(&file, "cores = 1\nno_such_key = 2\n").expect("writable");
    let refused = Start::on(&data).with("STEMEDB_CONFIG", &file).refused();
    for part in ["no_such_key", "stemedb.toml"] {
        assert!(refused.text.contains(part), "{}", refused.text);
    }
    assert!(!data.wal().exists(), "nothing was begun");
}

#[test]
fn a_setting_that_does_not_exist_is_told_and_ignored() {
    let data = Data::new();
    let server = Start::on(&data).with("STEMEDB_NO_SUCH_THING", "1").serve();
    server.wait_for_line("Ignoring environment variable STEMEDB_NO_SUCH_THING");
}

/// Writes claims of every kind, and retracts some. Gives some hashes.
fn fill(server: &Server, random: &mut Random) -> Vec<String> {
    let mut client = server.client();
    for number in 0..400_u64 {
        let mut claim = TestClaim::new(format!("answers/{}/{}", number % 7, number % 31), "is", number % 5);
        claim.predicate = ["is", "has", "says"][random.within(0..=2) as usize].to_owned();
        claim.value = match number % 6 {
            0 => json!(random.text(100)),
            1 => json!(number % 2 == 0),
            2 => json!([number, {"nested": null}]),
            3 => json!(123_456_789_012_345_678_u64),
            _ => json!(number % 3),
        };
        claim.confidence = random.within(0..=100) as f64 / 100.0;
        // Many at the same time, so that the order of writing counts.
        claim.timestamp_us += 1_000_000 * random.within(0..=20);
        claim.source = random.once_in(2).then(|| format!("source/{}/page", number % 4));
        client.post("/v1/assert", claim.json()).expect("an answer").ok();
    }
    for retracted in ["source/1", "answers/2/2", "source/never"] {
        client.post_json("/v1/retract", &json!({"concept_path": retracted, "reason": "a test"}));
    }
    let rows = listing::all_with_retracted(&mut client, "answers/*");
    let retracted = rows.iter().filter(|row| row.status == "retracted").count();
    assert!((20..350).contains(&retracted), "{retracted} of 400 claims are retracted");
    rows.into_iter().step_by(40).map(|row| row.hash).collect()
}

/// What the server answers to a set of queries, byte by byte.
fn answers(server: &Server, hashes: &[String]) -> Vec<(String, String)> {
    let mut client = server.client();
    let queries = [
        json!({"concept_path": "/*", "limit": 10_000}),
        json!({"concept_path": "/*", "limit": 10_000, "include_retracted": true, "lifecycle": "any"}),
        json!({"concept_path": "answers/3/*"}),
        json!({"subject": "answers/3/3"}),
        json!({"concept_path": "answers/*", "predicate": "has", "limit": 50}),
        json!({"concept_path": "answers/*", "lens": "recency", "limit": 1000}),
        json!({"concept_path": "answers/*", "lens": "consensus", "limit": 1000}),
        json!({"concept_path": "answers/*", "lens": "confidence", "limit": 1000}),
        json!({"concept_path": "answers/*", "lens": "consensus", "include_retracted": true}),
        json!({"concept_path": "answers/*", "as_of": 1_700_000_010}),
        json!({"concept_path": "answers/*", "as_of": 1_700_000_010, "lens": "recency"}),
        json!({"concept_path": "answers/*", "as_of": 1_800_000_000, "decay": true, "lens": "confidence"}),
        json!({"concept_path": "answers/*", "min_confidence": 0.9}),
        json!({"concept_path": "nothing/here"}),
    ];
    let mut answers = Vec::new();
    for query in queries {
        let response = client.post("/v1/query", query.to_string()).expect("an answer");
        assert_eq!(response.status, 200, "{query}: {response:?}");
        answers.push((query.to_string(), String::from_utf8(response.body).expect("JSON is UTF-8")));
    }
    for hash in hashes {
        let response = client.get(&format!("/v1/assertion/{hash}")).expect("an answer");
        assert_eq!(response.status, 200, "{response:?}");
        answers.push((hash.clone(), String::from_utf8(response.body).expect("JSON is UTF-8")));
    }
    answers
}

fn first_cursor(server: &Server) -> String {
    let page = server.client().post_json("/v1/query", &json!({"concept_path": "/*", "limit": 30}));
    page["cursor"].as_str().expect("there is more").to_owned()
}

fn page_behind(server: &Server, cursor: &str) -> serde_json::Value {
    server.client().post_json("/v1/query", &json!({"concept_path": "/*", "limit": 30, "cursor": cursor}))
}
