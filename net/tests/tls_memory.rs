//! What a TLS session costs in memory.
//!
//! Goal: a session takes no more than it says it does, since what connections may hold is bounded by what they say. Method: a
//! global allocator that counts while the server's side works, and clients in memory; one test, so that nothing else is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};
use stemedb_net::tls::{Progress, Session};

#[global_allocator]
static COUNTING: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);

/// Bytes allocated and not freed while it was counted.
static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: both do what the system's allocator does, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: isize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Counts what `work` allocates and does not free.
fn counted<R>(work: impl FnOnce() -> R) -> R {
    IS_COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    result
}

const SESSIONS: usize = 50;

#[test]
fn sessions_take_no_more_memory_than_is_counted() {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a certificate and its key");
    config.ticketer = ring::Ticketer::new().expect("a key");
    let config = Arc::new(config);
    for version in [&TLS12, &TLS13] {
        let client = client(&provider, roots.clone(), version);
        // What is allocated once, by whoever is first.
        drop(sessions(&config, &client, 1));
        LIVE_BYTES.store(0, Ordering::Relaxed);
        let (established, in_handshake_bytes) = sessions(&config, &client, SESSIONS);
        let said: usize = established.iter().map(Session::heap_bytes).sum();
        let bytes = LIVE_BYTES.load(Ordering::Relaxed) as usize;
        println!(
            "{:?}: {} bytes a session, {in_handshake_bytes} in the handshake",
            version.version,
            bytes / SESSIONS
        );
        assert!(bytes <= said, "{bytes} bytes, of which {said} are told");
    }
}

fn client(
    provider: &Arc<rustls::crypto::CryptoProvider>,
    roots: RootCertStore,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[version])
        .expect("a version of the provider");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Sessions whose handshakes are done, and the most that one of them took more than it said in the midst of its handshake.
fn sessions(config: &Arc<ServerConfig>, client: &Arc<ClientConfig>, count: usize) -> (Vec<Session>, usize) {
    let mut in_handshake_bytes = 0;
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(client), name).expect("a sound configuration");
        let before_bytes = LIVE_BYTES.load(Ordering::Relaxed);
        let mut session = counted(|| {
            let mut session = Session::default();
            session.begin(Arc::clone(config));
            session
        });
        while !session.is_established() {
            let mut up = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut up).expect("memory takes all");
            }
            let down = counted(|| {
                session.receive(&up);
                while session.next(|_| unreachable!("nothing was said")) != Progress::None {}
                if session.is_in_handshake() {
                    let bytes = (LIVE_BYTES.load(Ordering::Relaxed) - before_bytes) as usize;
                    assert!(bytes <= session.heap_bytes(), "{bytes} bytes, {} told", session.heap_bytes());
                    in_handshake_bytes = in_handshake_bytes.max(bytes);
                }
                session.take_output().unwrap_or_default()
            });
            let mut rest = &down[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("memory gives all");
                client.process_new_packets().expect("the server speaks TLS");
            }
            counted(|| session.recycle(down));
        }
        counted(|| session.release());
        sessions.push(session);
    }
    (sessions, in_handshake_bytes)
}
