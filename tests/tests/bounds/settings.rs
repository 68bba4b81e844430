//! The bounds of the settings, and that bounds which are set are the ones that hold.

use std::net::TcpListener;
use std::process::Command;
use std::time::UNIX_EPOCH;

use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Data, Start, binary, process};

use crate::{Served, is_refusal, messages};

/// A setting that is a number: what is just below it, its least and its greatest value, and what is just above.
struct Range {
    variable: &'static str,
    below: &'static str,
    least: &'static str,
    greatest: &'static str,
    above: &'static str,
}

const fn range(variable: &'static str, [below, least, greatest, above]: [&'static str; 4]) -> Range {
    Range { variable, below, least, greatest, above }
}

const RANGES: [Range; 17] = [
    range("STEMEDB_SEGMENT_BYTES", ["2093056", "2MiB", "1GiB", "1073745920"]),
    range("STEMEDB_CHECKPOINT_BYTES", ["4194303", "4MiB", "1GiB", "1073741825"]),
    range("STEMEDB_ARCHIVE_HOLD_BYTES", ["-1", "0", "1024GiB", "1099511627777"]),
    range("STEMEDB_SCRUB_BYTES_PER_SECOND", ["65535", "64KiB", "1GiB", "1073741825"]),
    range("STEMEDB_FRAME_BYTES_MAX", ["126976", "128KiB", "1MiB", "1052672"]),
    range("STEMEDB_FRAMES_IN_FLIGHT", ["0", "1", "2", "3"]),
    range("STEMEDB_SPIN_US", ["-1", "0", "1000", "1001"]),
    range("STEMEDB_FRAME_BUFFERS", ["3", "4", "1024", "1025"]),
    range("STEMEDB_INDEX_BYTES_MAX", ["16777215", "16MiB", "1024GiB", "1099511627777"]),
    range("STEMEDB_CONNECTIONS_MAX", ["0", "1", "16384", "16385"]),
    range("STEMEDB_HEAD_BYTES_MAX", ["1023", "1KiB", "64KiB", "65537"]),
    range("STEMEDB_BODY_BYTES_MAX", ["131071", "128KiB", "16MiB", "16777217"]),
    range("STEMEDB_IDLE_TIMEOUT_S", ["0", "1", "3600", "3601"]),
    range("STEMEDB_HEAD_TIMEOUT_S", ["0", "1", "600", "601"]),
    range("STEMEDB_BODY_BYTES_PER_SECOND_MIN", ["-1", "0", "1MiB", "1048577"]),
    range("STEMEDB_SEND_TIMEOUT_S", ["0", "1", "600", "601"]),
    range("STEMEDB_TIMESTAMP_FUTURE_S_MAX", ["-1", "0", "86400", "86401"]),
];

/// Settings that are no numbers, or whose range depends on others; `restart`, `tls`, `full_log` and `given_up` test what is wrong with them.
const OTHERS: [&str; 11] = [
    "STEMEDB_BIND_ADDR",
    "STEMEDB_WAL_DIR",
    "STEMEDB_DB_DIR",
    "STEMEDB_CORES",
    "STEMEDB_WAL_BYTES_MAX",
    "STEMEDB_GIVE_UP_SEGMENTS",
    "STEMEDB_TLS_ENABLED",
    "STEMEDB_TLS_CERT",
    "STEMEDB_TLS_KEY",
    "STEMEDB_TLS_CLIENT_CA",
    "STEMEDB_LOG",
];

#[test]
fn every_setting_has_its_bounds_tested() {
    let help = Command::new(binary::stemedb_api()).arg("--help").output().expect("it can be run");
    let help = String::from_utf8(help.stdout).expect("help is text");
    // Lines are broken wherever there is a blank.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut told: Vec<&str> =
        help.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    let mut tested: Vec<&str> = RANGES.iter().map(|range| range.variable).chain(OTHERS).collect();
    tested.push("STEMEDB_CONFIG");
    told.sort_unstable();
    tested.sort_unstable();
    assert_eq!(told, tested);
}

#[test]
fn a_setting_within_its_range_is_taken_and_one_beyond_is_refused() {
    let data = Data::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    // Settings come before the port: a server that minds that the port is taken has minded no setting.
    let start = || Start::on(&data).with("STEMEDB_BIND_ADDR", &address);
    for Range { variable, below, least, greatest, above } in RANGES {
        for value in [least, greatest] {
            let text = start().with(variable, value).refused().text;
            assert!(text.contains(&address) && !text.contains(variable), "{variable}={value}:\n{text}");
        }
        for value in [below, above] {
            let refused = start().with(variable, value).refused();
            assert_eq!(refused.status.code(), Some(1), "{variable}={value}");
            for part in [variable, &format!("'{value}'"), "expected"] {
                assert!(refused.text.contains(part), "{variable}={value}:\n{}", refused.text);
            }
        }
    }
    assert!(!data.wal().exists(), "nothing was begun");
}

fn now_s() -> u64 {
    UNIX_EPOCH.elapsed().expect("it is past 1970").as_secs()
}

/// A claim of a time so many seconds ahead.
fn ahead(s: u64) -> String {
    let mut claim = TestClaim::new("ahead", "is", s);
    claim.timestamp_us = (now_s() + s) * 1_000_000;
    claim.json()
}

#[test]
fn with_all_settings_at_their_least_it_serves_within_them() {
    let data = Data::new();
    // Who comes too late or alone has tests of its own; here somebody has to come in and may take a moment.
    let lenient = ["STEMEDB_CONNECTIONS_MAX", "STEMEDB_IDLE_TIMEOUT_S"];
    let start = RANGES.iter().fold(Start::on(&data), |start, range| start.with(range.variable, range.least));
    let start = lenient.into_iter().fold(start, Start::without);
    let server = start.serve();
    let mut served = Served { client: server.client(), server, data };
    served.works(&TestClaim::new("least", "is", 1));
    messages::sizes_are(&mut served, 1 << 10, 128 << 10);
    served.takes("/v1/assert", ahead(0));
    served.refuses("/v1/assert", ahead(250), 400, "timestamp_in_future");
    let lines: String = (0..5000)
        .map(|number| TestClaim::new(format!("least/{number}"), "is", number).json() + "\n")
        .collect();
    assert_eq!(served.takes("/v1/assert/batch", lines)["accepted"], 5000);
    let Served { client, server, data } = served;
    drop(client);
    server.stop();

    // One connection: the second is told to come back, until the first has gone.
    let server = Start::on(&data).with("STEMEDB_CONNECTIONS_MAX", "1").serve();
    let mut only = server.client();
    assert_eq!(only.get("/ready").expect("an answer").status, 200);
    is_refusal(&server.client().response().expect("an answer"), 503, "overloaded");
    assert_eq!(only.get("/v1/query?concept_path=least/*").expect("an answer").ok()["count"], 100);
    drop(only);
    server.stop();
}

#[test]
fn with_all_settings_at_their_greatest_it_serves_within_them() {
    let data = Data::new();
    let start =
        RANGES.iter().fold(Start::on(&data), |start, range| start.with(range.variable, range.greatest));
    // The disk is not there for segments that nobody fills.
    let server = start.with("STEMEDB_SEGMENT_BYTES", "2MiB").serve();
    let mut served = Served { client: server.client(), server, data };
    served.works(&TestClaim::new("greatest", "is", 1));
    messages::sizes_are(&mut served, 64 << 10, 16 << 20);
    served.takes("/v1/assert", ahead(86_390));
    served.refuses("/v1/assert", ahead(86_500), 400, "timestamp_in_future");
    // Room that is allowed is not taken before it is needed.
    let bytes = process::anonymous_bytes(served.server.pid());
    assert!(bytes <= 192 << 20, "{bytes} bytes of memory");
    served.server.stop();
}
