//! Whole responses.

use stemedb_engine::index::ClaimView;
use stemedb_engine::shard::Refusal;

use crate::api::{self, ApiError, ErrorCode, RouteError};
use crate::http::{ResponseHead, Status};

/// A response to be handed to the connection.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) head: ResponseHead,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// A response of JSON.
    pub(super) fn json(status: Status, write: impl FnOnce(&mut Vec<u8>)) -> Response {
        Response::json_in(Vec::new(), status, write)
    }

    /// As [`Response::json`], in the memory of an empty buffer.
    pub(super) fn json_in(mut body: Vec<u8>, status: Status, write: impl FnOnce(&mut Vec<u8>)) -> Response {
        assert!(body.is_empty(), "a body begins with what is written for it");
        write(&mut body);
        Response { head: ResponseHead::json(status), body }
    }

    /// The response that tells an error.
    pub(super) fn error(error: &ApiError) -> Response {
        let mut response = Response::json(error.code.status(), |out| error.write_json(out));
        response.head.retry_after_s = error.code.retry_after_s();
        response
    }

    //= RFC 9110 section 13.2.1
    //# A server MUST ignore all received preconditions if its response to the same request without those conditions,
    //# prior to processing the request content, would have been a status code other than a 2xx (Successful) or 412
    //# (Precondition Failed).
    /// The response to a read that would have been answered with this one, had it not wanted an entity tag.
    pub(super) fn under_condition(self, wants_entity_tag: bool) -> Response {
        if wants_entity_tag && self.head.status.code() < 300 {
            Response::error(&condition_failed())
        } else {
            self
        }
    }

    //= RFC 9110 section 9.3.7
    //# An OPTIONS request with an asterisk ("*") as the request target (Section 7.1) applies to the server in general
    //# rather than to a specific resource.
    /// The response to `OPTIONS *`, the only request that has that target.
    pub(super) fn about_the_server() -> Response {
        let mut response = Response::json(Status::Ok, |out| out.extend_from_slice(b"{}"));
        response.head.fields = &[("allow", "GET, HEAD, POST, OPTIONS")];
        response
    }

    /// The response to a request that no endpoint takes.
    pub(super) fn misrouted(error: RouteError, method: &str, path: &str) -> Response {
        let (method, path) = (api::shown(method), api::shown(path));
        match error {
            RouteError::NotFound => {
                let message =
                    format!("there is nothing at {path}; /api-doc/openapi.json lists what there is");
                Response::error(&ApiError::new(ErrorCode::NotFound, message))
            }
            //= RFC 9110 section 15.5.6
            //# The origin server MUST generate an Allow header field in a 405 response containing a list of the target
            //# resource's currently supported methods.
            RouteError::MethodNotAllowed { allow } => {
                let message = format!("{path} does not take {method}, but {}", allow[0].1);
                let mut response = Response::error(&ApiError::new(ErrorCode::MethodNotAllowed, message));
                response.head.fields = allow;
                response
            }
        }
    }

    /// The body of the response with one claim.
    pub(super) fn assertion(view: &ClaimView<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        api::write_assertion(&mut body, view);
        body
    }
}

/// Memory of bodies that were handed over, for those to come.
#[derive(Debug, Default)]
pub(super) struct SpareBodies(Vec<Vec<u8>>);

impl SpareBodies {
    /// About as many answers as one frame brings.
    pub(super) const COUNT_MAX: usize = 64;

    /// The most that a buffer which is kept may have allocated. A page with more is given away instead of being copied.
    pub(super) const BYTES_MAX: usize = 4 << 10;

    /// An empty buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(super) fn put(&mut self, mut body: Vec<u8>) {
        if self.0.len() < Self::COUNT_MAX && (1..=Self::BYTES_MAX).contains(&body.capacity()) {
            body.clear();
            self.0.push(body);
        }
    }
}

/// What a client is told that wants what it asks for to have an entity tag.
pub(super) fn condition_failed() -> ApiError {
    ApiError::in_field(
        ErrorCode::PreconditionFailed,
        "If-Match",
        "cannot be met unless it is *: nothing here has an entity tag",
    )
}

/// What a client is told about a write that was refused.
pub(super) fn refused(refusal: Refusal) -> ApiError {
    let (code, message) = match refusal {
        Refusal::Recovering => (ErrorCode::NotReady, "the log is being recovered; try again in a moment"),
        Refusal::Busy => (ErrorCode::Overloaded, "too many writes wait for the disk; try again in a moment"),
        Refusal::IndexFull => (
            ErrorCode::MemoryFull,
            "the memory for claims is used up; raise STEMEDB_INDEX_BYTES_MAX or move to a larger machine",
        ),
        Refusal::DiskFull => {
            (ErrorCode::DiskFull, "no space is left on the log's disk; writes go on when there is")
        }
        Refusal::LogFull => (
            ErrorCode::LogFull,
            "the log has reached STEMEDB_WAL_BYTES_MAX; writes go on when checkpoints have caught up",
        ),
        Refusal::NoSegment => (
            ErrorCode::StorageFailed,
            "the log cannot be extended, its server knows why; nothing was written, and writes go on when it can",
        ),
        Refusal::LaneFailed => (
            ErrorCode::StorageFailed,
            "a write to the log has failed; whether this one is stored shows after a restart, which is needed",
        ),
    };
    ApiError::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_bodies_are_empty_and_bounded() {
        let mut spare = SpareBodies::default();
        spare.put(Vec::new());
        spare.put(Vec::with_capacity(SpareBodies::BYTES_MAX + 1));
        assert_eq!(spare.take().capacity(), 0, "neither is worth keeping");
        (0..SpareBodies::COUNT_MAX + 10).for_each(|_| spare.put(b"of another client".to_vec()));
        assert_eq!(spare.0.len(), SpareBodies::COUNT_MAX);
        let body = spare.take();
        assert!(body.is_empty() && body.capacity() > 0);
    }
}
