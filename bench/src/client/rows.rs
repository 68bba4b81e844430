//! What peers store in place of claims.

use crate::workload::{Claims, SubjectPath, Workload};

/// The claims of one connection, for a store that knows keys and values, or columns.
#[derive(Debug)]
pub struct Rows {
    claims: Claims,
    claim_bytes: usize,
    body: Vec<u8>,
}

/// A claim as a key and a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// The claim's subject: the key, or the column that has an index.
    pub(crate) subject: SubjectPath,
    /// The claim as it would be posted to StemeDB, with all its bytes.
    pub(crate) body: &'a [u8],
}

impl Rows {
    /// The rows of one connection, by the number of the connection.
    pub fn new(workload: &Workload, connection: u32) -> Rows {
        let claims = Claims::new(workload, connection);
        Rows { claims, claim_bytes: workload.claim_bytes, body: Vec::new() }
    }

    /// The next one, different from all others.
    pub(crate) fn next(&mut self) -> Row<'_> {
        self.body.clear();
        let subject = self.claims.append(&mut self.body);
        Row { subject: SubjectPath::of(subject), body: &self.body }
    }

    /// How long a row's body is.
    pub(super) fn claim_bytes(&self) -> usize {
        self.claim_bytes
    }
}
