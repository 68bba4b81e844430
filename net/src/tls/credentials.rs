//! By what the server proves who it is, and what it wants of clients.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::certificate::{self, Validity};

/// The protocol that is spoken inside of TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// What the files of the settings hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pem {
    /// The server's certificate, and those that lead from it to one that clients know.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The certificates of those who sign clients' certificates, if clients must have one.
    pub client_ca: Option<Vec<u8>>,
}

/// A configuration of TLS that can be served with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// How handshakes are done.
    pub(crate) config: Arc<ServerConfig>,
    /// Until when the certificate is valid, in seconds since 1970.
    pub(crate) not_after_unix_s: i64,
    valid_until: String,
}

/// Why files make no credentials. Which file it was is for who has read them to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No certificate in the file.
    #[error(
        "not a certificate in PEM form: there is no '-----BEGIN CERTIFICATE-----' that can be read ({0})"
    )]
    NoCertificate(String),
    /// A certificate that is no certificate.
    #[error("the certificate cannot be read: {0}")]
    UnreadableCertificate(String),
    /// The certificate is too old.
    #[error("certificate has expired: it was valid until {0}; renew it")]
    Expired(String),
    /// The certificate is for later.
    #[error("certificate is not yet valid: it begins on {0}; is the clock right?")]
    NotYetValid(String),
    /// No private key in the file.
    #[error(
        "not a private key in PEM form: there is no '-----BEGIN PRIVATE KEY-----', nor one for RSA or EC, that can be read ({0})"
    )]
    NoKey(String),
    /// A key that nobody here has the password of.
    #[error(
        "the private key is encrypted, and nobody is here to type a password; store it decrypted, readable by the server alone"
    )]
    EncryptedKey,
    /// A key of a kind that is not supported.
    #[error("the private key cannot be used: {0}")]
    UnusableKey(String),
    /// The key is that of another certificate.
    #[error("key values mismatch: the private key does not belong to the certificate")]
    Mismatch,
    /// No certificate of somebody who signs.
    #[error(
        "not a certificate in PEM form: there is no '-----BEGIN CERTIFICATE-----' of a CA for clients that can be used ({0})"
    )]
    NoClientCa(String),
}

/// Which of the files is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The server's certificate.
    Certificate,
    /// Its key.
    Key,
    /// The CA of clients.
    ClientCa,
}

impl CredentialsError {
    /// The file to look at.
    pub fn part(&self) -> Part {
        match self {
            CredentialsError::NoCertificate(_)
            | CredentialsError::UnreadableCertificate(_)
            | CredentialsError::Expired(_)
            | CredentialsError::NotYetValid(_) => Part::Certificate,
            CredentialsError::NoKey(_)
            | CredentialsError::EncryptedKey
            | CredentialsError::UnusableKey(_)
            | CredentialsError::Mismatch => Part::Key,
            CredentialsError::NoClientCa(_) => Part::ClientCa,
        }
    }
}

impl Credentials {
    /// Credentials for a configuration that somebody else has made, with a certificate that is valid until then.
    pub fn new(config: ServerConfig, not_after_unix_s: i64) -> Credentials {
        let valid_until = format!("{not_after_unix_s} s after 1970");
        Credentials { config: Arc::new(config), not_after_unix_s, valid_until }
    }

    /// Reads the credentials and checks that they can be served with now.
    ///
    /// TLS 1.2 and 1.3. Sessions are resumed by tickets, of which the server keeps nothing but the keys: how many there
    /// are costs no memory. The keys are of these credentials alone, so that a client whose certificate was accepted once
    /// is asked for it again when others take their place.
    ///
    /// # Errors
    ///
    /// What is wrong with the first file that is wrong.
    pub fn from_pem(pem: &Pem, now_unix_s: i64) -> Result<Credentials, CredentialsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&pem.certificate).map_err(CredentialsError::NoCertificate)?;
        let Validity { not_before, not_after } =
            certificate::validity(&chain[0]).map_err(CredentialsError::UnreadableCertificate)?;
        if now_unix_s >= not_after.unix_s {
            return Err(CredentialsError::Expired(not_after.text));
        }
        if now_unix_s < not_before.unix_s {
            return Err(CredentialsError::NotYetValid(not_before.text));
        }
        let certified = certified_key(chain, &pem.key, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for all versions");
        let builder = match &pem.client_ca {
            None => builder.with_no_client_auth(),
            Some(client_ca) => builder.with_client_cert_verifier(client_verifier(client_ca, provider)?),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.ticketer =
            ring::Ticketer::new().map_err(|error| CredentialsError::UnusableKey(error.to_string()))?;
        Ok(Credentials {
            config: Arc::new(config),
            not_after_unix_s: not_after.unix_s,
            valid_until: not_after.text,
        })
    }

    /// Until when the certificate is valid, for people.
    pub fn valid_until(&self) -> &str {
        &self.valid_until
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("no section of that kind".to_owned()) } else { Ok(certificates) }
}

fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CredentialsError> {
    const ENCRYPTED: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    if ENCRYPTED.iter().any(|mark| key.windows(mark.len()).any(|part| part == *mark)) {
        return Err(CredentialsError::EncryptedKey);
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| CredentialsError::NoKey(error.to_string()))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| CredentialsError::UnusableKey(error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(CredentialsError::Mismatch)
        }
        Err(error) => Err(CredentialsError::UnreadableCertificate(error.to_string())),
    }
}

fn client_verifier(
    text: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, CredentialsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text).map_err(CredentialsError::NoClientCa)? {
        roots.add(certificate).map_err(|error| CredentialsError::NoClientCa(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| CredentialsError::NoClientCa(error.to_string()))
}
