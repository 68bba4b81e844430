//! Goal: the log stays within `STEMEDB_WAL_BYTES_MAX`; at that bound writes are refused, reads go on, and when checkpoints are let
//! at it again all goes on by itself, with all that was acknowledged. Method: a real server with the least bound, whose
//! segments are held as a backup holds them, until they are let go of.

use std::fs;
use std::time::{Duration, Instant};

use stemedb_engine::data_dir::Hold;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Random, Server, Start};

/// The least bound of one core with the smallest segments.
const WAL_BYTES_MAX: u64 = 6 * (2 << 20);

/// Bytes of a claim's value.
const VALUE_BYTES: usize = 60_000;

/// How long a checkpoint may take at the most before the test gives up.
const PATIENCE: Duration = Duration::from_secs(300);

struct Writer {
    client: Client,
    random: Random,
    acknowledged: u64,
}

impl Writer {
    /// Sends a new claim, and gives the error that it is refused with.
    fn write(&mut self) -> Option<(u16, String)> {
        let path = format!("full/{}", self.acknowledged);
        let body = TestClaim::new(path, "is", self.random.text(VALUE_BYTES)).json();
        let response = self.client.post("/v1/assert", body).expect("an answer");
        if response.status == 201 {
            self.acknowledged += 1;
            return None;
        }
        let again = response.fields.iter().find(|(name, _)| name == "retry-after").map(|(_, value)| &**value);
        assert_eq!(again, Some("1"), "{response:?}");
        Some((response.status, String::from_utf8_lossy(&response.body).into_owned()))
    }

    /// Writes until something is refused.
    fn fill(&mut self) -> (u16, String) {
        (0..1000).find_map(|_| self.write()).expect("the log has a bound")
    }
}

/// Bytes of all segments.
fn wal_bytes(data: &Data) -> u64 {
    let files = fs::read_dir(data.wal()).expect("it is there").map(|entry| entry.expect("readable"));
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    // A segment may be gone as soon as it was listed.
    segments.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

fn is_at_its_bound(server: &Server, data: &Data) {
    let said = server.wait_for_line("The log has reached STEMEDB_WAL_BYTES_MAX");
    assert!(said.contains("WARN") && said.contains("docs/operations/full.md"), "{said}");
    assert_eq!(server.metric("stemedb_wal_bytes_max"), WAL_BYTES_MAX as f64);
    assert_eq!(server.metric("stemedb_wal_disk_usage_bytes"), WAL_BYTES_MAX as f64);
    assert!(server.metric(r#"stemedb_assertions_rejected_total{reason="log_full"}"#) >= 1.0);
    assert_eq!(wal_bytes(data), WAL_BYTES_MAX);
    assert_eq!(server.health()["status"], "healthy");
    let mut client = server.client();
    assert_eq!(client.get("/ready").expect("an answer").status, 200);
    assert_eq!(client.get("/v1/query?concept_path=full/0").expect("an answer").ok()["count"], 1);
}

#[test]
fn at_its_bound_the_log_refuses_writes_until_checkpoints_have_caught_up() {
    let data = Data::new();
    let server = Start::on(&data).with("STEMEDB_WAL_BYTES_MAX", WAL_BYTES_MAX.to_string()).serve();
    let mut writer =
        Writer { client: server.client(), random: Random::for_test("a full log"), acknowledged: 0 };
    let hold = Hold::on(&data.wal()).expect("nobody removes anything");
    let (status, body) = writer.fill();
    assert!(status == 503 && body.contains(r#""code":"log_full""#), "{status}: {body}");
    is_at_its_bound(&server, &data);
    let acknowledged = writer.acknowledged;
    assert!(
        acknowledged * VALUE_BYTES as u64 > WAL_BYTES_MAX / 4 * 3,
        "only {acknowledged} before the bound"
    );

    drop(hold);
    let began = Instant::now();
    while let Some((status, body)) = writer.write() {
        assert!(status == 503 && body.contains("log_full"), "{status}: {body}");
        assert!(began.elapsed() < PATIENCE, "checkpoints do not catch up");
    }
    // As much again, with checkpoints as fast as they are.
    while writer.acknowledged < 2 * acknowledged {
        if let Some((status, body)) = writer.write() {
            assert!(status == 503 && body.contains("log_full"), "{status}: {body}");
            assert!(began.elapsed() < PATIENCE, "checkpoints do not keep up");
        }
        assert!(wal_bytes(&data) <= WAL_BYTES_MAX);
    }
    let Writer { acknowledged, client, .. } = writer;
    drop(client);
    server.kill();
    let server = Start::on(&data).serve();
    assert_eq!(server.assertion_count(), acknowledged);
    server.stop();
}

/// Goal: a bound in which a lane could stand still for ever is not taken. Method: just below the least one, and that one.
#[test]
fn a_bound_has_room_for_six_segments_of_each_core() {
    let data = Data::new();
    let start = |bytes: u64| Start::on(&data).with("STEMEDB_WAL_BYTES_MAX", bytes.to_string());
    let refused = start(WAL_BYTES_MAX - 1).refused();
    for part in ["STEMEDB_WAL_BYTES_MAX", "'12582911'", "expected a size from 12MiB"] {
        assert!(refused.text.contains(part), "{part:?} is not in\n{}", refused.text);
    }
    start(WAL_BYTES_MAX).serve().stop();
}
