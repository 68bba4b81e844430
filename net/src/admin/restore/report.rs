//! Tells what is kept of a log that is cut back to a moment, and what is dropped.

use std::io::{self, Write as _, stderr, stdout};

use serde_json::json;
use stemedb_engine::log::recovery::cut::{Cut, CutLane};
use stemedb_engine::time::UnixMicros;

use crate::admin::moment;
use crate::admin::text::{grouped, megabytes};

/// Prints a line for each lane.
pub(super) fn print(as_json: bool, cut: &Cut, is_dry_run: bool) -> io::Result<()> {
    if as_json {
        return if is_dry_run {
            writeln!(stdout(), "{}", to_json(cut))
        } else {
            writeln!(stderr(), "{}", to_json(cut))
        };
    }
    let mut out = stdout().lock();
    writeln!(out, "Cutting the log back to {}", moment::format(cut.time))?;
    for lane in &cut.lanes {
        writeln!(out, "  {}", line(lane))?;
    }
    match (cut.drops_nothing(), cut.last_kept()) {
        (true, Some(last)) => writeln!(out, "Nothing is dropped: the log ends at {}", moment::format(last)),
        (true, None) => writeln!(out, "Nothing is dropped: the log is empty"),
        (false, _) => writeln!(out, "{} records are dropped", grouped(cut.records_dropped())),
    }
}

fn line(lane: &CutLane) -> String {
    let kept = match lane.last_kept {
        Some(time) => {
            format!("LSN 1 to {} kept, the last of {}", lane.next_lsn.before(), moment::format(time))
        }
        None => "nothing kept".to_owned(),
    };
    let dropped = match lane.first_dropped {
        Some(time) => format!(
            "{} records ({}) dropped, the first of {}",
            grouped(lane.records_dropped),
            megabytes(lane.bytes_dropped),
            moment::format(time)
        ),
        None => "nothing dropped".to_owned(),
    };
    format!("lane {}: {kept}; {dropped}", lane.lane.0)
}

fn to_json(cut: &Cut) -> serde_json::Value {
    let time = |time: Option<UnixMicros>| time.map(moment::format);
    let lanes: Vec<_> = cut
        .lanes
        .iter()
        .map(|lane| {
            json!({
                "lane": lane.lane.0, "last_lsn": lane.next_lsn.before().0, "records_dropped": lane.records_dropped,
                "bytes_dropped": lane.bytes_dropped, "last_kept": time(lane.last_kept),
                "first_dropped": time(lane.first_dropped),
            })
        })
        .collect();
    json!({ "time": moment::format(cut.time), "records_dropped": cut.records_dropped(), "lanes": lanes })
}
