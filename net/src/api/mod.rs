//! What clients say and hear: requests read into the engine's types, answers written as JSON.
//!
//! Nothing here decides what happens to a claim or a query; it only speaks the contract.

mod answers;
mod assert;
mod batch;
mod claim_json;
mod cursor;
mod error;
mod field;
mod openapi;
mod page;
mod parts;
mod query;
mod retract;
mod routes;
mod signatures;
mod text;
mod value;

pub use answers::{Health, READY_JSON, write_created, write_exists};
pub use assert::{AssertContext, ClaimReader, ClaimRequest, agent_of_header, hash_of_path};
pub use batch::{BatchFormat, BatchSummary, ERRORS_SHOWN_MAX, blank_bytes, is_blank};
pub use claim_json::write_assertion;
pub use error::{ApiError, ErrorCode};
pub(crate) use field::shown;
pub use openapi::OPENAPI_JSON;
pub use page::{Claims, PAGE_BYTES_MAX, Rows, write_page};
pub use query::{query_of_body, query_of_parameters};
pub use retract::{RetractRequest, write_retracted};
pub use routes::{Endpoint, Match, Method, ROUTES, Route, RouteError, route};
