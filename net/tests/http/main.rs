//! The HTTP connection, driven through its public interface as the loop that owns it drives it.

mod reading;
mod script;
