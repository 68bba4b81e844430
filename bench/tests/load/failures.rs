//! What goes wrong is told: on which connection, what was expected, what came.

use std::time::Duration;

use socket2::SockRef;
use stemedb_bench::load::LoadError;

use crate::{closed_loop, lines, run, say, server};

#[test]
fn a_wrong_answer_ends_the_run() {
    let lies = || {
        server(|connection| {
            for (number, line) in lines(&connection).enumerate() {
                say(&connection, if number == 3 { "lies" } else { &line });
            }
        })
    };
    let error = run(&closed_loop(1), 1, lies).expect_err("the fourth answer is wrong");
    assert_eq!(error.to_string(), "connection 0, answer to empty: expected 3, got lies");
}

#[test]
fn an_answer_too_many_ends_the_run() {
    let talks = || {
        server(|connection| {
            lines(&connection).for_each(|line| {
                say(&connection, &format!("{line}\n{}", line.parse::<u64>().expect("a number") + 1))
            })
        })
    };
    let error = run(&closed_loop(1), 1, talks).expect_err("there are two answers to a request");
    assert!(matches!(error, LoadError::Answer { connection: 0, .. }), "{error}");
}

#[test]
fn a_reset_connection_ends_the_run() {
    let resets = || {
        server(|connection| {
            let line = lines(&connection).next();
            assert_eq!(line.as_deref(), Some("0"));
            let socket = SockRef::from(&connection);
            socket.set_linger(Some(Duration::ZERO)).expect("a socket that closes with a reset");
        })
    };
    let error = run(&closed_loop(1), 2, resets).expect_err("both connections are reset");
    assert!(matches!(error, LoadError::Broken { unanswered: 1, .. }), "{error}");
    assert!(error.to_string().contains("broke with 1 requests unanswered: Connection reset"), "{error}");
}

#[test]
fn a_closed_connection_ends_the_run() {
    let closes = || server(|connection| assert!(lines(&connection).next().is_some()));
    let error = run(&closed_loop(1), 1, closes).expect_err("the connection is closed");
    assert!(matches!(error, LoadError::Closed { connection: 0, unanswered: 1 }), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let nobody = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound")
    };
    let error = run(&closed_loop(1), 1, nobody).expect_err("nobody listens");
    assert!(error.to_string().contains("127.0.0.1:"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
