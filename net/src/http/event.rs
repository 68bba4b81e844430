//! What happened on a connection.

use super::{Head, Reject, RequestId};

/// What [`Connection::next_event`](super::Connection::next_event) gives out.
///
/// A request is a [`Event::Head`], then, as the caller chose, one [`Event::Body`], or any number of
/// [`Event::Chunk`] and one [`Event::End`]. An [`Event::Rejected`] may take the place of each of them and is
/// the last event of a connection. A request that has been answered gives no further events.
#[derive(Debug)]
pub enum Event<'a> {
    /// A complete, valid head. Nothing more happens until the caller has chosen what becomes of the body
    /// with [`Connection::accept`](super::Connection::accept), or has answered.
    Head {
        /// Names the request from here on.
        id: RequestId,
        /// The request line and the header fields.
        head: &'a Head,
    },
    /// The whole body, empty when the request has none.
    Body {
        /// The request.
        id: RequestId,
        /// Its head, as it was given before.
        head: &'a Head,
        /// The content, without its framing. The caller may parse it in place.
        body: &'a mut [u8],
    },
    /// The next bytes of a streamed body, never empty. Where pieces begin and end has no meaning.
    Chunk {
        /// The request.
        id: RequestId,
        /// The next bytes of the content, without framing. The caller may parse them in place.
        bytes: &'a mut [u8],
    },
    /// A streamed body is complete.
    End {
        /// The request.
        id: RequestId,
    },
    /// The request was malformed, too large, too slow or broke off. The connection has queued the response
    /// itself and closes once that is sent. When the head had been given out, a streaming consumer drops
    /// what it has not finished.
    Rejected {
        /// The request. A request whose head was not valid gets a number too.
        id: RequestId,
        /// What was wrong with it.
        reason: Reject,
    },
}
