//! Which segments are kept for the archive, of those that are needed for nothing else.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::log::BLOCK_BYTES;
use crate::log::segment::{SegmentHeader, SegmentId};
use crate::log::storage::{LogStorage, SegmentFile};
use crate::ring::aligned::AlignedBuffer;
use crate::slot::LaneId;
use crate::time::UnixMicros;

/// Those of `held` that are given up so that no more than `bytes_max` are kept: the ones that were begun first, of all lanes. The last
/// of them is to be removed first: what remains of a lane has no gap.
pub(super) fn too_many(log: &dyn LogStorage, held: Vec<SegmentFile>, bytes_max: u64) -> Vec<SegmentFile> {
    if held.iter().map(|file| file.bytes).sum::<u64>() <= bytes_max {
        return Vec::new();
    }
    let mut newest_first = held;
    let began = began(log, &mut newest_first);
    newest_first.sort_unstable_by_key(|file| Reverse((began[&file.id], file.id.number, file.id.lane)));
    // Those that are given up count as well: none that is older than one of them is kept, however small it is.
    let mut bytes = 0;
    newest_first.retain(|file| {
        bytes += file.bytes;
        bytes > bytes_max
    });
    newest_first
}

/// When segments were begun. Where the clock went back, or a header cannot be read, a segment counts as old as the one before it in its lane.
fn began(log: &dyn LogStorage, files: &mut [SegmentFile]) -> BTreeMap<SegmentId, UnixMicros> {
    let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
    let mut latest: BTreeMap<LaneId, UnixMicros> = BTreeMap::new();
    files.sort_unstable_by_key(|file| file.id);
    let began = files.iter().map(|file| {
        let read = log.read(file.id, 0, &mut block).is_ok_and(|bytes| bytes == BLOCK_BYTES);
        let header = SegmentHeader::decode(&block).ok().filter(|(header, _)| read && header.id == file.id);
        let latest = latest.entry(file.id.lane).or_insert(UnixMicros(i64::MIN));
        *latest = header.map_or(*latest, |(header, _)| header.created.max(*latest));
        (file.id, *latest)
    });
    began.collect()
}
