//! What lies in the segments of a log, read with the engine's own decoders.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::frame::{Frame, FrameHeader, FrameHome};
use stemedb_engine::log::segment::{SegmentHeader, SegmentId};

/// A segment's file.
#[derive(Debug)]
pub struct Segment {
    /// Where it is.
    pub path: PathBuf,
    /// Which one it is.
    pub id: SegmentId,
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Its header, if it was begun.
    pub header: Option<SegmentHeader>,
    /// Its frames, up to the first place where there is none.
    pub frames: Vec<FoundFrame>,
}

/// A frame in a segment.
#[derive(Debug, Clone, Copy)]
pub struct FoundFrame {
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Its header.
    pub header: FrameHeader,
}

impl Segment {
    /// Where the frames end, in bytes.
    pub fn end(&self) -> usize {
        self.frames.last().map_or(BLOCK_BYTES, |frame| frame.range().end)
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.id.to_string()
    }
}

impl FoundFrame {
    /// The bytes that it fills.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.header.frame_bytes()
    }
}

/// All segments in the log's directory, by lane and number.
pub fn segments(wal: &Path) -> Vec<Segment> {
    let mut segments: Vec<Segment> = fs::read_dir(wal)
        .expect("the log's directory is there")
        .filter_map(|entry| {
            let path = entry.expect("readable").path();
            let id = SegmentId::from_file_name(path.file_name()?.to_str()?)?;
            Some(segment(path, id))
        })
        .collect();
    segments.sort_by_key(|segment| segment.id);
    segments
}

/// How many segments of the newest generation were filled, so that their lane went on in another, and are still there.
pub fn segments_filled(wal: &Path) -> u64 {
    let begun: Vec<_> = segments(wal).into_iter().filter_map(|segment| segment.header).collect();
    let newest = begun.iter().map(|header| header.generation).max();
    let follows = |pair: &[SegmentHeader]| {
        let generations = pair.iter().map(|header| Some(header.generation));
        pair[0].id.lane == pair[1].id.lane && generations.eq([newest, newest])
    };
    begun.windows(2).filter(|pair| follows(pair)).count() as u64
}

fn segment(path: PathBuf, id: SegmentId) -> Segment {
    let bytes = fs::read(&path).expect("readable");
    let mut segment = Segment { path, id, bytes, header: None, frames: Vec::new() };
    let decoded = segment.bytes.get(..BLOCK_BYTES).map(SegmentHeader::decode);
    let Some(Ok((header, checksum))) = decoded else { return segment };
    segment.header = Some(header);
    let home = FrameHome::new(&header, checksum);
    while segment.end() < segment.bytes.len() {
        let offset = segment.end();
        let Ok(frame) = Frame::decode(&segment.bytes[offset..], &home) else { break };
        segment.frames.push(FoundFrame { offset, header: frame.header });
    }
    segment
}
