//! Tells what is kept of a log that is cut back to a moment, and what is dropped.

use serde_json::json;
use stemedb_engine::log::recovery::cut::{Cut, CutLane};
use stemedb_engine::time::UnixMicros;

use crate::admin::moment;
use crate::admin::text::{grouped, megabytes};

/// A line for each lane, and one for all.
pub(super) fn to_text(cut: &Cut, counted_to: Option<&str>) -> String {
    let mut text = format!("Cutting the log back to {}\n", moment::format(cut.time));
    for lane in &cut.lanes {
        text.push_str(&format!("  {}\n", line(lane)));
    }
    text + &match (cut.drops_nothing(), cut.last_kept()) {
        (true, Some(last)) => format!("Nothing is dropped: the log ends at {}", moment::format(last)),
        (true, None) => "Nothing is dropped: the log is empty".to_owned(),
        (false, _) => format!("{} records are dropped", grouped(cut.records_dropped())),
    } + &counted_to
        .map(|id| {
            format!(", as far as {id} goes. What came later is set aside with the log that is in place")
        })
        .unwrap_or_default()
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

/// The same for programs.
pub(super) fn to_json(cut: &Cut, counted_to: Option<&str>) -> serde_json::Value {
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
    json!({
        "time": moment::format(cut.time), "records_dropped": cut.records_dropped(), "counted_to": counted_to, "lanes": lanes,
    })
}
