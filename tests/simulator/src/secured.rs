//! TLS in a world: its clients speak it, and everything random in it comes from the seed.
//!
//! Left alone, `rustls` takes its random numbers and the keys of its exchanges from the system. Here a provider of its
//! own takes both from the seed, and certificates have keys whose signatures are no random numbers (Ed25519): so two runs
//! of one seed have the same bytes on the network, encrypted ones too.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::Arc;

use curve25519_dalek::MontgomeryPoint;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup, ring,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, NamedGroup, PeerMisbehaved, RootCertStore, ServerConfig};
use stemedb_net::tls::{Clock, Credentials};
use stemedb_tests::Random;

/// Until when certificates of worlds are valid, in seconds since 1970: longer than any world lasts.
const NOT_AFTER_UNIX_S: i64 = 4_000_000_000;

thread_local! {
    /// Where the random numbers of this thread's world come from.
    static RANDOM: RefCell<Random> = RefCell::new(Random::new(0));
}

/// How a world speaks TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// What clients of TLS 1.2 and of 1.3 are told.
    clients: [Arc<ClientConfig>; 2],
    clock: Arc<Clock>,
}

/// A client's side of TLS on one connection.
#[derive(Debug)]
pub(crate) struct TlsLink {
    connection: ClientConnection,
    /// What it will do when it has said all: with a word, or without.
    ending: Option<Ending>,
}

/// How a client ends what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Said,
    CutOff,
}

impl Tls {
    /// TLS whose random numbers are those of `random`, on this thread.
    pub(crate) fn new(random: Random) -> Tls {
        RANDOM.set(random);
        let (chain, key) = certificate();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a certificate");
        let clock = Arc::new(Clock::default());
        let client = |version| {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .expect("a version of the provider")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.time_provider = Arc::clone(&clock) as _;
            Arc::new(config)
        };
        let clients = [client(&TLS12), client(&TLS13)];
        Tls { chain, key, clients, clock }
    }

    /// What a server is started with. It knows no sessions of the last one.
    pub(crate) fn credentials(&self) -> Credentials {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for all versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Credentials::new(config, NOT_AFTER_UNIX_S)
    }

    /// A client's side of a new connection.
    pub(crate) fn connect(&self, random: &mut Random, unix_s: u64) -> TlsLink {
        self.clock.set(unix_s);
        let config = Arc::clone(&self.clients[random.within(0..=1) as usize]);
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(config, name).expect("a sound configuration");
        connection.set_buffer_limit(None);
        TlsLink { connection, ending: None }
    }
}

impl TlsLink {
    /// Has something said, as soon as the handshake allows it.
    pub(crate) fn say(&mut self, plaintext: &[u8]) {
        self.connection.writer().write_all(plaintext).expect("memory takes all");
    }

    /// Has it say nothing more, behind what it has to say.
    pub(crate) fn finish(&mut self, is_said: bool) {
        self.ending = Some(if is_said { Ending::Said } else { Ending::CutOff });
    }

    /// What the server says with these bytes. Panics if it is no TLS.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut plaintext = Vec::new();
        while !bytes.is_empty() {
            self.connection.read_tls(&mut bytes).expect("memory gives all");
            let state = self.connection.process_new_packets();
            let state =
                state.unwrap_or_else(|error| panic!("a client does not understand its server: {error}"));
            let begin = plaintext.len();
            plaintext.resize(begin + state.plaintext_bytes_to_read(), 0);
            self.connection.reader().read_exact(&mut plaintext[begin..]).expect("as much as there is");
        }
        plaintext
    }

    /// Puts what is to be sent behind `up`. True if it is the last.
    pub(crate) fn send(&mut self, up: &mut Vec<u8>) -> bool {
        let may_end = !self.connection.is_handshaking();
        if self.ending == Some(Ending::Said) && may_end {
            self.connection.send_close_notify();
        }
        while self.connection.wants_write() {
            self.connection.write_tls(up).expect("memory takes all");
        }
        self.ending.is_some() && may_end
    }
}

/// The certificate of all worlds: from one key, by signatures that are the same each time.
fn certificate() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    // What PKCS #8 has before a key of Ed25519 (RFC 8410 section 7).
    const BEFORE_THE_KEY: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = PrivatePkcs8KeyDer::from([&BEFORE_THE_KEY[..], &[7; 32]].concat());
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("a key of Ed25519");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    (vec![certificate.der().clone()], PrivateKeyDer::from(der))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![&SeededX25519],
        secure_random: &SeededRandom,
        ..ring::default_provider()
    })
}

/// Random numbers of the seed.
#[derive(Debug)]
struct SeededRandom;

impl SecureRandom for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        RANDOM.with_borrow_mut(|random| {
            for bytes in buffer.chunks_mut(8) {
                bytes.copy_from_slice(&random.next_u64().to_le_bytes()[..bytes.len()]);
            }
        });
        Ok(())
    }
}

/// The exchange of keys of RFC 7748, with secrets of the seed.
#[derive(Debug)]
struct SeededX25519;

struct Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        let mut secret = [0; 32];
        SeededRandom.fill(&mut secret)?;
        Ok(Box::new(Exchange { secret, public: MontgomeryPoint::mul_base_clamped(secret).to_bytes() }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        let peer = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = MontgomeryPoint(peer).mul_clamped(self.secret);
        Ok(SharedSecret::from(&shared.to_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
