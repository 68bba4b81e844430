//! Where the records of valid frames go.

use std::path::PathBuf;

use crate::log::covered::CoveredRetraction;
use crate::log::frame::Frame;
use crate::log::record::{Record, RecordError, RecordKind};
use crate::log::recovery::retractions::Retractions;
use crate::log::recovery::survey::{BegunSegment, contradiction};
use crate::log::recovery::{RecoveryError, RecoveryVisitError, Replayed};
use crate::log::storage::LogStorage;
use crate::slot::{CoreId, SlotMap};

/// The most records that are given to the visitor at once.
const GIVEN_RECORDS_MAX: usize = 64;

/// Gives records to the visitor, and notes what recovery itself wants to know of them.
pub(super) struct RecordSink<'v> {
    visit: &'v mut dyn FnMut(&[Replayed<'_>]) -> Result<(), RecoveryVisitError>,
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
        visit: &'v mut dyn FnMut(&[Replayed<'_>]) -> Result<(), RecoveryVisitError>,
        covered: &[CoveredRetraction],
    ) -> RecordSink<'v> {
        RecordSink { visit, retractions: Retractions::covered(covered), records: 0 }
    }

    /// Gives all records of a frame that is not the first of its generation.
    pub(super) fn give(&mut self, frame: Frame<'_>, place: &FramePlace<'_>) -> Result<(), RecoveryError> {
        let mut checked = Vec::with_capacity(GIVEN_RECORDS_MAX.min(frame.header.records as usize));
        for record in frame.records() {
            match self.check(record, place) {
                Ok(replayed) => checked.push(replayed),
                Err(error) => {
                    // What the visitor has to say of the records before it comes first.
                    self.visit(&checked, place)?;
                    return Err(error);
                }
            }
            if checked.len() == GIVEN_RECORDS_MAX {
                self.visit(&checked, place)?;
                checked.clear();
            }
        }
        self.visit(&checked, place)
    }

    fn visit(&mut self, records: &[Replayed<'_>], place: &FramePlace<'_>) -> Result<(), RecoveryError> {
        if records.is_empty() {
            return Ok(());
        }
        (self.visit)(records).map_err(|RecoveryVisitError { lsn, source }| RecoveryError::Replay {
            path: place.path(),
            offset: place.offset,
            lsn,
            source,
        })?;
        self.records += records.len() as u64;
        Ok(())
    }

    /// A record as the visitor sees it, unless it is one that cannot be here.
    fn check<'f>(
        &mut self,
        record: Result<Record<'f>, RecordError>,
        place: &FramePlace<'_>,
    ) -> Result<Replayed<'f>, RecoveryError> {
        let (id, offset) = (place.segment.file.id, place.offset);
        let record = record.map_err(|cause| RecoveryError::Records { path: place.path(), offset, cause })?;
        let wrong = |expected: &str, actual: &str| {
            let expected = format!("{expected} in record {}", record.lsn);
            Err(contradiction(place.storage, id, offset, expected, actual.to_owned()))
        };
        let retracts = match record.kind {
            RecordKind::Generation => {
                return wrong("anything but a generation's record", "one, although the generation has begun");
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
        Ok(Replayed {
            generation: place.segment.header.generation,
            lane: id.lane,
            lsn: record.lsn,
            kind: record.kind,
            flags: record.flags,
            payload: record.payload,
            retracts,
        })
    }
}

impl FramePlace<'_> {
    fn path(&self) -> PathBuf {
        self.storage.path(self.segment.file.id)
    }
}
