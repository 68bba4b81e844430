//! A strict HTTP/1.1 server connection without I/O.
//!
//! A [`Connection`] is told which bytes came in and what time it is; it hands out [`Event`]s (heads, bodies,
//! pieces of streamed bodies) and takes responses, in any order; it says which bytes go out, when it wants
//! to hear nothing more for a while, by when it wants to be woken, and when the socket is to be closed.
//! It has no clock, no socket and no randomness of its own.
//!
//! Every message has one reading or none: what RFC 9112 lets a recipient repair is refused with an error
//! and the connection is closed, because a repair that another party does differently is how requests are
//! smuggled.
//!
//! The order of calls, for every turn of a loop that owns a connection:
//!
//! 1. [`Connection::receive`], [`Connection::receive_eof`], [`Connection::respond`], [`Connection::sent`] or
//!    [`Connection::tick`], whatever happened;
//! 2. [`Connection::next_event`] until it gives `None`;
//! 3. [`Connection::take_output`] and send it, unless a send is under way;
//! 4. [`Connection::take_shutdown`], [`Connection::should_close`], [`Connection::wants_receive`] and
//!    [`Connection::deadline_ms`], and do as they say.

mod body;
mod character;
mod chunked;
mod connection;
mod date;
mod event;
mod framing_fields;
mod head;
mod head_scan;
mod host;
mod input;
mod limits;
mod method;
mod output;
mod reader;
mod reject;
mod replies;
mod response;
mod status;
mod target;
mod timeout;
mod timers;

pub use body::BodyMode;
pub use connection::{Connection, RequestId};
pub use date::Date;
pub use event::Event;
pub use head::{Head, Repeated, Version};
pub use limits::Limits;
pub use reject::Reject;
pub use response::ResponseHead;
pub use status::Status;
pub use target::QueryPairs;
pub use timeout::Timeout;
