//! The StemeDB server.

pub mod admin;
