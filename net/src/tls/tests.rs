//! Goal: what a client says in TLS comes out as it said it, whatever way the network cuts it, and what is wrong with files or
//! messages is told. Method: sessions with a client of `rustls` in memory.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};

use super::testing::{Authority, Client, NOW_UNIX_S, client_config, credentials};
use super::*;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A server's session and what came out of it.
struct Server {
    session: Session,
    received: Vec<u8>,
    resumed: Option<bool>,
    has_ended: bool,
    failure: Option<rustls::Error>,
}

impl Server {
    fn new(credentials: &Credentials) -> Server {
        let clock = Clock::default();
        clock.set(NOW_UNIX_S as u64);
        let mut config = rustls::ServerConfig::clone(&credentials.config);
        config.time_provider = Arc::new(clock);
        let mut session = Session::default();
        session.begin(Arc::new(config));
        Server { session, received: Vec::new(), resumed: None, has_ended: false, failure: None }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.session.receive(bytes);
        loop {
            match self.session.next(|bytes| self.received.extend_from_slice(bytes)) {
                Progress::None => return,
                Progress::Handled { .. } => {}
                Progress::Established { resumed } => self.resumed = Some(resumed),
                Progress::Ended => self.has_ended = true,
                Progress::Failed(error) => self.failure = Some(error),
            }
        }
    }
}

/// Carries what both say to the other, in pieces of the server's choice, until nothing more follows.
fn converse(server: &mut Server, client: &mut Client, mut piece_bytes: impl FnMut() -> usize) {
    loop {
        let up = client.output();
        let down = server.session.take_output();
        if up.is_empty() && down.is_none() {
            return;
        }
        let mut rest = &up[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(piece_bytes().clamp(1, rest.len()));
            server.receive(piece);
            rest = behind;
        }
        if let Some(down) = down {
            // Why a client minds is of interest where it must not.
            let _ = client.receive(&down);
            server.session.recycle(down);
        }
    }
}

fn whole() -> usize {
    usize::MAX
}

#[test]
fn both_versions_carry_both_ways_and_end_in_order() {
    let (authority, credentials) = credentials();
    for version in VERSIONS {
        let config = client_config(&authority, version, None);
        let (mut server, mut client) = (Server::new(&credentials), Client::new(&config));
        client.say(b"asked");
        converse(&mut server, &mut client, whole);
        assert_eq!(server.resumed, Some(false), "{:?}", server.failure);
        assert_eq!(client.connection.protocol_version(), Some(version.version));
        assert_eq!(client.connection.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(server.received, b"asked");

        let answer = vec![b'x'; 100_000];
        server.session.send(&answer).expect("it is established");
        server.session.finish();
        converse(&mut server, &mut client, whole);
        assert_eq!(client.received, answer);
        assert!(client.is_closed && !server.has_ended);
        client.connection.send_close_notify();
        converse(&mut server, &mut client, whole);
        assert!(server.has_ended && server.failure.is_none());
    }
}

#[test]
fn nothing_is_encrypted_before_the_handshake_is_done_nor_after_a_failure() {
    let (_, credentials) = credentials();
    let mut server = Server::new(&credentials);
    assert!(server.session.send(b"early").is_err());
    server.receive(b"\x16\x03\x01\x00\x05nonsense, as anybody can send");
    assert!(server.failure.is_some());
    assert!(server.session.send(b"late").is_err());
    server.session.finish();
    assert_eq!(server.session.take_output(), None);
    server.receive(b"\x16\x03\x01\x00\x05nonsense");
    assert_eq!(server.session.unread(), b"", "nothing more is kept");
}

#[test]
fn sessions_are_resumed_with_the_credentials_that_they_had() {
    let (authority, credentials) = credentials();
    for version in VERSIONS {
        let config = client_config(&authority, version, None);
        let kind = |credentials: &Credentials| {
            let (mut server, mut client) = (Server::new(credentials), Client::new(&config));
            converse(&mut server, &mut client, whole);
            let resumed = client.connection.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(server.resumed, Some(resumed), "{:?}", server.failure);
            resumed
        };
        assert!(!kind(&credentials));
        assert!(kind(&credentials));
        let other =
            Credentials::from_pem(&authority.signs(1, 1000).pem(), NOW_UNIX_S).expect("a certificate");
        assert!(!kind(&other), "tickets are those of one set of credentials");
    }
}

#[test]
fn a_client_without_the_certificate_that_is_asked_for_is_refused() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let pem = Pem { client_ca: Some(clients.pem()), ..authority.signs(1, 1000).pem() };
    let credentials = Credentials::from_pem(&pem, NOW_UNIX_S).expect("a certificate");
    let (good, foreign, late) = (clients.signs(1, 1000), authority.signs(1, 1000), clients.signs(100, -50));
    for version in VERSIONS {
        for (certificate, is_good) in
            [(Some(&good), true), (None, false), (Some(&foreign), false), (Some(&late), false)]
        {
            let config = client_config(&authority, version, certificate);
            let (mut server, mut client) = (Server::new(&credentials), Client::new(&config));
            client.say(b"asked");
            converse(&mut server, &mut client, whole);
            assert_eq!(server.failure.is_none(), is_good, "{:?}", server.failure);
            assert_eq!(server.received, if is_good { &b"asked"[..] } else { b"" });
        }
    }
}

#[test]
fn only_what_is_spoken_here_is_spoken() {
    let (authority, credentials) = credentials();
    let mut config = ClientConfig::clone(&client_config(&authority, &TLS13, None));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (mut server, mut client) = (Server::new(&credentials), Client::new(&Arc::new(config.clone())));
    converse(&mut server, &mut client, whole);
    assert_eq!(server.failure, Some(rustls::Error::NoApplicationProtocol));
    config.alpn_protocols.clear();
    let (mut server, mut client) = (Server::new(&credentials), Client::new(&Arc::new(config)));
    converse(&mut server, &mut client, whole);
    assert_eq!(server.resumed, Some(false), "who names no protocol gets the one that there is");
}

#[test]
fn keys_are_renewed_when_the_client_wants_it() {
    let (authority, credentials) = credentials();
    let config = client_config(&authority, &TLS13, None);
    let (mut server, mut client) = (Server::new(&credentials), Client::new(&config));
    converse(&mut server, &mut client, whole);
    for number in 0..20_u8 {
        client.connection.refresh_traffic_keys().expect("TLS 1.3 can do it");
        client.say(&[number]);
        converse(&mut server, &mut client, whole);
        server.session.send(&[number]).expect("it is established");
        converse(&mut server, &mut client, whole);
    }
    assert_eq!(server.received, client.received);
    assert_eq!(server.received, (0..20).collect::<Vec<u8>>(), "{:?}", server.failure);
}

#[test]
fn what_is_wrong_with_the_files_is_told() {
    let authority = Authority::new();
    let (pem, other) = (authority.signs(1000, 1000).pem(), authority.signs(1000, 1000).pem());
    let refusal = |pem: &Pem, unix_s| Credentials::from_pem(pem, unix_s).expect_err("it cannot be used");
    let told = |pem: &Pem| refusal(pem, NOW_UNIX_S);
    let with_key = |key: &[u8]| Pem { key: key.to_vec(), ..pem.clone() };
    let with_certificate = |certificate: &[u8]| Pem { certificate: certificate.to_vec(), ..pem.clone() };

    assert!(refusal(&pem, NOW_UNIX_S + 1000).to_string().starts_with("certificate has expired"));
    assert!(Credentials::from_pem(&pem, NOW_UNIX_S + 999).is_ok(), "its last second");
    assert!(refusal(&pem, NOW_UNIX_S - 1001).to_string().starts_with("certificate is not yet valid"));
    assert!(told(&with_key(&other.key)).to_string().starts_with("key values mismatch"));
    assert!(matches!(told(&with_certificate(b"")), CredentialsError::NoCertificate(_)));
    assert!(matches!(told(&with_certificate(&pem.key)), CredentialsError::NoCertificate(_)));
    let nonsense = b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    assert!(matches!(told(&with_certificate(nonsense)), CredentialsError::UnreadableCertificate(_)));
    assert!(matches!(told(&with_key(b"\x30\x82")), CredentialsError::NoKey(_)));
    assert!(matches!(told(&with_key(&pem.certificate)), CredentialsError::NoKey(_)));
    let nonsense = b"-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n";
    assert!(matches!(told(&with_key(nonsense)), CredentialsError::UnusableKey(_)));
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(told(&with_key(encrypted)), CredentialsError::EncryptedKey);
    let client_ca = Pem { client_ca: Some(b"nobody".to_vec()), ..pem.clone() };
    assert!(matches!(told(&client_ca), CredentialsError::NoClientCa(_)));
}

#[test]
fn the_versions_are_those_that_are_safe() {
    let (_, credentials) = credentials();
    // A hello of TLS 1.1 with one suite, by hand: no client here still speaks it.
    let hello = [&[1, 0, 0, 43, 3, 2][..], &[0; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0, 0, 0]].concat();
    let record = [&[22, 3, 1, 0, hello.len() as u8], &hello[..]].concat();
    let mut server = Server::new(&credentials);
    server.receive(&record);
    assert!(server.failure.is_some());
    let alert = server.session.take_output().expect("the client is told");
    assert_eq!(alert[..6], [21, 3, 3, 0, 2, 2], "by a fatal alert: {alert:?}");
}

/// Goal: memory is bounded. Method: bytes that are no end of a record, and messages of the handshake without end.
#[test]
fn what_is_kept_of_a_handshake_is_bounded() {
    let (_, credentials) = credentials();
    let mut server = Server::new(&credentials);
    // A message that says it has the greatest length there is, in records of one byte.
    server.receive(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xff]);
    let mut bytes = 0;
    while server.failure.is_none() {
        server.receive(&[22, 3, 1, 0, 1, 0]);
        bytes += 6;
        assert!(server.session.heap_bytes() < 512 << 10, "after {bytes} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Goal: how the network cuts what a client sends makes no difference. Method: pieces of every size, from byte by byte
    /// to several records at once.
    #[test]
    fn any_split_of_the_bytes_gives_the_same(
        pieces in proptest::collection::vec(1_usize..2000, 1..40),
        says in proptest::collection::vec(0_usize..40_000, 1..4),
        is_tls13 in any::<bool>(),
    ) {
        let (authority, credentials) = credentials();
        let config = client_config(&authority, if is_tls13 { &TLS13 } else { &TLS12 }, None);
        let (mut server, mut client) = (Server::new(&credentials), Client::new(&config));
        let mut pieces = pieces.into_iter().cycle();
        let mut expected = Vec::new();
        for (number, bytes) in says.into_iter().enumerate() {
            let text = vec![number as u8; bytes];
            client.say(&text);
            expected.extend_from_slice(&text);
            converse(&mut server, &mut client, || pieces.next().expect("a cycle has no end"));
            server.session.send(&text).expect("it is established");
            converse(&mut server, &mut client, || pieces.next().expect("a cycle has no end"));
        }
        prop_assert!(server.failure.is_none());
        prop_assert_eq!(&server.received, &expected);
        prop_assert_eq!(&client.received, &expected);
    }

    /// Goal: nothing that comes in makes a session panic. Method: a good conversation of which one byte is changed.
    #[test]
    fn a_changed_byte_is_refused_or_makes_no_difference(at in 0_usize..2000, with in 1_u8..=255) {
        let (authority, credentials) = credentials();
        let config = client_config(&authority, &TLS13, None);
        let (mut server, mut client) = (Server::new(&credentials), Client::new(&config));
        client.say(b"asked");
        let mut sent = 0;
        for _ in 0..4 {
            let mut up = client.output();
            if (sent..sent + up.len()).contains(&at) {
                up[at - sent] ^= with;
            }
            sent += up.len();
            server.receive(&up);
            let Some(down) = server.session.take_output() else { continue };
            if client.receive(&down).is_err() {
                break;
            }
        }
        prop_assert!(server.received == b"asked" || server.received.is_empty());
    }
}
