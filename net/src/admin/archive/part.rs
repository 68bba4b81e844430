//! Pieces of segments in an archive: `segment-00-0000000003.log@4096` holds what lies from offset 4096 on.

use stemedb_engine::log::segment::SegmentId;

/// The name of a piece in the archive.
pub(super) fn name(segment: &str, offset: u64) -> String {
    format!("{segment}@{offset}")
}

/// The segment and offset of a piece.
pub(super) fn parse(name: &str) -> Option<(SegmentId, u64)> {
    let (segment, offset) = name.split_once('@')?;
    Some((SegmentId::from_file_name(segment)?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pieces_of_segments_have_such_names() {
        let segment = "segment-00-0000000003.log";
        let id = SegmentId::from_file_name(segment).expect("a segment's name");
        assert_eq!(parse(&name(segment, 4096)), Some((id, 4096)));
        for other in ["", segment, "../x@0", "segment-00-0000000003.log@", "segment-00-0000000003.log@-1"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
