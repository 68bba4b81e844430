//! Requests that wait for an answer from a core, their own or another.

use std::sync::Arc;

use slotmap::new_key_type;
use stemedb_engine::claim::ClaimHash;
use stemedb_engine::query::Query;
use stemedb_engine::time::UnixMicros;

use super::batch::Batch;
use super::connection::ConnectionKey;
use crate::api::{Method, Rows};
use crate::http::RequestId;

new_key_type! {
    /// Names a waiting operation. A key outlives its operation without ever meaning another one.
    pub struct OperationKey;
}

/// A request that has been taken on and not yet answered.
#[derive(Debug)]
pub(super) struct Operation {
    /// Where the answer goes. The connection may be gone by then.
    pub(super) connection: ConnectionKey,
    /// Which of its requests it answers.
    pub(super) request: RequestId,
    /// The method of the request.
    pub(super) method: Option<Method>,
    /// Whether what is read is to have an entity tag. A write that wants one is not taken on.
    pub(super) wants_entity_tag: bool,
    /// When it was taken on, monotonic microseconds.
    pub(super) started_us: u64,
    /// What is waited for.
    pub(super) awaits: Awaits,
}

/// What an operation waits for.
#[derive(Debug)]
pub(super) enum Awaits {
    /// One claim to be durable.
    Assert { hash: ClaimHash, timestamp: UnixMicros },
    /// The claims of a batch to be durable, and perhaps further lines of it.
    Batch(Box<Batch>),
    /// All cores to do their part of a retraction, its owner first.
    Retract { open: u16, retracted: u64 },
    /// The rows of all cores that were asked.
    Query { query: Arc<Query>, parts: Vec<Rows> },
    /// The core that has a claim, or all others to have looked for it.
    Lookup { hash: ClaimHash },
    /// All cores to tell how they are.
    States { purpose: StatesPurpose },
}

/// What the states of all cores are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatesPurpose {
    Health,
    Ready,
    Metrics,
}
