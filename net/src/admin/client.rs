//! The HTTP client of the operators' tool: one request, one answer, no retries of its own.

use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::ServerOptions;
use super::error::AdminError;

/// A request that has no answer after this time has none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer: a full page of claims with the longest values.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A client of one server. Keeps its connection open between requests; not shared between threads.
pub(super) struct Client {
    agent: Agent,
    url: String,
}

/// What the server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `Retry-After` header, where it is a number of seconds.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// A client for the server that the options name. Does not connect yet.
    pub(super) fn new(server: &ServerOptions) -> Result<Client, AdminError> {
        let url = authority(&server.url)?;
        let tls = match url.starts_with("https://") {
            true => server.tls.config()?,
            false if server.tls.is_asked_for() => {
                let message = "--ca-file, --client-cert and --client-key are for https://HOST:PORT, got";
                return Err(AdminError::Usage(format!("{message} `{url}`")));
            }
            false => TlsConfig::default(),
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // Operators mean the server that they name; a proxy of the environment is for the world outside.
            .proxy(None)
            .tls_config(tls)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .user_agent(concat!("stemedb-admin/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Client { agent, url: url.to_owned() })
    }

    /// The server's base address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path` and returns whatever the server answers.
    pub(super) fn read(&self, path: &str) -> Result<Answer, AdminError> {
        let response = self.agent.get(format!("{}{path}", self.url)).call();
        self.answer(response)
    }

    /// Sends `body` to `path` and returns whatever the server answers.
    pub(super) fn send(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, AdminError> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("Content-Type", content_type);
        self.answer(request.send(body))
    }

    fn answer(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, AdminError> {
        let no_answer = |error: ureq::Error| {
            let (url, reason) = (self.url.clone(), error.to_string());
            match is_of_tls(&error) {
                true => AdminError::Insecure { url, reason },
                false => AdminError::Unreachable { url, reason },
            }
        };
        let mut response = response.map_err(no_answer)?;
        let retry_after = response
            .headers()
            .get("Retry-After")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body =
            response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(no_answer)?;
        Ok(Answer { status: response.status().as_u16(), retry_after, body })
    }
}

/// The address of a server, without a slash at its end.
fn authority(url: &str) -> Result<&str, AdminError> {
    let trimmed = url.strip_suffix('/').unwrap_or(url);
    let authority = trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("https://"));
    match authority {
        Some(authority) if !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ']) => {
            Ok(trimmed)
        }
        _ => Err(AdminError::Usage(format!(
            "--url must be http://HOST:PORT or https://HOST:PORT and no more, got `{url}`"
        ))),
    }
}

/// Whether the connection failed for a certificate, or anything else of TLS.
fn is_of_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => true,
        ureq::Error::Io(error) => error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()),
        _ => false,
    }
}

impl Answer {
    /// The body of a successful answer, or the error that the server explained in it.
    pub(super) fn success(&self, url: &str) -> Result<&[u8], AdminError> {
        if (200..300).contains(&self.status) {
            return Ok(&self.body);
        }
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(ErrorBody { error }) => {
                Err(AdminError::Refused { status: self.status, code: error.code, message: error.message })
            }
            Err(_) => Err(AdminError::Unintelligible {
                url: url.to_owned(),
                reason: format!("status {} without an explanation", self.status),
            }),
        }
    }

    /// The body of a successful answer, read as JSON of the expected form.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self, url: &str) -> Result<T, AdminError> {
        serde_json::from_slice(self.success(url)?)
            .map_err(|error| AdminError::Unintelligible { url: url.to_owned(), reason: error.to_string() })
    }
}

/// The form of every error of the API.
#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    code: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::admin::tls::TlsOptions;

    fn at(url: &str, tls: TlsOptions) -> ServerOptions {
        ServerOptions { url: url.to_owned(), tls }
    }

    #[test]
    fn only_a_scheme_and_an_authority_are_an_address() {
        for good in
            ["http://127.0.0.1:18180", "http://localhost:1/", "http://[::1]:18180", "https://db.example:443/"]
        {
            let client = Client::new(&at(good, TlsOptions::default())).unwrap();
            assert_eq!(client.url(), good.trim_end_matches('/'));
        }
        for bad in [
            "127.0.0.1:18180",
            "https://",
            "http://",
            "http://db/v1",
            "http://me@db",
            "ftp://db",
            "https://db//",
        ] {
            let refused = Client::new(&at(bad, TlsOptions::default()));
            assert!(matches!(refused, Err(AdminError::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn what_only_tls_can_make_true_is_not_ignored_without_it() {
        let one = |name: &str| Some(PathBuf::from(name));
        let ca = TlsOptions { ca_file: one("ca.pem"), ..TlsOptions::default() };
        let refused = Client::new(&at("http://db", ca)).err().expect("a certificate cannot be checked");
        assert!(refused.to_string().contains("are for https://"), "{refused}");
        let half = TlsOptions { client_cert: one("client.pem"), ..TlsOptions::default() };
        let refused = Client::new(&at("https://db", half)).err().expect("a certificate needs its key");
        assert!(matches!(refused, AdminError::Usage(_)), "{refused}");
        let absent = TlsOptions { ca_file: one("/absent/ca.pem"), ..TlsOptions::default() };
        let refused = Client::new(&at("https://db", absent)).err().expect("there is no such file");
        assert!(refused.to_string().contains("/absent/ca.pem"), "{refused}");
    }

    #[test]
    fn an_explained_error_is_passed_on_and_an_unexplained_one_is_doubted() {
        let answer = |body: &str| Answer { status: 400, retry_after: None, body: body.as_bytes().to_vec() };
        let explained =
            answer(r#"{"error":{"code":"invalid_limit","message":"limit is 0","field":"limit"}}"#);
        assert_eq!(
            explained.success("http://x").unwrap_err().to_string(),
            "the server refused: limit is 0 (status 400, code invalid_limit)"
        );
        assert!(matches!(answer("<html>").success("http://x"), Err(AdminError::Unintelligible { .. })));
    }
}
