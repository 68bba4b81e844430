//! What tests of TLS need: certificates, and a client without I/O.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::{Credentials, Pem};

/// When the certificates of tests are valid, in seconds since 1970.
pub(crate) const NOW_UNIX_S: i64 = 1_700_000_000;

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// A certificate for `localhost`, valid for so many seconds from and to now.
    pub(crate) fn signs(&self, before_s: i64, after_s: i64) -> Certificate {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let moment =
            |unix_s| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(unix_s as u64);
        params.not_before = moment(NOW_UNIX_S - before_s);
        params.not_after = moment(NOW_UNIX_S + after_s);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Certificate { certificate, key }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a CA");
        roots
    }
}

impl Certificate {
    pub(crate) fn pem(&self) -> Pem {
        let (certificate, key) = (self.certificate.pem().into_bytes(), self.key.serialize_pem().into_bytes());
        Pem { certificate, key, client_ca: None }
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        (vec![self.certificate.der().clone()], key)
    }
}

/// A CA, and credentials that it has signed.
pub(crate) fn credentials() -> (Authority, Credentials) {
    let authority = Authority::new();
    let pem = authority.signs(1000, 100_000).pem();
    let credentials = Credentials::from_pem(&pem, NOW_UNIX_S).expect("a certificate and its key");
    (authority, credentials)
}

/// What a client is told before it speaks.
pub(crate) fn client_config(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    certificate: Option<&Certificate>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version of the provider")
        .with_root_certificates(authority.roots());
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = certificate.der();
            builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.time_provider = Arc::new(now());
    Arc::new(config)
}

fn now() -> super::Clock {
    let clock = super::Clock::default();
    clock.set(NOW_UNIX_S as u64);
    clock
}

/// A client.
pub(crate) struct Client {
    pub(crate) connection: ClientConnection,
    /// What it has understood.
    pub(crate) received: Vec<u8>,
    /// Whether the server has said that it will send nothing more.
    pub(crate) is_closed: bool,
}

impl Client {
    pub(crate) fn new(config: &Arc<ClientConfig>) -> Client {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a sound configuration");
        Client { connection, received: Vec::new(), is_closed: false }
    }

    /// Has something said when the handshake allows it.
    pub(crate) fn say(&mut self, plaintext: &[u8]) {
        self.connection.writer().write_all(plaintext).expect("memory takes all");
    }

    /// The bytes that it wants to send.
    pub(crate) fn output(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut bytes).expect("memory takes all");
        }
        bytes
    }

    /// Takes bytes from the server.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        while !bytes.is_empty() {
            self.connection.read_tls(&mut bytes).expect("memory gives all");
            let state = self.connection.process_new_packets()?;
            self.is_closed |= state.peer_has_closed();
            let begin = self.received.len();
            self.received.resize(begin + state.plaintext_bytes_to_read(), 0);
            self.connection.reader().read_exact(&mut self.received[begin..]).expect("as much as there is");
        }
        Ok(())
    }
}
