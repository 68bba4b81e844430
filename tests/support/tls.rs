//! Certificates, and clients that speak TLS.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::client::Response;
use crate::{Data, Start, http};

/// How long an answer may take before the test gives up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate for `localhost`, and its key.
#[derive(Debug)]
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// The files of a server's certificate and key, in a directory of the test's data.
#[derive(Debug)]
pub struct Files {
    /// Where the certificate is.
    pub certificate: PathBuf,
    /// Where its key is.
    pub key: PathBuf,
}

impl Authority {
    /// Somebody new.
    #[allow(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Who has the name of its issuer has signed itself, others think.
        params.distinguished_name.push(DnType::CommonName, "CA of a test");
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// A certificate that is valid from the beginning of one year to the beginning of another.
    pub fn signs(&self, from: i32, until: i32) -> Certificate {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Certificate { certificate, key }
    }

    /// Its certificate as a file has it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a client is told that trusts it.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&Certificate>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions of the provider")
            .with_root_certificates(roots);
        Arc::new(match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = certificate.der();
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
        })
    }
}

impl Certificate {
    /// Writes the certificate and its key into files of their own below `directory`.
    pub fn write_below(&self, directory: &Path) -> Files {
        fs::create_dir_all(directory).expect("a writable directory");
        let files = Files { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
        self.write(&files);
        files
    }

    /// Writes them in the place of others. Both are whole before either takes its place: a server that looks for changes
    /// may look between the two.
    pub fn write(&self, files: &Files) {
        let (certificate, key) = (files.certificate.with_extension("new"), files.key.with_extension("new"));
        fs::write(&certificate, self.certificate.pem()).expect("a writable file");
        fs::write(&key, self.key.serialize_pem()).expect("a writable file");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its owner may");
        fs::rename(certificate, &files.certificate).expect("a writable directory");
        fs::rename(key, &files.key).expect("a writable directory");
    }

    /// Both as TLS wants them.
    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        (vec![self.certificate.der().clone()], key)
    }
}

impl Start {
    /// A server on `data` that speaks TLS with the certificate of these files.
    pub fn with_tls(data: &Data, files: &Files) -> Start {
        Start::on(data)
            .with("STEMEDB_TLS_ENABLED", "true")
            .with("STEMEDB_TLS_CERT", &files.certificate)
            .with("STEMEDB_TLS_KEY", &files.key)
    }
}

/// One connection with TLS.
#[derive(Debug)]
pub struct TlsClient {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

impl TlsClient {
    /// Connects, and does the handshake.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<TlsClient> {
        let mut client = TlsClient::over(TcpStream::connect(address)?, config)?;
        client.shake_hands()?;
        Ok(client)
    }

    /// Does the handshake, or goes on with it.
    pub fn shake_hands(&mut self) -> io::Result<()> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    /// A client that has not said a word yet.
    pub fn over(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<TlsClient> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(TlsClient { stream: StreamOwned::new(connection, stream), received: Vec::new() })
    }

    /// Sends a request and reads its answer.
    pub fn request(&mut self, method: &str, target: &str, body: &[u8]) -> io::Result<Response> {
        self.send(&http::request(method, target, body))?;
        self.response()
    }

    /// Sends a GET and reads its answer.
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        self.request("GET", target, b"")
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the next answer.
    pub fn response(&mut self) -> io::Result<Response> {
        let head = loop {
            match http::parse_head(&self.received) {
                Some(head) => break head,
                None => self.receive()?,
            }
        };
        let bytes = head.bytes + head.content_length;
        while self.received.len() < bytes {
            self.receive()?;
        }
        let rest = self.received.split_off(bytes);
        let body = std::mem::replace(&mut self.received, rest).split_off(head.bytes);
        Ok(Response { status: head.status, fields: head.fields, body })
    }

    /// Reads up to the end, before which nothing more must come, and which must be said by TLS.
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an end that is said");
        assert!(rest.is_empty() && self.received.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    /// What has been agreed on.
    pub fn connection(&self) -> &ClientConnection {
        &self.stream.conn
    }

    /// The value of a sample in `/metrics`.
    pub fn metric(&mut self, sample: &str) -> f64 {
        let response = self.get("/metrics").expect("a running server answers");
        let text = String::from_utf8(response.body).expect("metrics are text");
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no sample {sample} in {text}"));
        value.parse().unwrap_or_else(|_| panic!("{sample} is {value}"))
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let bytes = self.stream.read(&mut buffer)?;
        if bytes == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        self.received.extend_from_slice(&buffer[..bytes]);
        Ok(())
    }
}
