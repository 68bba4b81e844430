//! Reads claims that clients send and encodes them as the log keeps them.

use stemedb_engine::claim::{Agent, ClaimHash};
use stemedb_engine::slot::Slot;
use stemedb_engine::time::UnixMicros;

use crate::api::{self, ApiError, AssertContext, ClaimReader, ClaimRequest};

/// The reader of claims and the memory it uses again and again.
#[derive(Debug)]
pub(super) struct Intake {
    reader: ClaimReader,
    payload: Vec<u8>,
    future_us_max: i64,
}

/// A claim that is valid and encoded. The bytes are those of [`Intake`] until the next claim.
#[derive(Debug)]
pub(super) struct Encoded<'a> {
    pub(super) payload: &'a [u8],
    pub(super) slot: Slot,
    pub(super) hash: ClaimHash,
    pub(super) timestamp: UnixMicros,
}

impl Intake {
    pub(super) fn new(body_bytes_max: usize, future_us_max: i64) -> Intake {
        Intake { reader: ClaimReader::new(body_bytes_max), payload: Vec::new(), future_us_max }
    }

    /// Reads one claim. `agent` is what the request's header says.
    pub(super) fn read(
        &mut self,
        body: &[u8],
        agent: Option<&[u8]>,
        now: UnixMicros,
    ) -> Result<Encoded<'_>, ApiError> {
        let agent = agent.map(api::agent_of_header).transpose()?;
        let context = context(self.future_us_max, agent, now);
        let request = self.reader.read(body, &context)?;
        encode(&request, &mut self.payload)
    }

    /// Reads a JSON array of claims, and gives each, or what is wrong with it, to `each`.
    pub(super) fn read_array(
        &mut self,
        body: &[u8],
        agent: Option<&[u8]>,
        now: UnixMicros,
        mut each: impl FnMut(Result<Encoded<'_>, ApiError>),
    ) -> Result<(), ApiError> {
        let agent = agent.map(api::agent_of_header).transpose()?;
        let context = context(self.future_us_max, agent, now);
        let payload = &mut self.payload;
        self.reader.read_array(body, &context, |_, request| {
            each(request.and_then(|request| encode(&request, payload)));
        })?;
        Ok(())
    }
}

fn context(future_us_max: i64, agent: Option<Agent<'_>>, now: UnixMicros) -> AssertContext<'_> {
    AssertContext { now, future_us_max, agent }
}

fn encode<'a>(request: &ClaimRequest<'_>, payload: &'a mut Vec<u8>) -> Result<Encoded<'a>, ApiError> {
    payload.clear();
    let hash = request.encode(payload)?;
    let slot = Slot::of(request.claim.subject.as_str().as_bytes());
    Ok(Encoded { payload, slot, hash, timestamp: request.claim.timestamp.unix_micros() })
}
