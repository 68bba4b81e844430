//! The StemeDB server: HTTP, the API, routing between cores, and the operators' tool.

pub mod admin;
pub mod api;
mod archive_mark;
pub mod config;
pub mod core;
pub mod driver;
mod fresh_file;
mod hex_digits;
pub mod http;
pub mod json;
mod log_copy;
pub mod metrics;
mod restore_mark;
pub mod run_status;
pub mod server;
pub mod tls;
mod utc;
