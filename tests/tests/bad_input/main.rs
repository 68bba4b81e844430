//! Goal: no request, however wrong, gets anything but a clear error, and none leaves anything behind: not a claim, not
//! half a claim, not a server that has trouble with the next request.
//!
//! Method: one server for each test is sent what is wrong, one thing at a time, and must answer each with the status
//! and the code that are documented. After each, a connection that has been open since the beginning asks how the
//! server is, which must be well and hold exactly the claims that it should.

mod batches;
mod bodies;
mod breaks;
mod limits;
mod messages;
mod pipelines;
mod signatures;
mod timeouts;
mod watched;

use watched::Watched;
