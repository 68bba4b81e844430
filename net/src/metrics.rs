//! stub
#![allow(missing_docs)]
use crate::api::*;
use crate::core::{Phase, Ticket};
use crate::http::*;
use stemedb_engine::shard::Shard;
#[derive(Debug, Clone)]
pub struct CoreSnapshot {
    pub lane_failed: bool,
    pub phase: Phase,
    pub assertions: u64,
    pub generation: u32,
}
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
#[derive(Debug)]
pub struct Counters {
    pub connections_refused: u64,
    pub connections_accepted: u64,
    pub connections_closed: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
}
impl Counters {
    pub fn new() -> Self {
        Counters {
            connections_refused: 0,
            connections_accepted: 0,
            connections_closed: 0,
            bytes_received: 0,
            bytes_sent: 0,
        }
    }
    pub fn note_turn(&mut self, _: u64) {}
    pub fn note_timeout(&mut self, _: Timeout) {}
    pub fn note_response(&mut self, _: Status) {}
    pub fn note_reject(&mut self, _: Reject) {}
    pub fn note_write(&mut self, _: Result<usize, i32>, _: u64) {}
    pub fn note_frame(&mut self, _: u32) {}
    pub fn note_segment_prepared(&mut self) {}
    pub fn note_error(&mut self, _: Endpoint, _: ErrorCode) {}
    pub fn note_answer(&mut self, _: Endpoint, _: u64) {}
    pub fn note_rejected_claims(&mut self, _: u64) {}
    pub fn snapshot(&self, phase: Phase, shard: Option<&Shard<Ticket>>, _o: usize) -> CoreSnapshot {
        CoreSnapshot {
            lane_failed: false,
            phase,
            assertions: shard.map_or(0, |s| s.index().len()),
            generation: shard.map_or(0, |s| s.lane().config().generation.0),
        }
    }
}
pub fn health(s: &[CoreSnapshot], up: u64) -> Health {
    Health {
        uptime_s: up as f64 / 1e6,
        assertions: s.iter().map(|c| c.assertions).sum(),
        cores: s.len() as u16,
        generation: s[0].generation,
        lanes_failed: 0,
    }
}
pub fn write_text(_: &mut Vec<u8>, _: &[CoreSnapshot], _: u64) {}
