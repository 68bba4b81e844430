//! Clients that take too long.

use stemedb_tests::{Client, Data, Start};

use crate::Watched;

#[test]
fn half_a_request_is_waited_for_only_so_long() {
    let impatient = |start: Start| start.with("STEMEDB_HEAD_TIMEOUT_S", "1").with("STEMEDB_CORES", "1");
    let mut watched = Watched::start_with(impatient);
    let half_sent: [(&[u8], &str); 7] = [
        (b"G", "head_timeout"),
        (b"GET /v1/health HTTP/1.1\r\nHost: test\r\n", "head_timeout"),
        (b"GET /v1/health HTTP/1.1\r\nHost: test\r\n\r\nGET", "head_timeout"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n", "body_timeout"),
        (b"POST /v1/assert HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n{\"a\":", "body_timeout"),
        (b"POST /v1/assert/batch HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n{}\n{}", "body_timeout"),
        (
            b"POST /v1/assert/batch HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
            "body_timeout",
        ),
    ];
    let mut clients: Vec<(Client, &str)> = half_sent
        .iter()
        .map(|(bytes, code)| {
            let mut client = watched.server.client();
            client.send(bytes).expect("it is received");
            (client, *code)
        })
        .collect();
    assert_eq!(clients[2].0.response().expect("the answer to the first request").status, 200);
    for (client, code) in &mut clients {
        let response = client.response().expect("an answer");
        assert_eq!((response.status, &*response.error_code()), (408, *code));
        client.expect_end();
        watched.is_well(code.as_bytes());
    }
    let told = watched.server.metric("stemedb_http_requests_total{method=\"other\",status=\"408\"}");
    assert_eq!(told, half_sent.len() as f64, "each is counted once");
    watched.stop();

    // Who says nothing has a server of its own: a watcher would have to be as quick there as whom it watches.
    let data = Data::new();
    let server = impatient(Start::on(&data)).with("STEMEDB_IDLE_TIMEOUT_S", "2").serve();
    server.client().expect_end();
    server.stop();
}
