//! What clients say and hear: requests read into the engine's types, answers written as JSON.
//!
//! Nothing here decides what happens to a claim or a query; it only speaks the contract.

mod routes;

pub use routes::{Endpoint, Match, Method, ROUTES, Route, RouteError, route};
