//! Where the records of valid frames go.

use crate::log::frame::Frame;
use crate::log::record::RecordKind;
use crate::log::recovery::retractions::Retractions;
use crate::log::recovery::survey::{BegunSegment, contradiction};
use crate::log::recovery::{RecoveryError, RecoveryVisitError, Replayed};
use crate::log::storage::LogStorage;
use crate::slot::{CoreId, SlotMap};

/// Gives records to the visitor, and notes what recovery itself wants to know of them.
pub(super) struct RecordSink<'v> {
    visit: &'v mut dyn FnMut(Replayed<'_>) -> Result<(), RecoveryVisitError>,
    pub(super) retractions: Retractions,
    /// How many records were given.
    pub(super) records: u64,
}

/// Where a frame lies.
pub(super) struct FramePlace<'p> {
    pub(super) storage: &'p dyn LogStorage,
    pub(super) segment: &'p BegunSegment,
    pub(super) offset: u64,
    /// How many lanes its generation has.
    pub(super) lanes: u16,
}

impl<'v> RecordSink<'v> {
    pub(super) fn new(
        visit: &'v mut dyn FnMut(Replayed<'_>) -> Result<(), RecoveryVisitError>,
    ) -> RecordSink<'v> {
        RecordSink { visit, retractions: Retractions::default(), records: 0 }
    }

    /// Gives all records of a frame that is not the first of its generation.
    pub(super) fn give(&mut self, frame: Frame<'_>, place: &FramePlace<'_>) -> Result<(), RecoveryError> {
        let id = place.segment.file.id;
        let path = || place.storage.path(id);
        let offset = place.offset;
        for record in frame.records() {
            let record = record.map_err(|cause| RecoveryError::Records { path: path(), offset, cause })?;
            let wrong = |expected: &str, actual: &str| {
                let expected = format!("{expected} in record {}", record.lsn);
                Err(contradiction(place.storage, id, offset, expected, actual.to_owned()))
            };
            let retracts = match record.kind {
                RecordKind::Generation => {
                    return wrong(
                        "anything but a generation's record",
                        "one, although the generation has begun",
                    );
                }
                RecordKind::Retraction => {
                    let slots = SlotMap::new(place.lanes).slots_of(CoreId(id.lane.0));
                    let Some(fresh) = self.retractions.note(id.lane, slots, record.payload) else {
                        return wrong("a retraction", "too few bytes for one");
                    };
                    Some(fresh)
                }
                RecordKind::Assertion | RecordKind::Vote | RecordKind::Epoch => None,
            };
            let replayed = Replayed {
                generation: place.segment.header.generation,
                lane: id.lane,
                lsn: record.lsn,
                kind: record.kind,
                flags: record.flags,
                payload: record.payload,
                retracts,
            };
            (self.visit)(replayed).map_err(|error| RecoveryError::Replay {
                path: path(),
                offset,
                lsn: record.lsn,
                source: error.0,
            })?;
            self.records += 1;
        }
        Ok(())
    }
}
