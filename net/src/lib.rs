//! The StemeDB server: HTTP, the API, routing between cores, and the operators' tool.

pub mod config;
