//! What the server counts, and how Prometheus is told.
//!
//! Each core counts in a [`CoreSnapshot`] of its own, without locks and without telling anyone. Who answers a
//! scrape asks every core for a copy and renders them together.

mod counts;
mod exposition;
mod histogram;
mod render;
mod snapshot;

pub use counts::Counts;
pub use histogram::Histogram;
pub use render::render;
pub use snapshot::{
    CoreSnapshot, HttpOutcome, ProcessFigures, Read, ServerSnapshot, TlsHandshake, TlsSnapshot,
};

/// The media type of the text that [`render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
