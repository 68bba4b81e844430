//! Goal: behind a proxy, no request is ever seen by the server that the proxy did not mean, and no client gets an answer
//! that is not its own.
//!
//! Method: a corpus of streams that one reader may take for one thing and the next one for another, each with a canary: a
//! request that leaves a claim of its own name wherever anybody reads it as a request. The corpus is sent to the server
//! directly, where each stream has one documented outcome, and through nginx and HAProxy, each as strict and as lenient as
//! it can be configured, with one connection to the server for all clients. The proxies keep a log of what they forward. In
//! the end
//!
//! 1. every canary that is stored stands in the log as a request that the proxy forwarded and that was answered with 201;
//! 2. the server has counted no more requests than the proxy has forwarded, and no fewer than it has got answers to;
//! 3. every answer bears the id that the proxy gave to the request it was taken for;
//! 4. the client that comes after each stream, on the same connection to the server, gets the answers to its own requests.

mod behind;
mod client;
mod corpus;
mod direct;
mod haproxy;
mod log;
mod nginx;
mod proxy;
