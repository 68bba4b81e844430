//! Clients that say always the same and expect always the same.

use std::error::Error;

use stemedb_bench::client::{Client, Operation, Progress, Request};

use crate::{REQUEST, RESPONSE};

/// One connection.
pub(crate) struct FixedBytes;

impl Client for FixedBytes {
    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        out.extend_from_slice(REQUEST);
        Request { operation: Operation::Empty, units: 1 }
    }

    fn answer(
        &mut self,
        received: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        match received.get(..RESPONSE.len()) {
            Some(RESPONSE) => Ok(Progress::Answered(RESPONSE.len())),
            None if RESPONSE.starts_with(received) => Ok(Progress::Incomplete),
            _ => Err(format!("not the response: {:?}", String::from_utf8_lossy(received)).into()),
        }
    }
}
