//! The moment to go back to, as people type it.

use stemedb_engine::log::Lsn;
use stemedb_engine::log::recovery::cut::CutTarget;
use stemedb_engine::slot::LaneId;

use crate::admin::error::AdminError;
use crate::admin::moment;

/// Reads `--target-time` or `--target-lsn`, of which one at most is given.
pub(super) fn parse(time: Option<&str>, lsn: Option<&str>) -> Result<Option<CutTarget>, AdminError> {
    if let Some(time) = time {
        let parsed = moment::parse(time)?;
        // That the day's beginning is meant is for people to say: hours of claims hang on it.
        if time.contains('-') && !time.contains(':') {
            return Err(AdminError::Usage(format!(
                "`{time}` names a day and no time of it; write {} if its beginning is meant",
                moment::format(parsed)
            )));
        }
        return Ok(Some(CutTarget::Time(parsed)));
    }
    let Some(text) = lsn else { return Ok(None) };
    let wrong = || AdminError::Usage(format!("`{text}` is not LANE:LSN, two numbers such as 0:1523"));
    let (lane, lsn) = text.split_once(':').ok_or_else(wrong)?;
    let lane = LaneId(lane.parse().map_err(|_| wrong())?);
    let lsn = Lsn(lsn.parse().map_err(|_| wrong())?);
    Ok(Some(CutTarget::Record { lane, lsn }))
}

#[cfg(test)]
mod tests {
    use stemedb_engine::time::UnixMicros;

    use super::*;

    #[test]
    fn a_time_or_a_record_is_a_target_and_nothing_else() {
        let time = parse(Some("2026-01-28 14:30:00 UTC"), None).unwrap();
        assert_eq!(time, Some(CutTarget::Time(UnixMicros(1_769_610_600_000_000))));
        let record = parse(None, Some("1:1523")).unwrap();
        assert_eq!(record, Some(CutTarget::Record { lane: LaneId(1), lsn: Lsn(1523) }));
        assert_eq!(parse(None, None).unwrap(), None);
        let day = parse(Some("2026-01-28"), None).expect_err("at what time?");
        assert!(matches!(&day, AdminError::Usage(text) if text.contains("2026-01-28T00:00:00Z")), "{day}");
        for lsn in ["", "1", "1:", ":1", "1:2:3", "-1:2", "70000:1"] {
            assert!(matches!(parse(None, Some(lsn)), Err(AdminError::Usage(_))), "{lsn}");
        }
    }
}
