//! Goal: the server speaks TLS as it should with clients that others have written, starts with no certificate that is not
//! good, takes new certificates without a restart, and lets handshakes cost others nothing.
//!
//! Method: the real server with certificates that are made for each test, and clients of rustls, curl and openssl.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use stemedb_tests::binary;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::tls::{Authority, Certificate, Files, TlsClient};
use stemedb_tests::{Client, Data, Refused, Server, Start, http, process};

/// A server that speaks TLS, and what its clients have to know.
struct Secured {
    server: Server,
    authority: Authority,
    files: Files,
    data: Data,
}

impl Secured {
    fn with(settings: &[(&str, &str)]) -> Secured {
        let (data, authority) = (Data::new(), Authority::new());
        let files = authority.signs(2020, 2090).write_below(&data.root().join("tls"));
        let start = settings
            .iter()
            .fold(Start::with_tls(&data, &files), |start, (variable, value)| start.with(variable, *value));
        Secured { server: start.serve(), authority, files, data }
    }

    fn trust(&self) -> Arc<ClientConfig> {
        self.authority.client(&[&TLS13], None)
    }

    fn client(&self) -> TlsClient {
        self.client_with(&self.trust())
    }

    fn client_with(&self, config: &Arc<ClientConfig>) -> TlsClient {
        TlsClient::connect(self.server.address(), config)
            .unwrap_or_else(|error| panic!("cannot connect: {error}\n{}", self.server.text()))
    }

    /// Until when the certificate is valid that a new connection gets, in seconds since 1970.
    fn expiry(&self) -> f64 {
        let mut client = self.client();
        client.metric("stemedb_tls_certificate_expiry_timestamp_seconds")
    }
}

/// How long something may take that is waited for. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Waits until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not after {PATIENCE:?}: {what}");
        thread::sleep(RETRY_PAUSE);
    }
}

/// The beginning of 2090 and of 2091, in seconds since 1970.
const BEGIN_OF_2090: f64 = 3_786_912_000.0;
const BEGIN_OF_2091: f64 = 3_818_448_000.0;

#[test]
fn both_versions_are_spoken_and_sessions_are_resumed() {
    let secured = Secured::with(&[]);
    assert!(secured.server.text().contains("on https://127.0.0.1:"), "{}", secured.server.text());
    for version in [&TLS12, &TLS13] {
        let config = secured.authority.client(&[version], None);
        for (number, kind) in [HandshakeKind::Full, HandshakeKind::Resumed].into_iter().enumerate() {
            let mut client = secured.client_with(&config);
            let claim = TestClaim::new(format!("tls/{:?}/{number}", version.version), "is", 1);
            let answer = client.request("POST", "/v1/assert", claim.json().as_bytes()).expect("an answer");
            assert_eq!(answer.status, 201, "{answer:?}");
            assert_eq!(client.connection().protocol_version(), Some(version.version));
            assert_eq!(client.connection().handshake_kind(), Some(kind));
        }
    }
    let mut client = secured.client();
    let count = |client: &mut TlsClient, result: &str| {
        client.metric(&format!("stemedb_tls_handshakes_total{{result=\"{result}\"}}"))
    };
    assert_eq!(count(&mut client, "full"), 3.0);
    assert_eq!(count(&mut client, "resumed"), 2.0);
    assert_eq!(count(&mut client, "failed"), 0.0);
    secured.server.stop();
}

#[test]
fn an_end_is_said_and_large_messages_pass() {
    let secured = Secured::with(&[]);
    let mut client = secured.client();
    let claim = TestClaim::new("tls/large", "is", "x".repeat(60_000));
    let lines: String = (0..20)
        .map(|number| TestClaim { path: format!("tls/large/{number}"), ..claim.clone() }.json() + "\n")
        .collect();
    let answer = client.request("POST", "/v1/assert/batch", lines.as_bytes()).expect("an answer");
    assert_eq!(answer.ok()["accepted"], 20);
    let page = client.get("/v1/query?concept_path=tls/large/*").expect("an answer");
    assert!(page.body.len() > 1 << 20 && page.status == 200, "{}", page.body.len());
    client
        .send(b"GET https://localhost/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    client.expect_end();
}

#[test]
fn clients_must_have_the_certificate_that_is_asked_for() {
    let (data, authority, clients) = (Data::new(), Authority::new(), Authority::new());
    let directory = data.root().join("tls");
    let files = authority.signs(2020, 2090).write_below(&directory);
    let client_ca = directory.join("clients.pem");
    fs::write(&client_ca, clients.pem()).expect("a writable file");
    let server = Start::with_tls(&data, &files).with("STEMEDB_TLS_CLIENT_CA", &client_ca).serve();
    let (good, foreign, old) =
        (clients.signs(2020, 2090), authority.signs(2020, 2090), clients.signs(2020, 2021));
    for version in [&TLS12, &TLS13] {
        let ask = |certificate: Option<&Certificate>| {
            let config = authority.client(&[version], certificate);
            TlsClient::connect(server.address(), &config).and_then(|mut client| client.get("/ready"))
        };
        assert_eq!(ask(Some(&good)).expect("an answer").status, 200);
        for bad in [None, Some(&foreign), Some(&old)] {
            let error = ask(bad).expect_err("it has no right to ask").to_string();
            assert!(error.contains("alert"), "it is told why: {error}");
        }
    }
    let mut client =
        TlsClient::connect(server.address(), &authority.client(&[&TLS13], Some(&good))).expect("good");
    assert_eq!(client.metric("stemedb_tls_handshakes_total{result=\"failed\"}"), 6.0);
}

/// Goal: the operators' tool speaks TLS with who can prove to be the server, and proves itself where that is asked for. Method: a
/// server that asks for certificates, and the tool with right, wrong and missing files, by options and by the environment.
#[test]
fn the_operators_tool_speaks_tls_with_whom_it_trusts() {
    let (data, authority, clients) = (Data::new(), Authority::new(), Authority::new());
    let directory = data.root().join("tls");
    let files = authority.signs(2020, 2090).write_below(&directory);
    let client = clients.signs(2020, 2090).write_below(&directory.join("client"));
    let foreign = authority.signs(2020, 2090).write_below(&directory.join("foreign"));
    let (ca, client_ca) = (directory.join("ca.pem"), directory.join("clients.pem"));
    fs::write(&ca, authority.pem()).expect("a writable file");
    fs::write(&client_ca, clients.pem()).expect("a writable file");
    let tool = |server: &Server, scheme: &str, words: &[&std::path::Path], command: &[&str]| {
        let url = format!("{scheme}://localhost:{}", server.address().port());
        let mut tool = Command::new(binary::stemedb_admin());
        tool.args(command).args(["--url", &url]).stdin(Stdio::null());
        for (option, file) in ["--ca-file", "--client-cert", "--client-key"].iter().zip(words) {
            tool.arg(option).arg(file);
        }
        let output = tool.output().expect("the tool is built");
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let says = |(code, said): (Option<i32>, String), expected: i32, words: &str| {
        assert!(
            code == Some(expected) && said.contains(words),
            "not {words:?} and {expected} but {code:?}\n{said}"
        );
    };
    let open = Start::with_tls(&data, &files).serve();
    says(tool(&open, "https", &[&ca], &["health"]), 0, "healthy");
    says(tool(&open, "https", &[], &["health"]), 1, "UnknownIssuer");
    says(tool(&open, "https", &[&client_ca], &["health"]), 1, "--ca-file names");
    says(tool(&open, "http", &[], &["health"]), 1, "tls_required");
    says(tool(&open, "http", &[&ca], &["health"]), 2, "are for https://");
    let claims = directory.join("claims.ndjson");
    fs::write(&claims, TestClaim::new("tls/tool", "is", 1).json()).expect("a writable file");
    let import = ["import", claims.to_str().expect("ASCII")];
    says(tool(&open, "https", &[&ca], &import), 0, "accepted");
    // It is not tried again for two minutes.
    says(tool(&open, "https", &[&client_ca], &import), 1, "no secure connection");
    says(tool(&open, "https", &[&ca], &["query", "tls/tool"]), 0, "tls/tool");
    let mut by_environment = Command::new(binary::stemedb_admin());
    by_environment.arg("health").env("STEMEDB_CA_FILE", &ca);
    by_environment.env("STEMEDB_URL", format!("https://localhost:{}", open.address().port()));
    assert!(by_environment.output().expect("the tool is built").status.success());
    open.stop();

    let asking = Start::with_tls(&data, &files).with("STEMEDB_TLS_CLIENT_CA", &client_ca).serve();
    says(tool(&asking, "https", &[&ca, &client.certificate, &client.key], &["health"]), 0, "healthy");
    says(tool(&asking, "https", &[&ca], &["health"]), 1, "CertificateRequired");
    says(tool(&asking, "https", &[&ca, &foreign.certificate, &foreign.key], &["health"]), 1, "alert");
    says(
        tool(&asking, "https", &[&ca, &client.certificate, &client_ca], &["health"]),
        2,
        "expected a private key",
    );
    says(tool(&asking, "https", &[&ca, &client.certificate], &["health"]), 2, "go together");
    let plain = Start::on(&Data::new()).serve();
    says(tool(&plain, "https", &[&ca], &["health"]), 1, "or speak plain http://");
}

/// Goal: nothing is begun with TLS that cannot be spoken, and one line says why, in the words of the runbooks.
#[test]
fn a_start_without_good_files_says_why_and_begins_nothing() {
    let (data, authority) = (Data::new(), Authority::new());
    let directory = data.root().join("tls");
    let files = authority.signs(2020, 2090).write_below(&directory);
    let expired = authority.signs(2019, 2020).write_below(&directory.join("expired"));
    let later = authority.signs(2089, 2090).write_below(&directory.join("later"));
    let nonsense = directory.join("nonsense.pem");
    fs::write(&nonsense, "no PEM").expect("a writable file");
    let missing = directory.join("missing.pem");
    let start = || Start::with_tls(&data, &files);
    let with = |variable: &str, path: &std::path::Path| start().with(variable, path);
    let no_such_file = format!("No such file or directory: {}", missing.display());
    for (start, words) in [
        (Start::with_tls(&data, &expired), vec!["certificate has expired", "2020"]),
        (Start::with_tls(&data, &later), vec!["certificate is not yet valid", "2089"]),
        (with("STEMEDB_TLS_CERT", &missing), vec![&*no_such_file, "STEMEDB_TLS_CERT"]),
        (with("STEMEDB_TLS_KEY", &missing), vec![&no_such_file, "STEMEDB_TLS_KEY"]),
        (with("STEMEDB_TLS_CLIENT_CA", &missing), vec![&no_such_file, "STEMEDB_TLS_CLIENT_CA"]),
        (with("STEMEDB_TLS_KEY", &later.key), vec!["key values mismatch"]),
        (with("STEMEDB_TLS_CERT", &nonsense), vec!["not a certificate in PEM form"]),
        (with("STEMEDB_TLS_KEY", &nonsense), vec!["not a private key in PEM form"]),
        (with("STEMEDB_TLS_KEY", &directory), vec!["Is a directory"]),
    ] {
        let Refused { status, text } = start.refused();
        assert_eq!(status.code(), Some(1), "{text}");
        let errors: Vec<&str> = text.lines().filter(|line| line.contains("ERROR")).collect();
        let [line] = errors[..] else { panic!("not one line: {text}") };
        for word in words.into_iter().chain(["TLS"]) {
            assert!(line.contains(word), "no {word} in {line}");
        }
        assert!(!text.contains("Bound to"), "{text}");
        assert!(!data.wal().exists(), "nothing was begun");
    }
}

#[test]
fn a_key_that_cannot_be_read_or_that_all_can_is_told() {
    let (data, authority) = (Data::new(), Authority::new());
    let files = authority.signs(2020, 2090).write_below(&data.root().join("tls"));
    let mode =
        |mode| fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).expect("its owner may");
    mode(0o000);
    let text = Start::with_tls(&data, &files).obeying_modes().refused().text;
    for part in ["Permission denied: ", "mode 0000", "this process runs as"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    mode(0o644);
    let server = Start::with_tls(&data, &files).serve();
    assert!(
        server.text().contains("can be read by every user of this machine, mode 0644"),
        "{}",
        server.text()
    );
}

#[test]
fn a_certificate_is_renewed_by_sighup_and_a_bad_one_is_not_taken() {
    let secured = Secured::with(&[]);
    let mut old = secured.client();
    assert_eq!(secured.expiry(), BEGIN_OF_2090);

    secured.authority.signs(2020, 2091).write(&secured.files);
    secured.server.hang_up();
    secured
        .server
        .wait_for_line("reloaded: new connections get the one that is valid until Jan  1 00:00:00 2091");
    // The core has been told, and has yet to take notice; here as below.
    wait_until("the new one is in use", || secured.expiry() == BEGIN_OF_2091);
    assert_eq!(old.get("/ready").expect("an old connection goes on").status, 200);

    secured.authority.signs(2019, 2020).write(&secured.files);
    secured.server.hang_up();
    let line = secured.server.wait_for_line("not reloaded, the one in use stays");
    assert!(line.contains("certificate has expired"), "{line}");
    wait_until("it is counted", || secured.client().metric("stemedb_tls_reload_failures_total") >= 1.0);
    assert_eq!(secured.expiry(), BEGIN_OF_2091);
    secured.server.stop();
}

#[test]
fn a_certificate_is_renewed_when_its_files_change() {
    let secured = Secured::with(&[]);
    assert_eq!(secured.expiry(), BEGIN_OF_2090);
    secured.authority.signs(2020, 2091).write(&secured.files);
    secured.server.wait_for_line("reloaded: new");
    wait_until("the new one is in use", || secured.expiry() == BEGIN_OF_2091);
    fs::remove_file(&secured.files.key).expect("it is there");
    let line = secured.server.wait_for_line("not reloaded");
    assert!(line.contains("No such file or directory: "), "{line}");
    let mut client = secured.client();
    wait_until("it is counted", || client.metric("stemedb_tls_reload_failures_total") == 1.0);
    assert_eq!(client.metric("stemedb_tls_certificate_expiry_timestamp_seconds"), BEGIN_OF_2091);
}

#[test]
fn sighup_ends_no_server_without_tls() {
    let data = Data::new();
    let server = Start::on(&data).serve();
    server.hang_up();
    server.wait_for_line("Nothing to reload: TLS is not enabled");
    assert_eq!(server.client().get("/ready").expect("an answer").status, 200);
    let metrics = server.client().get("/metrics").expect("an answer").body;
    assert!(!String::from_utf8_lossy(&metrics).contains("stemedb_tls_"), "there is no TLS to tell of");
    server.stop();
}

#[test]
fn plain_http_is_answered_plainly_and_other_nonsense_with_an_alert() {
    let secured = Secured::with(&[]);
    let mut client = Client::connect(secured.server.address()).expect("a connection");
    let response = client.get("/v1/health").expect("an answer that needs no key");
    assert_eq!((response.status, &*response.error_code()), (400, "tls_required"));
    assert_eq!(response.field("connection"), Some("close"));
    client.expect_end();

    let mut stream = TcpStream::connect(secured.server.address()).expect("a connection");
    stream.write_all(&[22, 3, 1, 0, 4, 14, 0, 0, 0]).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end");
    assert_eq!(answer[..2], [21, 3], "an alert: {answer:?}");
    assert_eq!(secured.client().metric("stemedb_tls_handshakes_total{result=\"failed\"}"), 2.0);
}

#[test]
fn a_slow_handshake_is_given_up() {
    // So long that a good handshake is done in it, also on a machine that is busy.
    let secured = Secured::with(&[("STEMEDB_HEAD_TIMEOUT_S", "10")]);
    let began = Instant::now();
    let mut slow = TcpStream::connect(secured.server.address()).expect("a connection");
    slow.set_read_timeout(Some(PATIENCE)).expect("a socket takes the option");
    slow.write_all(&[22, 3, 1, 1, 0, 1, 0]).expect("sent");
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).expect("an end");
    assert!(answer.is_empty(), "{answer:?}");
    assert!(began.elapsed() >= Duration::from_secs(10), "not before its time");
    assert_eq!(secured.client().metric("stemedb_tls_handshakes_total{result=\"failed\"}"), 1.0);
}

/// Goal: handshakes under way are bounded, and those beyond wait their turn while others are served. Method: as many
/// connections as there are places begin a handshake and never end it; one more gets its turn when they are given up.
#[test]
fn handshakes_beyond_the_bound_wait_while_others_are_served() {
    const HANDSHAKES_MAX: usize = 1024;
    /// No slow handshake is given up before that, and a client that leaves its place well before shows that this makes room.
    const GIVEN_UP: Duration = Duration::from_secs(29);
    const WELL_BEFORE: Duration = Duration::from_secs(10);
    let limit = process::raise_descriptor_limit(HANDSHAKES_MAX as u64 + 200);
    if limit < HANDSHAKES_MAX as u64 + 200 {
        stemedb_tests::skip(format_args!("only {limit} files may be open"));
        return;
    }
    let secured = Secured::with(&[("STEMEDB_HEAD_TIMEOUT_S", "30")]);
    let mut established = secured.client();
    let address = secured.server.address();
    let begin = || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(&[22, 3, 1, 1, 0, 1, 0]).expect("sent");
        stream
    };
    let began = Instant::now();
    let first = begin();
    let slow: Vec<TcpStream> = (1..HANDSHAKES_MAX).map(|_| begin()).collect();
    // The server has read what all have sent when it has answered one who asked after them.
    let samples = |client: &mut TlsClient| {
        let received = client.metric("stemedb_core_received_bytes_total{core=\"0\"}");
        assert_eq!(client.get("/ready").expect("an answer").status, 200);
        received
    };
    while samples(&mut established) < 7.0 * HANDSHAKES_MAX as f64 {
        assert!(began.elapsed() < PATIENCE, "the server has not read what was sent");
    }

    let late = TcpStream::connect(address).expect("a connection");
    let socket = late.try_clone().expect("a connection");
    let mut late = TlsClient::over(late, &secured.trust()).expect("a configuration");
    // In the place of the client's patience, which would outlast the slow handshakes.
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket takes the option");
    let is_late = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    match late.shake_hands() {
        // A test that is held up for so long sees the first of them give way.
        Ok(()) => assert!(began.elapsed() >= GIVEN_UP, "there was no place for it"),
        Err(error) => assert!(is_late(&error), "{error}"),
    }
    assert_eq!(established.get("/ready").expect("an answer").status, 200);
    // Whoever gives up makes room, well before the handshakes of the others are over.
    let was_dropped = began.elapsed();
    drop(first);
    while let Err(error) = late.shake_hands() {
        assert!(is_late(&error) && began.elapsed() < PATIENCE, "{error}");
    }
    let has_room = began.elapsed();
    assert!(has_room < GIVEN_UP || was_dropped > WELL_BEFORE, "{has_room:?}");
    late.send(&http::request("GET", "/ready", b"")).expect("sent");
    let answer = loop {
        match late.response() {
            Ok(answer) => break answer,
            Err(error) => assert!(is_late(&error) && began.elapsed() < PATIENCE, "{error}"),
        }
    };
    assert_eq!(answer.status, 200);
    drop(slow);
}

/// Whether a tool is there. Says so if not.
fn has(tool: &str, argument: &str) -> bool {
    let ran = Command::new(tool).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if ran.is_err() {
        stemedb_tests::skip(format_args!("no {tool} on this machine"));
    }
    ran.is_ok()
}

#[test]
fn curl_and_openssl_are_understood() {
    let secured = Secured::with(&[]);
    let ca = secured.data.root().join("tls/ca.pem");
    fs::write(&ca, secured.authority.pem()).expect("a writable file");
    let port = secured.server.address().port();
    if has("curl", "--version") {
        for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
            let output = Command::new("curl")
                .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
                .arg(&ca)
                .args(version.split(' '))
                .arg(format!("https://localhost:{port}/v1/health"))
                .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
                .output()
                .expect("curl runs");
            assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout.starts_with(b"{\"status\":\"healthy\""));
        }
    }
    if has("openssl", "version") {
        for version in ["-tls1_2", "-tls1_3"] {
            let mut child = Command::new("openssl")
                .args(["s_client", "-quiet", "-verify_return_error", "-alpn", "http/1.1", version, "-CAfile"])
                .arg(&ca)
                .args(["-servername", "localhost", "-connect", &format!("127.0.0.1:{port}")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("openssl runs");
            let request = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            child.stdin.as_mut().expect("it is piped").write_all(request).expect("openssl reads");
            let output = child.wait_with_output().expect("openssl ends when the server does");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                text.starts_with("HTTP/1.1 200 OK") && text.ends_with(r#"{"status":"ready"}"#),
                "{version}: {text}"
            );
        }
    }
}
