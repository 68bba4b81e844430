//! The StemeDB server.
