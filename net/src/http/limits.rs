//! The bounds of a connection.

/// The largest empty buffer that a connection keeps to use again, in bytes.
pub(super) const BUFFER_BYTES_KEPT: usize = 16 * 1024;

/// The most of a body that is given out at once, in bytes, so that a caller who pauses gets little beyond what it can
/// take, however much has come in.
pub(super) const PIECE_BYTES_MAX: usize = 16 * 1024;

/// What one connection may cost: bytes, requests and time.
///
/// The number of header fields is bounded by a constant, 64, since the parser keeps them in a fixed array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A request line and its header fields together, in bytes.
    pub head_bytes_max: usize,
    /// The request target alone, in bytes. At most `head_bytes_max`.
    pub target_bytes_max: usize,
    /// A body that is buffered whole, in bytes. Streamed bodies have no bound.
    pub body_bytes_max: usize,
    /// Received bytes that may wait while the consumer pauses or too many requests are unanswered. At least
    /// `head_bytes_max`. A body that is buffered whole may hold more.
    pub input_bytes_max: usize,
    /// Bytes of responses that may wait for the peer to read them before no further request is given out.
    pub output_bytes_max: usize,
    /// Requests given out and not yet answered on the wire.
    pub requests_outstanding_max: usize,
    /// How long a connection may stay open with nothing asked and nothing to answer, in milliseconds.
    pub idle_ms: u64,
    /// How long a head may take from its first byte to its last, in milliseconds.
    pub head_ms: u64,
    /// The time over which the rate of an incoming body is measured, in milliseconds.
    pub body_window_ms: u64,
    /// How many bytes of a body must arrive in each `body_window_ms` while the connection waits for it.
    pub body_window_bytes_min: usize,
    /// How long the peer may take nothing of what is sent to it, in milliseconds.
    pub send_ms: u64,
    /// How long bytes are still taken and thrown away after the last response, in milliseconds.
    pub linger_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            //= RFC 9112 section 3
            //# It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line lengths of
            //# 8000 octets.
            head_bytes_max: 16 * 1024,
            target_bytes_max: 8 * 1024,
            body_bytes_max: 1024 * 1024,
            input_bytes_max: 64 * 1024,
            output_bytes_max: 1024 * 1024,
            requests_outstanding_max: 64,
            idle_ms: 75_000,
            head_ms: 10_000,
            body_window_ms: 10_000,
            body_window_bytes_min: 2_560,
            send_ms: 30_000,
            linger_ms: 2_000,
        }
    }
}

impl Limits {
    /// Checks that the bounds go together. Whoever lets people choose them tells them so in better words.
    pub(super) fn assert_consistent(&self) {
        assert!(self.target_bytes_max <= self.head_bytes_max, "a target is part of a head");
        assert!(self.head_bytes_max <= self.input_bytes_max, "a head must fit into the input");
        assert!(u32::try_from(self.head_bytes_max).is_ok(), "places in a head are 32-bit numbers");
        assert!(self.requests_outstanding_max > 0, "no request could ever begin");
        assert!(self.output_bytes_max > 0, "no request could ever begin");
    }
}
