//! What was found in a log, for programs: one JSON object a line, told apart by `found`.

use serde_json::{Value, json};
use stemedb_engine::log::frame::FrameKind;
use stemedb_engine::log::inspect::{Inspected, InspectedHeader};
use stemedb_engine::log::record::RecordKind;

use super::payload;
use super::tally::Tally;
use crate::admin::moment;

pub(super) fn inspected(inspected: &Inspected) -> Value {
    match inspected {
        Inspected::Segment { path, file, header } => {
            let mut object = json!({
                "found": "segment", "file": path, "lane": file.id.lane.0, "segment": file.id.number.0, "bytes": file.bytes,
            });
            match header {
                InspectedHeader::Valid(header) => {
                    object["header"] = "valid".into();
                    object["generation"] = header.generation.0.into();
                    object["first_lsn"] = header.first_lsn.0.into();
                    object["previous_end"] = header.previous_end.into();
                    object["created"] = moment::format(header.created).into();
                }
                InspectedHeader::Blank => object["header"] = "blank".into(),
                InspectedHeader::Broken(reason) => {
                    object["header"] = "broken".into();
                    object["reason"] = reason.to_string().into();
                }
            }
            object
        }
        Inspected::Frame { offset, header } => json!({
            "found": "frame", "offset": offset, "bytes": header.frame_bytes(), "kind": frame_kind(header.kind),
            "first_lsn": header.first_lsn.0, "records": header.records, "committed_lsn": header.committed_lsn.0,
            "committed_end": header.committed_end, "time": moment::format(header.time),
        }),
        Inspected::Record(record) => {
            let mut object = json!({
                "found": "record", "lsn": record.lsn.0, "kind": record_kind(record.kind), "flags": record.flags,
                "bytes": record.payload.len(),
            });
            for (name, value) in payload::fields(record) {
                object[name] = value;
            }
            object
        }
        Inspected::Bad { offset, bytes, reason } => {
            json!({"found": "bad", "offset": offset, "bytes": bytes, "reason": reason})
        }
        Inspected::Removed { path } => json!({"found": "removed", "file": path}),
        Inspected::Unreadable { reason } => json!({"found": "unreadable", "reason": reason}),
    }
}

/// The sum of the segment that was told last.
pub(super) fn tally(tally: &Tally) -> Value {
    json!({
        "found": "sum", "frames": tally.frames, "markers": tally.markers, "sealed": tally.sealed,
        "records": tally.records, "first_lsn": tally.lsns.map(|(first, _)| first),
        "last_lsn": tally.lsns.map(|(_, last)| last), "committed_lsn": tally.committed_lsn, "end": tally.end,
        "bad": tally.bad,
    })
}

pub(super) fn frame_kind(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Records => "records",
        FrameKind::Marker => "marker",
        FrameKind::Seal => "seal",
    }
}

pub(super) fn record_kind(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Assertion => "assertion",
        RecordKind::Vote => "vote",
        RecordKind::Epoch => "epoch",
        RecordKind::Retraction => "retraction",
        RecordKind::Generation => "generation",
    }
}
