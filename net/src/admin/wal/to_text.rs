//! What was found in a log, for people: a line for each thing, indented below what it lies in.

use serde_json::Value;
use stemedb_engine::log::frame::{FrameHeader, FrameKind};
use stemedb_engine::log::inspect::{Inspected, InspectedHeader, InspectedRecord};

use super::payload;
use super::tally::Tally;
use super::to_json::{frame_kind, record_kind};
use crate::admin::moment;
use crate::admin::text::{grouped, printable};

/// Enough of a value to recognise it.
const VALUE_CHARS_MAX: usize = 60;

pub(super) fn inspected(inspected: &Inspected) -> String {
    match inspected {
        Inspected::Segment { path, file, header } => {
            let header = match header {
                InspectedHeader::Valid(header) => format!(
                    "generation {}, begun {}, first LSN {}",
                    header.generation,
                    moment::format(header.created),
                    header.first_lsn
                ),
                InspectedHeader::Blank => "prepared, not begun".to_owned(),
                InspectedHeader::Broken(reason) => format!("BAD header: {reason}"),
            };
            format!("{}: {} bytes, {header}", path.display(), grouped(file.bytes))
        }
        Inspected::Frame { offset, header } => frame(*offset, header),
        Inspected::Record(found) => record(found),
        Inspected::Bad { offset, bytes, reason } => {
            format!("  BAD at {offset}, {} bytes: {reason}", grouped(*bytes))
        }
        Inspected::Removed { path } => {
            format!("{}: removed meanwhile, its claims are in tables", path.display())
        }
        Inspected::Unreadable { reason } => format!("  UNREADABLE: {reason}"),
    }
}

/// The sum of the segment that was told last.
pub(super) fn tally(tally: &Tally) -> String {
    let lsns = tally.lsns.map(|(first, last)| format!(" (LSN {first} to {last})")).unwrap_or_default();
    let sealed = if tally.sealed { ", sealed" } else { "" };
    let bad = if tally.bad == 0 { String::new() } else { format!(", {} BAD", tally.bad) };
    format!(
        "  {} records{lsns} in {} frames, {} markers{sealed}, committed to LSN {}, end at {}{bad}",
        grouped(tally.records),
        grouped(tally.frames),
        grouped(tally.markers),
        tally.committed_lsn,
        tally.end
    )
}

fn frame(offset: u64, header: &FrameHeader) -> String {
    let content = match header.kind {
        FrameKind::Records => {
            format!("LSN {} to {}", header.first_lsn, header.next_lsn().0 - 1)
        }
        FrameKind::Marker | FrameKind::Seal => format!("next LSN {}", header.first_lsn),
    };
    format!(
        "  {} at {offset}, {} bytes, {}: {content}, committed to LSN {}",
        frame_kind(header.kind),
        grouped(header.frame_bytes() as u64),
        moment::format(header.time),
        header.committed_lsn
    )
}

fn record(record: &InspectedRecord) -> String {
    let fields = payload::fields(record);
    let said: Vec<String> =
        ["undecodable", "generation", "lanes", "hash", "concept_path", "predicate", "value", "reason"]
            .iter()
            .filter_map(|name| Some(shown(name, fields.get(*name)?)))
            .collect();
    format!(
        "    LSN {} {}, {} bytes: {}",
        record.lsn,
        record_kind(record.kind),
        grouped(record.payload.len() as u64),
        said.join(" ")
    )
}

fn shown(name: &str, value: &Value) -> String {
    match (name, value) {
        ("hash" | "concept_path" | "predicate", Value::String(text)) => printable(text, usize::MAX),
        ("value", value) => printable(&value.to_string(), VALUE_CHARS_MAX),
        (name, value) => format!("{name} {}", printable(&value.to_string(), usize::MAX)),
    }
}
