//! What took too long.

/// The limit of time that a connection ran into, as [`Connection::tick`](super::Connection::tick) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// Nothing was asked for too long: the connection closes without a word.
    Idle,
    /// A head was not complete in time: answered with 408, then closed.
    Head,
    /// A body came too slowly: answered with 408, then closed.
    Body,
    /// The peer did not take what was sent: the connection closes at once.
    Send,
    /// The peer did not close its side in time after the last response: the connection closes.
    Linger,
}
