//! One client's connection, as the core sees it.

use slotmap::new_key_type;

use super::operation::OperationKey;
use crate::api::Endpoint;
use crate::http;

new_key_type! {
    /// Names a connection of a core. A key outlives its connection without ever meaning another one.
    pub struct ConnectionKey;
}

/// A client's connection and where its current request stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) http: http::Connection,
    /// What the request is for whose body is coming in.
    pub(super) endpoint: Option<Endpoint>,
    /// The batch whose body is coming in.
    pub(super) batch: Option<OperationKey>,
    /// Whether it waits in the list of connections to look after.
    pub(super) dirty: bool,
    /// Whether the driver was told to receive.
    pub(super) receiving: bool,
}
