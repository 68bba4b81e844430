//! How a body is delimited, and how it is handed out.

/// How the caller wants a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyMode {
    /// Buffered, and given out at once when complete. Beyond `body_bytes_max` it is rejected with 413.
    Whole,
    /// Given out as it comes in, of any length.
    Stream,
}

/// What says where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Absent,
    /// It has this many bytes.
    Length(u64),
    /// It is in chunks, of which the last has no bytes.
    Chunked,
}
