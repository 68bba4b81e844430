//! Goal: no number of clients that do nothing, read slowly or write slowly keeps a well-behaved one from its writes, costs
//! memory beyond a bound, or leaves anything behind.
//!
//! Method: a server is given such clients, while a well-behaved client writes and is answered each time. The
//! server's memory and its sockets are read from proc(5), while the clients are there and after they have gone.
//! Nothing is timed here: how much the well-behaved client is slowed down is measured by `bench/interference.py`.

use std::collections::HashSet;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};
use stemedb_tests::claims::TestClaim;
use stemedb_tests::{Client, Data, Server, Start, WellBehaved, http, process};

/// Clients that do nothing.
const IDLE: usize = 10_000;

/// Anonymous memory that the server may need for each of them.
const IDLE_BYTES_MAX: u64 = 4 << 10;

/// Anonymous memory that the server may need for a client that has sent half a small request.
const WRITER_BYTES_MAX: u64 = 32 << 10;

/// Descriptors that are no idle connections: those of other tests as well, which run in the same process at the same time.
const SPARE_DESCRIPTORS: u64 = 3_000;

/// Connects from one of the many addresses of the loopback network, each of which has its own ports.
fn connect_from(place: usize, address: SocketAddr) -> Client {
    const CONNECTIONS_AN_ADDRESS: usize = 4_000;
    let source = Ipv4Addr::new(127, 0, 1, (1 + place / CONNECTIONS_AN_ADDRESS) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("descriptors were asked for");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of the loopback network");
    socket.connect(&address.into()).expect("the server listens");
    Client::over(TcpStream::from(socket)).expect("a connection")
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_leave_nothing() {
    let limit = process::raise_descriptor_limit(IDLE as u64 + SPARE_DESCRIPTORS);
    assert!(limit > SPARE_DESCRIPTORS, "this process may not have more than {limit} descriptors");
    let idle = IDLE.min((limit - SPARE_DESCRIPTORS) as usize);
    if idle < IDLE {
        stemedb_tests::skip(format_args!(
            "only {idle} connections: this process may not have more than {limit} descriptors"
        ));
    }
    let data = Data::new();
    let server = Start::on(&data).with("STEMEDB_IDLE_TIMEOUT_S", "3600").serve();
    let pid = server.pid();
    let mut well_behaved = WellBehaved::new(&server);
    for _ in 0..100 {
        well_behaved.write();
    }
    let (sockets_before, bytes_before) = (process::sockets(pid), process::anonymous_bytes(pid));

    let mut bytes_most = 0;
    let mut clients = Vec::with_capacity(idle);
    for place in 0..idle {
        let mut client = connect_from(place, server.address());
        // Every other one has said something before it falls silent.
        if place % 2 == 0 {
            assert_eq!(client.get("/v1/health").expect("an answer").status, 200);
        }
        clients.push(client);
        if place % 50 == 0 {
            well_behaved.write();
            bytes_most = bytes_most.max(process::anonymous_bytes(pid));
        }
    }
    let connections = server.metric("stemedb_core_connections{core=\"0\"}");
    assert!(connections >= idle as f64, "{connections} connections of {idle}");
    let bytes_max = bytes_before + idle as u64 * IDLE_BYTES_MAX;
    well_behaved.write_until("idle connections give their memory back", || {
        process::anonymous_bytes(pid) <= bytes_max
    });
    let bytes = process::anonymous_bytes(pid);

    // They are only idle: each can go on.
    for client in clients.iter_mut().step_by(97) {
        assert_eq!(client.get("/ready").expect("an answer").status, 200);
    }
    drop(clients);
    well_behaved.write_until("sockets are closed", || process::sockets(pid) <= sockets_before);
    assert_eq!(server.assertion_count(), well_behaved.written);
    let each = |bytes: u64| bytes.saturating_sub(bytes_before) / idle as u64;
    println!(
        "{idle} idle connections: {} bytes each, {} at most while they came",
        each(bytes),
        each(bytes_most)
    );
    server.stop();
}

#[test]
fn connections_beyond_the_bound_are_told_to_come_back() {
    const CONNECTIONS_MAX: usize = 20;
    const REFUSED: usize = 200;
    let data = Data::new();
    let server = Start::on(&data).with("STEMEDB_CONNECTIONS_MAX", CONNECTIONS_MAX.to_string()).serve();
    let mut well_behaved = WellBehaved::new(&server);
    let mut served: Vec<Client> = (1..CONNECTIONS_MAX).map(|_| server.client()).collect();
    for client in &mut served {
        assert_eq!(client.get("/ready").expect("an answer").status, 200);
    }
    let mut ids = HashSet::new();
    for _ in 0..REFUSED {
        let mut client = server.client();
        let response = client.response().expect("an answer");
        assert_eq!((response.status, &*response.error_code()), (503, "overloaded"));
        assert_eq!(response.field("retry-after"), Some("1"));
        ids.extend(response.field("x-request-id").map(str::to_owned));
        client.expect_end();
        well_behaved.write();
    }
    assert_eq!(ids.len(), REFUSED, "each refusal has an id of its own");
    drop(served);
    well_behaved.write_until("others may come again", || {
        server.client().get("/ready").is_ok_and(|response| response.status == 200)
    });
    let refused = server.metric("stemedb_http_requests_total{method=\"other\",status=\"503\"}");
    assert!(refused >= REFUSED as f64, "{refused} of {REFUSED} refusals counted");
    server.stop();
}

/// Goal: a client that has already sent its request, and sends on, reads the refusal to its end. Method: at once 8 KiB, which nobody
/// reads before the answer, and then a megabyte, of which the client can send no more than the server takes.
#[test]
fn a_refusal_is_not_destroyed_by_what_was_sent_before_it() {
    const SMALL: usize = 40;
    const LARGE: usize = 5;
    let data = Data::new();
    let server = Start::on(&data).with("STEMEDB_CONNECTIONS_MAX", "1").serve();
    let mut only = server.client();
    assert_eq!(only.get("/ready").expect("an answer").status, 200);
    for (clients, bytes) in [(SMALL, 8 << 10), (LARGE, 1 << 20)] {
        let request = http::request("POST", "/v1/assert", &vec![b' '; bytes]);
        for _ in 0..clients {
            let mut client = server.client();
            SockRef::from(client.stream()).set_send_buffer_size(16 << 10).expect("a socket takes the option");
            client.send(&request).expect("it is received");
            let response = client.response().expect("an answer");
            assert_eq!((response.status, &*response.error_code()), (503, "overloaded"));
            let end = client.stream().read(&mut [0]).expect("an end, and no reset");
            assert_eq!(end, 0, "nothing follows it");
        }
    }
    assert_eq!(only.get("/ready").expect("an answer").status, 200);
    drop(only);
    server.stop();
}

#[test]
fn slow_writers_get_their_answers_and_delay_nobody() {
    const SINGLES: usize = 150;
    const BATCHES: usize = 50;
    let data = Data::new();
    // How slow they may be is not the matter, and depends on what a durable write takes here.
    let start = Start::on(&data).with("STEMEDB_HEAD_TIMEOUT_S", "600");
    let server = start.with("STEMEDB_BODY_BYTES_PER_SECOND_MIN", "0").serve();
    let (pid, mut well_behaved) = (server.pid(), WellBehaved::new(&server));
    well_behaved.write();
    let (sockets_before, bytes_before) = (process::sockets(pid), process::anonymous_bytes(pid));
    let mut writers: Vec<(Client, Vec<u8>)> = (0..SINGLES + BATCHES)
        .map(|number| {
            let claim = TestClaim::new(format!("slow/writer/{number}"), "is", number).json();
            let target = if number < SINGLES { "/v1/assert" } else { "/v1/assert/batch" };
            (server.client(), http::request("POST", target, claim.as_bytes()))
        })
        .collect();
    let longest = writers.iter().map(|(_, request)| request.len()).max().expect("there are some");
    for place in 0..longest {
        for (client, request) in &mut writers {
            if let Some(byte) = request.get(place) {
                client.send(&[*byte]).expect("it is received");
            }
        }
        well_behaved.write();
    }
    let bytes = process::anonymous_bytes(pid).saturating_sub(bytes_before);
    assert!(
        bytes <= writers.len() as u64 * WRITER_BYTES_MAX,
        "{bytes} bytes for {} slow writers",
        writers.len()
    );
    println!("{} slow writers: {} bytes each", writers.len(), bytes / writers.len() as u64);
    for (number, (client, _)) in writers.iter_mut().enumerate() {
        let response = client.response().expect("an answer");
        assert_eq!(response.status, if number < SINGLES { 201 } else { 200 }, "{response:?}");
    }
    let claims = writers.len() as u64 + well_behaved.written;
    drop(writers);
    well_behaved.write_until("sockets are closed", || process::sockets(pid) <= sockets_before);
    assert!(server.assertion_count() >= claims);
    server.stop();
}

#[test]
fn bodies_that_are_promised_cost_nothing_before_they_come() {
    const PROMISES: usize = 1000;
    // The same as elsewhere: the limit is of the process, and nobody must lower it for others.
    process::raise_descriptor_limit(IDLE as u64 + SPARE_DESCRIPTORS);
    let data = Data::new();
    let server = Start::on(&data).serve();
    let (pid, mut well_behaved) = (server.pid(), WellBehaved::new(&server));
    well_behaved.write();
    let (sockets_before, bytes_before) = (process::sockets(pid), process::anonymous_bytes(pid));
    let promise = format!("POST /v1/assert HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{{", 1 << 20);
    let clients: Vec<Client> = (0..PROMISES)
        .map(|number| {
            let mut client = connect_from(number, server.address());
            client.send(promise.as_bytes()).expect("it is received");
            client
        })
        .collect();
    // All of them have been received when one that came last has.
    let mut last = server.client();
    assert_eq!(last.get("/ready").expect("an answer").status, 200);
    well_behaved.write();
    let bytes = process::anonymous_bytes(pid).saturating_sub(bytes_before);
    assert!(
        bytes <= PROMISES as u64 * WRITER_BYTES_MAX,
        "{bytes} bytes for {PROMISES} bodies of which one byte came"
    );
    println!("{PROMISES} bodies of which one byte came: {} bytes each", bytes / PROMISES as u64);
    drop((clients, last));
    well_behaved.write_until("sockets are closed", || process::sockets(pid) <= sockets_before);
    server.stop();
}

/// Clients that read slowly, and the questions that each asks ahead.
const READERS: usize = 8;
const QUESTIONS: usize = 40;

/// Claims in the answer to each question, and bytes of the value of each: nearly the mebibyte that a page may have.
const CLAIMS: usize = 400;
const VALUE_BYTES: usize = 2000;

/// Memory that the server may need for a client that does not read: what it sends, what waits behind that, and
/// the answer that went beyond its bound.
const READER_BYTES_MAX: u64 = 3 << 20;

/// Writes what the readers ask for.
fn write_what_is_read(server: &Server) {
    let lines: String = (0..CLAIMS)
        .map(|number| TestClaim::new(format!("large/{number}"), "is", "x".repeat(VALUE_BYTES)).json() + "\n")
        .collect();
    server.client().post("/v1/assert/batch", lines).expect("an answer").ok();
}

/// Clients that have asked and do not read.
fn readers(server: &Server) -> Vec<Client> {
    let query = json!({"concept_path": "large/*", "limit": CLAIMS}).to_string();
    let questions = http::request("POST", "/v1/query", query.as_bytes()).repeat(QUESTIONS);
    (0..READERS)
        .map(|_| {
            let mut client = server.client();
            client.send(&questions).expect("it is received");
            client
        })
        .collect()
}

#[test]
fn slow_readers_get_their_answers_and_delay_nobody() {
    let data = Data::new();
    // They take nothing for as long as hundreds of durable writes last.
    let start = Start::on(&data).with("STEMEDB_SEND_TIMEOUT_S", "600");
    let server = start.with("STEMEDB_IDLE_TIMEOUT_S", "3600").serve();
    write_what_is_read(&server);
    let (pid, mut well_behaved) = (server.pid(), WellBehaved::new(&server));
    well_behaved.write();
    let (sockets_before, bytes_before) = (process::sockets(pid), process::anonymous_bytes(pid));
    let mut readers = readers(&server);
    let mut bytes_most = 0;
    for _ in 0..300 {
        well_behaved.write();
        bytes_most = bytes_most.max(process::anonymous_bytes(pid).saturating_sub(bytes_before));
    }
    assert!(bytes_most <= READERS as u64 * READER_BYTES_MAX, "{bytes_most} bytes for {READERS} slow readers");
    println!("{READERS} slow readers: {} KiB each at most", bytes_most / 1024 / READERS as u64);
    let first = readers[0].response().expect("an answer");
    assert_eq!(first.ok()["count"], CLAIMS);
    for (place, client) in readers.iter_mut().enumerate() {
        for _ in usize::from(place == 0)..QUESTIONS {
            assert_eq!(client.response().expect("an answer").body, first.body);
        }
        well_behaved.write();
    }
    drop(readers);
    well_behaved.write_until("sockets are closed", || process::sockets(pid) <= sockets_before);
    server.stop();
}

#[test]
fn readers_that_take_nothing_are_cut_off() {
    let data = Data::new();
    // Long enough to see that they are there.
    let server = Start::on(&data).with("STEMEDB_SEND_TIMEOUT_S", "10").serve();
    write_what_is_read(&server);
    let (pid, mut well_behaved) = (server.pid(), WellBehaved::new(&server));
    well_behaved.write();
    let sockets_before = process::sockets(pid);
    let readers = readers(&server);
    well_behaved.write_until("readers are there", || process::sockets(pid) > sockets_before + READERS / 2);
    well_behaved.write_until("readers are cut off", || process::sockets(pid) <= sockets_before);
    drop(readers);
    server.stop();
}
