//! Goal: clients that send slowly, send without end, ask without reading, or come and go in masses are bounded, and delay
//! nobody.
//!
//! Method: a server is given such clients, while a well-behaved one writes and is answered each time. Each hostile client
//! must get the answer that is documented and lose its connection; the server's memory and its sockets are read from
//! proc(5). Nothing is timed here: `bench/slow_clients.py` measures what the well-behaved ones notice of it. Clients that
//! are only idle, or slow and within the bounds, are in `many_connections`; single malformed messages are in `bad_input`.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use stemedb_tests::{Client, Data, Server, Start, WellBehaved, http, process};

/// Clients of each kind at once.
const CLIENTS: usize = 40;

/// Memory that the server may need for one of them: its receive buffer, a body at its limit, and answers.
const CLIENT_BYTES_MAX: u64 = 3 << 20;

/// How long a client that trickles waits between two bytes for an answer.
const TRICKLE: Duration = Duration::from_millis(20);

/// Bytes that a client sends of what has no end before the test says that nothing stopped it.
const ENDLESS_BYTES: usize = 64 << 20;

const HEAD: &str = "POST /v1/assert HTTP/1.1\r\nHost: test\r\n";

/// A server, and the client that is to notice nothing.
struct Attacked {
    server: Server,
    well_behaved: WellBehaved,
    sockets_before: usize,
    bytes_before: u64,
    _data: Data,
}

impl Attacked {
    fn start() -> Attacked {
        Attacked::start_with(|start| start)
    }

    /// A server that gives clients a second for a head, and for each kibibyte of a body.
    fn start_impatient() -> Attacked {
        Attacked::start_with(|start| start.with("STEMEDB_HEAD_TIMEOUT_S", "1"))
    }

    fn start_with(settings: impl FnOnce(Start) -> Start) -> Attacked {
        let data = Data::new();
        let server = settings(Start::on(&data)).serve();
        let mut well_behaved = WellBehaved::new(&server);
        for _ in 0..100 {
            well_behaved.write();
        }
        let (sockets_before, bytes_before) =
            (process::sockets(server.pid()), process::anonymous_bytes(server.pid()));
        Attacked { server, well_behaved, sockets_before, bytes_before, _data: data }
    }

    /// Lets `attack` happen on as many connections at once as there are clients, the well-behaved one writing all the
    /// while; gives what each of them has got as an answer.
    fn under(&mut self, attack: impl Fn(TcpStream) -> Vec<u8> + Sync) -> Vec<String> {
        let (address, pid) = (self.server.address(), self.server.pid());
        let mut bytes_most = 0;
        let answers = thread::scope(|scope| {
            let begin = |_| scope.spawn(|| attack(TcpStream::connect(address).expect("it listens")));
            let clients: Vec<_> = (0..CLIENTS).map(begin).collect();
            self.well_behaved.write_until("all clients have lost their connections", || {
                bytes_most = bytes_most.max(process::anonymous_bytes(pid));
                clients.iter().all(|client| client.is_finished())
            });
            let ended =
                clients.into_iter().map(|client| client.join().expect("a client that fails says why"));
            ended.map(|answer| String::from_utf8_lossy(&answer).into_owned()).collect()
        });
        let bytes = bytes_most.saturating_sub(self.bytes_before);
        assert!(bytes <= CLIENTS as u64 * CLIENT_BYTES_MAX, "{bytes} bytes for {CLIENTS} clients");
        answers
    }

    /// Each of the answers must have this status and code, and be the last of its connection.
    fn assert_each(answers: &[String], status: u16, code: &str) {
        for answer in answers {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
            assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer:?}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer:?}");
        }
    }

    /// Everything of the attack must be gone, and the server must be able to stop.
    fn ends(mut self) {
        let (pid, sockets_before) = (self.server.pid(), self.sockets_before);
        self.well_behaved.write_until("sockets are closed", || process::sockets(pid) <= sockets_before);
        assert_eq!(self.server.assertion_count(), self.well_behaved.written);
        drop(self.well_behaved);
        self.server.stop();
    }
}

/// Sends `beginning`, and then one byte of `rest`, again and again, whenever no answer has come for a moment. Gives the
/// answer.
fn trickle(mut stream: TcpStream, beginning: &[u8], rest: &[u8]) -> Vec<u8> {
    stream.set_nodelay(true).expect("a socket takes the option");
    stream.set_read_timeout(Some(TRICKLE)).expect("a socket takes the option");
    stream.write_all(beginning).expect("it is received");
    let mut answer = [0; 4096];
    for byte in rest.iter().cycle() {
        match stream.read(&mut answer) {
            Ok(bytes) => return answer[..bytes].to_vec(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error} instead of an answer"),
        }
        stream.write_all(&[*byte]).expect("it is received");
    }
    unreachable!("the rest has no end")
}

/// Sends `beginning`, and then `rest` again and again, as fast as it goes, until the server has answered and will have no
/// more. Gives the answer.
fn flood(stream: TcpStream, beginning: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut reader = stream.try_clone().expect("a descriptor more");
    let answer = thread::spawn(move || {
        let mut answer = Vec::new();
        // A reset may follow the answer, as what is still sent finds nobody.
        let _ = reader.read_to_end(&mut answer);
        answer
    });
    let mut writer = stream;
    let mut sent = 0;
    let mut is_taken = writer.write_all(beginning).is_ok();
    while is_taken && !answer.is_finished() {
        assert!(sent < ENDLESS_BYTES, "{sent} bytes were taken");
        is_taken = writer.write_all(rest).is_ok();
        sent += rest.len();
    }
    answer.join().expect("reading does not panic")
}

#[test]
fn heads_that_trickle_are_cut_off_although_something_always_comes() {
    let mut attacked = Attacked::start_impatient();
    for beginning in ["G", "GET /ready HTTP/1.1\r\nHost: test\r\nA: "] {
        let answers = attacked.under(|stream| trickle(stream, beginning.as_bytes(), b"a"));
        Attacked::assert_each(&answers, 408, "head_timeout");
    }
    attacked.ends();
}

#[test]
fn bodies_that_trickle_are_cut_off_although_something_always_comes() {
    let mut attacked = Attacked::start_impatient();
    let batch = "POST /v1/assert/batch HTTP/1.1\r\nHost: test\r\n";
    for (fields, rest) in [
        (format!("{HEAD}Content-Length: 1000000\r\n\r\n"), " "),
        (format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"), "1\r\n \r\n"),
        (format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n1;"), "a"),
        (format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n"), "A:b\r\n"),
        (format!("{HEAD}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"), "0"),
        (format!("{batch}Content-Length: 1000000000\r\n\r\n"), "{}\n"),
        (format!("{batch}Transfer-Encoding: chunked\r\n\r\n"), "3\r\n{}\n\r\n"),
    ] {
        let is_expecting = fields.contains("Expect");
        let answers = attacked.under(|mut stream| {
            if is_expecting {
                stream.write_all(fields.as_bytes()).expect("it is received");
                let mut leave = [0; 25];
                stream.read_exact(&mut leave).expect("leave to send");
                return trickle(stream, b"1;", b"a");
            }
            trickle(stream, fields.as_bytes(), rest.as_bytes())
        });
        Attacked::assert_each(&answers, 408, "body_timeout");
    }
    attacked.ends();
}

#[test]
fn bodies_that_nobody_wants_do_not_hold_a_connection_by_trickling() {
    let mut attacked = Attacked::start_impatient();
    let answers = attacked.under(|stream| {
        let head = b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n";
        let mut reader = stream.try_clone().expect("a descriptor more");
        let answer = trickle(stream, head, b"a");
        // What is sent from here on is thrown away, and too slow even for that.
        let mut end = [0; 1];
        while reader.read(&mut end).is_ok_and(|bytes| bytes > 0) || reader.write_all(b"a").is_ok() {
            thread::yield_now();
        }
        answer
    });
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 404 ")), "{answers:?}");
    attacked.ends();
}

#[test]
fn heads_without_end_are_refused() {
    let mut attacked = Attacked::start();
    for (beginning, rest, status, code) in [
        ("GET /ready HTTP/1.1\r\nHost: test\r\n", "A: b\r\n".repeat(100), 431, "too_many_headers"),
        ("GET /ready HTTP/1.1\r\nHost: test\r\nA: ", "a".repeat(1000), 431, "head_too_large"),
        ("GET /ready HTTP/1.1\r\nHost: test\r\n", "a".repeat(1000), 431, "head_too_large"),
        ("GET /", "a".repeat(1000), 414, "target_too_long"),
        ("", "A".repeat(1000), 501, "unknown_method"),
        ("", "\r\n".repeat(500), 400, "invalid_request_line"),
        ("", "\0".repeat(1000), 400, "invalid_request_line"),
    ] {
        let answers = attacked.under(|stream| flood(stream, beginning.as_bytes(), rest.as_bytes()));
        Attacked::assert_each(&answers, status, code);
    }
    attacked.ends();
}

#[test]
fn chunks_without_end_are_refused() {
    let mut attacked = Attacked::start();
    for (beginning, rest, status, code) in [
        ("", "1\r\n \r\n".repeat(1000), 413, "body_too_large"),
        ("", format!("1000\r\n{}\r\n", " ".repeat(4096)), 413, "body_too_large"),
        ("1;", "a".repeat(1000), 400, "chunk_overhead"),
        ("", "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n \r\n".repeat(100), 400, "chunk_overhead"),
        ("1;a=\"", "\\\"".repeat(500), 400, "chunk_overhead"),
        ("", "0".repeat(1000), 400, "invalid_chunk"),
        ("0\r\n", "A: b\r\n".repeat(100), 431, "trailer_too_large"),
    ] {
        let beginning = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{beginning}");
        let answers = attacked.under(|stream| flood(stream, beginning.as_bytes(), rest.as_bytes()));
        Attacked::assert_each(&answers, status, code);
    }
    attacked.ends();
}

#[test]
fn bodies_without_end_that_nobody_wants_end_the_connection() {
    let mut attacked = Attacked::start();
    for method in ["POST /nowhere", "DELETE /v1/assert"] {
        let head = format!("{method} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
        let answers = attacked.under(|stream| flood(stream, head.as_bytes(), chunk.as_bytes()));
        assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 40")), "{answers:?}");
    }
    attacked.ends();
}

#[test]
fn a_pipeline_whose_answers_nobody_reads_is_not_read_either() {
    const PIPELINES: usize = 8;
    // Impatient with whoever is slow to send, not with whoever is slow to read.
    let mut attacked = Attacked::start_with(|start| {
        start
            .with("STEMEDB_HEAD_TIMEOUT_S", "1")
            .with("STEMEDB_SEND_TIMEOUT_S", "600")
            .with("STEMEDB_IDLE_TIMEOUT_S", "3600")
    });
    // Large enough that not many of them are on their way.
    let padding = format!("A: {}\r\n", "a".repeat(8000));
    let request = http::request_with("GET", "/api-doc/openapi.json", &padding, b"");
    let mut clients: Vec<(Client, usize)> = Vec::new();
    for _ in 0..PIPELINES {
        let client = attacked.server.client();
        let mut stream = client.stream().try_clone().expect("a descriptor more");
        // Long enough for the server to take more if it would.
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a socket takes the option");
        let mut sent = 0;
        loop {
            assert!(sent < ENDLESS_BYTES, "{sent} bytes of requests were taken");
            match stream.write(&request[sent % request.len()..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        clients.push((client, sent));
        attacked.well_behaved.write();
    }
    let bytes = process::anonymous_bytes(attacked.server.pid()).saturating_sub(attacked.bytes_before);
    assert!(bytes <= PIPELINES as u64 * CLIENT_BYTES_MAX, "{bytes} bytes for {PIPELINES} pipelines");
    // They are only held back: each request that came has its answer, however late it is asked for.
    for (mut client, sent) in clients {
        for number in 0..sent / request.len() {
            let response = client.response().expect("an answer");
            let text = String::from_utf8_lossy(&response.body);
            assert_eq!(response.status, 200, "request {number} of {sent} bytes: {text}");
        }
        attacked.well_behaved.write();
    }
    attacked.ends();
}

#[test]
fn connections_that_come_and_go_in_masses_leave_nothing() {
    const WAVES: usize = 10;
    const CONNECTIONS: usize = 300;
    let mut attacked = Attacked::start();
    for wave in 0..WAVES {
        let clients: Vec<Client> = (0..CONNECTIONS)
            .map(|number| {
                let mut client = attacked.server.client();
                let request = http::request("GET", "/metrics", b"");
                client
                    .send(&request[..(wave * CONNECTIONS + number) % request.len()])
                    .expect("it is received");
                client
            })
            .collect();
        attacked.well_behaved.write();
        for (number, client) in clients.into_iter().enumerate() {
            if number % 2 == 0 {
                client.reset();
            }
        }
        attacked.well_behaved.write();
    }
    attacked.ends();
}
