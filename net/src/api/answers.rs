//! The answers that are one small object each.

use stemedb_engine::checkpoint::DamagedPlace;
use stemedb_engine::claim::ClaimHash;
use stemedb_engine::time::UnixMicros;

use super::text::{push_bool, push_count, push_hex_string, push_json_string, push_number, push_seconds};

/// Room for the answer to a claim, so that it is allocated once.
const CREATED_BYTES_USUAL: usize = 160;

/// Appends the answer to a claim that was stored: `201`.
pub fn write_created(out: &mut Vec<u8>, hash: &ClaimHash, timestamp: UnixMicros) {
    out.reserve(CREATED_BYTES_USUAL);
    out.extend_from_slice(b"{\"hash\":");
    push_hex_string(out, &hash.0);
    out.extend_from_slice(b",\"status\":\"created\",\"timestamp\":");
    push_seconds(out, timestamp);
    out.push(b'}');
}

/// Appends the answer to a claim that was stored before: `200`.
pub fn write_exists(out: &mut Vec<u8>, hash: &ClaimHash) {
    out.extend_from_slice(b"{\"hash\":");
    push_hex_string(out, &hash.0);
    out.extend_from_slice(b",\"status\":\"exists\"}");
}

/// How the server is.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// How long the server has been up, in seconds.
    pub uptime_s: f64,
    /// Claims held, retracted ones included.
    pub assertions: u64,
    /// Cores that serve.
    pub cores: u16,
    /// The number of this start, from 1.
    pub generation: u32,
    /// Whether claims are still being read from the disk, so that they are neither counted nor served yet.
    pub is_recovering: bool,
    /// Lanes that a failed write has ended.
    pub lanes_failed: u16,
    /// Whether a failure has ended what moves claims from the log into tables.
    pub upkeep_failed: bool,
    /// What is damaged of what is stored: one place a file.
    pub damage: Vec<DamagedPlace>,
}

/// The most damaged places that are told. Who has more needs no list.
const DAMAGE_TOLD_MAX: usize = 16;

impl Health {
    /// Appends the answer to `/v1/health`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let is_whole =
            !self.is_recovering && self.lanes_failed == 0 && !self.upkeep_failed && self.damage.is_empty();
        let status = if is_whole { "healthy" } else { "degraded" };
        out.extend_from_slice(b"{\"status\":\"");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\",\"version\":");
        push_json_string(out, env!("CARGO_PKG_VERSION"));
        out.extend_from_slice(b",\"uptime_seconds\":");
        push_number(out, self.uptime_s);
        out.extend_from_slice(b",\"assertion_count\":");
        push_count(out, self.assertions);
        out.extend_from_slice(b",\"cores\":");
        push_count(out, self.cores.into());
        out.extend_from_slice(b",\"generation\":");
        push_count(out, self.generation.into());
        out.extend_from_slice(b",\"recovering\":");
        push_bool(out, self.is_recovering);
        out.extend_from_slice(b",\"lanes_failed\":");
        push_count(out, self.lanes_failed.into());
        out.extend_from_slice(b",\"upkeep_failed\":");
        push_bool(out, self.upkeep_failed);
        out.extend_from_slice(b",\"damaged_files\":");
        push_count(out, self.damage.len() as u64);
        out.extend_from_slice(b",\"damage\":[");
        for (number, place) in self.damage.iter().take(DAMAGE_TOLD_MAX).enumerate() {
            out.extend_from_slice(if number > 0 { b",{\"file\":" } else { b"{\"file\":" });
            push_json_string(out, &place.path.to_string_lossy());
            out.extend_from_slice(b",\"offset\":");
            push_count(out, place.offset);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}

/// The answer of `/ready` from a server that takes requests: `200`. Another answers [`ErrorCode::NotReady`].
///
/// [`ErrorCode::NotReady`]: super::ErrorCode::NotReady
pub const READY_JSON: &[u8] = b"{\"status\":\"ready\"}";

#[cfg(test)]
mod tests {
    use super::*;

    fn json(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("answers are UTF-8")
    }

    #[test]
    fn an_assert_is_answered_with_hash_status_and_time() {
        let hash = ClaimHash([0xAB; 32]);
        let digits = "ab".repeat(32);
        assert_eq!(
            json(|out| write_created(out, &hash, UnixMicros(1_754_000_000_500_000))),
            format!(r#"{{"hash":"{digits}","status":"created","timestamp":1754000000.5}}"#)
        );
        assert_eq!(
            json(|out| write_exists(out, &hash)),
            format!(r#"{{"hash":"{digits}","status":"exists"}}"#)
        );
    }

    #[test]
    fn health_is_degraded_before_all_is_there_and_once_something_has_failed_or_is_damaged() {
        let health = Health {
            uptime_s: 12.5,
            assertions: 3,
            cores: 2,
            generation: 7,
            is_recovering: false,
            lanes_failed: 0,
            upkeep_failed: false,
            damage: Vec::new(),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            json(|out| health.write_json(out)),
            format!(
                r#"{{"status":"healthy","version":"{version}","uptime_seconds":12.5,"assertion_count":3,"cores":2,"generation":7,"recovering":false,"lanes_failed":0,"upkeep_failed":false,"damaged_files":0,"damage":[]}}"#
            )
        );
        let place = |offset| DamagedPlace {
            path: "/data/db/assertions-0000000003.kv".into(),
            offset,
            problem: String::new(),
        };
        let damaged = Health { damage: (0..40).map(place).collect(), ..health.clone() };
        for health in [
            Health { is_recovering: true, ..health.clone() },
            Health { lanes_failed: 1, ..health.clone() },
            Health { upkeep_failed: true, ..health },
            damaged.clone(),
        ] {
            assert!(json(|out| health.write_json(out)).starts_with(r#"{"status":"degraded","#));
        }
        let told = json(|out| damaged.write_json(out));
        let first = r#""damaged_files":40,"damage":[{"file":"/data/db/assertions-0000000003.kv","offset":0},{"file":"#;
        assert!(told.contains(first), "{told}");
        assert_eq!(told.matches("\"file\"").count(), DAMAGE_TOLD_MAX);
    }
}
