//! The HTTP connection, driven through its public interface as the loop that owns it drives it.

mod closing;
mod conformance;
mod flow;
mod memory;
mod pipelining;
mod reading;
mod reference;
mod refusals;
mod responses;
mod script;
mod streaming;
mod timeouts;
