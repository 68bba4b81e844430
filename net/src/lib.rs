//! The StemeDB server.

pub mod api;
pub mod json;
pub mod metrics;
pub mod http;
