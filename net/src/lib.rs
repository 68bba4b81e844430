//! The StemeDB server.

pub mod json;
