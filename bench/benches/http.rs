//! What one request costs in the HTTP connection: reading it and writing its response.
//!
//! `cargo bench -p stemedb-bench --bench http`

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stemedb_net::http::{BodyMode, Connection, Event, Limits, ResponseHead, Status};

const BODY: &str =
    r#"{"concept_path":"drug/aspirin/efficacy","predicate":"reduces","value":96.7,"confidence":0.93}"#;
const ANSWER: &[u8] = br#"{"hash":"8d5cf8ae0d0e5f6d7bb5e39b8a2c0c4ad3b1bb7a4f1b0f4e0d0c0b0a09080706","status":"created","timestamp":1767225600}"#;

fn get() -> Vec<u8> {
    b"GET /v1/query?concept_path=drug%2Faspirin&predicate=reduces&limit=10 HTTP/1.1\r\n\
      Host: 127.0.0.1:18180\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
        .to_vec()
}

fn post() -> Vec<u8> {
    format!(
        "POST /v1/assert HTTP/1.1\r\nHost: 127.0.0.1:18180\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
    .into_bytes()
}

fn chunked_post() -> Vec<u8> {
    format!(
        "POST /v1/assert HTTP/1.1\r\nHost: 127.0.0.1:18180\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n",
        BODY.len()
    )
    .into_bytes()
}

/// Answers every request that is there; gives back how many there were.
fn answer_all(connection: &mut Connection) -> usize {
    let mut requests = 0;
    while let Some(event) = connection.next_event(0) {
        match event {
            Event::Head { id, head } => {
                black_box((head.method(), head.path()));
                connection.accept(id, BodyMode::Whole);
            }
            Event::Body { id, head, body } => {
                black_box((head.path(), body));
                connection.respond(id, &ResponseHead::json(Status::Created), ANSWER);
                requests += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    requests
}

/// Sends all that is to be sent, to nowhere.
fn send_all(connection: &mut Connection) {
    while let Some(buffer) = connection.take_output(0) {
        connection.sent(black_box(&buffer).len(), 0);
        connection.recycle(buffer);
    }
}

fn exchange(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http/exchange");
    group.throughput(Throughput::Elements(1));
    for (name, request) in [("get", get()), ("post", post()), ("chunked-post", chunked_post())] {
        let mut connection = Connection::new(Arc::new(Limits::default()), 0, 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                connection.receive(black_box(&request), 0);
                assert_eq!(answer_all(&mut connection), 1);
                send_all(&mut connection);
            });
        });
    }
    group.finish();
}

fn pipelined(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http/pipelined");
    group.throughput(Throughput::Elements(32));
    let requests = post().repeat(32);
    let mut connection = Connection::new(Arc::new(Limits::default()), 0, 0);
    group.bench_function("post-32", |bencher| {
        bencher.iter(|| {
            connection.receive(black_box(&requests), 0);
            assert_eq!(answer_all(&mut connection), 32);
            send_all(&mut connection);
        });
    });
    group.finish();
}

fn byte_by_byte(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http/byte-by-byte");
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(16_000)).into_bytes();
    group.throughput(Throughput::Bytes(request.len() as u64));
    group.bench_function("head-16k", |bencher| {
        bencher.iter_batched_ref(
            || Connection::new(Arc::new(Limits::default()), 0, 0),
            |connection| {
                let mut requests = 0;
                for byte in &request {
                    connection.receive(std::slice::from_ref(byte), 0);
                    requests += answer_all(connection);
                }
                assert_eq!(requests, 1);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, exchange, pipelined, byte_by_byte);
criterion_main!(benches);
