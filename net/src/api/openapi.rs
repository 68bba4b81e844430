//! The description of the API that the server serves of itself.

/// The OpenAPI 3.1 document, served at `/api-doc/openapi.json`. A test holds it to the routes, to what the readers of
/// requests accept, and to what the writers of answers write.
pub const OPENAPI_JSON: &[u8] = include_bytes!("openapi.json");
