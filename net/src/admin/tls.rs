//! TLS of the operators' tool: whom it trusts, and by what it proves who it is.

use std::path::{Path, PathBuf};
use std::{env, fs};

use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use super::error::AdminError;

/// Where distributions keep the certificates that they trust.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What the command line says of TLS.
#[derive(Debug, Default, clap::Args)]
pub(super) struct TlsOptions {
    /// File of the certificates that sign the server's, in PEM form; otherwise what this system trusts does
    #[arg(long, help_heading = "Server", env = "STEMEDB_CA_FILE", value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// File of a certificate for a server that asks its clients for one, in PEM form; needs --client-key
    #[arg(long, help_heading = "Server", env = "STEMEDB_CLIENT_CERT", value_name = "FILE")]
    pub(super) client_cert: Option<PathBuf>,
    /// File of that certificate's private key, in PEM form and not encrypted
    #[arg(long, help_heading = "Server", env = "STEMEDB_CLIENT_KEY", value_name = "FILE")]
    pub(super) client_key: Option<PathBuf>,
}

impl TlsOptions {
    /// Whether anything was said that only TLS can make true.
    pub(super) fn is_asked_for(&self) -> bool {
        self.ca_file.is_some() || self.client_cert.is_some() || self.client_key.is_some()
    }

    /// Reads what the files hold.
    pub(super) fn config(&self) -> Result<TlsConfig, AdminError> {
        let roots = match &self.ca_file {
            Some(file) => RootCerts::new_with_certs(&certificates(file)?),
            None => system_roots(),
        };
        let client = match (&self.client_cert, &self.client_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(client_certificate(certificate, key)?),
            _ => {
                let message =
                    "--client-cert and --client-key go together: a certificate, and the key that proves it";
                return Err(AdminError::Usage(message.to_owned()));
            }
        };
        Ok(TlsConfig::builder().root_certs(roots).client_cert(client).build())
    }
}

/// The certificates that this system trusts, or the file that `SSL_CERT_FILE` names; else the ones that browsers trust.
pub(super) fn system_roots() -> RootCerts {
    let named = env::var("SSL_CERT_FILE").ok();
    let files = named.iter().map(String::as_str).chain(SYSTEM_FILES);
    let pem = files.filter_map(|file| fs::read(file).ok()).next().unwrap_or_default();
    let certificates = certificates_in(&pem);
    if certificates.is_empty() { RootCerts::WebPki } else { RootCerts::new_with_certs(&certificates) }
}

fn client_certificate(certificate: &Path, key: &Path) -> Result<ClientCert, AdminError> {
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    let found = parse_pem(&pem).find_map(|item| match item {
        Ok(PemItem::PrivateKey(key)) => Some(key),
        _ => None,
    });
    let key = found.ok_or_else(|| {
        AdminError::Usage(format!("{}: expected a private key in PEM form, not encrypted", key.display()))
    })?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// The certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, AdminError> {
    let certificates = certificates_in(&read(file)?);
    if certificates.is_empty() {
        return Err(AdminError::Usage(format!("{}: expected certificates in PEM form", file.display())));
    }
    Ok(certificates)
}

fn certificates_in(pem: &[u8]) -> Vec<Certificate<'static>> {
    let certificates = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}

fn read(file: &Path) -> Result<Vec<u8>, AdminError> {
    fs::read(file).map_err(|source| AdminError::File { path: file.to_owned(), source })
}
