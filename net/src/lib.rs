//! The StemeDB server.

pub mod api;
pub mod http;
pub mod json;
pub mod metrics;
