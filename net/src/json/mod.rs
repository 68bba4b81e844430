//! JSON, read in one place.
//!
//! [`Reader::parse`] is the only function of the server that turns bytes from a client into JSON. It caps
//! size and depth, accepts exactly the texts of RFC 8259 within those caps, and gives a [`Document`] whose
//! [`Value`]s carry both readings that claims need: the decoded one, and the text as the client wrote it.

mod document;
mod error;
mod minify;
mod reader;
mod value;

pub use document::Document;
pub use error::JsonError;
pub use minify::minify;
pub use reader::{DEPTH_MAX, Reader};
pub use value::{Elements, Kind, Members, Value};
