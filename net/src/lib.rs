//! The StemeDB server.

pub mod http;
