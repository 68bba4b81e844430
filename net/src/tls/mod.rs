//! TLS without I/O: the server's side of a connection as a state machine, and the credentials that it shows.
//!
//! A [`Session`] stands between a socket's bytes and [`http::Connection`](crate::http::Connection): it is told what came
//! in and gives out plaintext, takes plaintext and gives out what is to be sent. TLS itself is that of `rustls`. Nothing
//! here reads a clock, a file or a socket; the time by which sessions and clients' certificates are judged is that of the
//! core, through [`Clock`].
//!
//! ```text
//!  socket ─▶ received records ─▶ rustls ─▶ plaintext ─▶ http::Connection
//!  socket ◀──────── records ◀─── rustls ◀─ plaintext ◀────────┘
//! ```

mod certificate;
mod clock;
mod credentials;
mod records;
mod session;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use credentials::{Credentials, CredentialsError, Part, Pem};
pub use session::{Progress, Session};
