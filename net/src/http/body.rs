//! How a body is delimited, and how it is handed out.

/// How the caller wants a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyMode {
    /// Buffered, and given out at once when complete. Beyond `body_bytes_max` it is rejected with 413.
    Whole,
    /// Given out as it comes in, of any length.
    Stream,
}
