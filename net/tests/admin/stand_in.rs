//! A stand-in for the server: speaks just enough HTTP to play a script, turn by turn, a request a turn.

use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the stand-in does with the next request. After the script it serves.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// Take the batch as the server would: store what is new, reject lines that contain `bad`.
    Serve,
    /// Read half of the body, store the whole lines of it, and reset the connection.
    BreakMidway,
    /// Store all lines and close without an answer.
    BreakBeforeAnswer,
    /// Answer this status, body, and `Retry-After: 0`.
    Say(u16, String),
}

/// A running stand-in. Its threads end with the test's process.
pub(crate) struct StandIn {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Turn>,
    stored: HashSet<String>,
    /// Request line and body of all requests that were read to their end.
    requests: Vec<(String, String)>,
}

impl StandIn {
    pub(crate) fn start(script: impl IntoIterator<Item = Turn>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let state = Arc::new(Mutex::new(State { script: script.into_iter().collect(), ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || converse(connection.expect("accepting on loopback succeeds"), &shared));
            }
        });
        StandIn { url, state }
    }

    pub(crate) fn stored(&self) -> HashSet<String> {
        self.state.lock().unwrap().stored.clone()
    }

    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Runs `stemedb-admin` against this stand-in, with `input` on its standard input.
    pub(crate) fn admin(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stemedb-admin"))
            .args(arguments)
            .env("STEMEDB_URL", &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo built the tool before this test");
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // The tool may end without having read it all, as it should on wrong usage.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("the tool ends")
    }
}

/// Serves one connection until either side ends it.
fn converse(connection: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(connection.try_clone().expect("a socket can be cloned"));
    let mut writer = connection;
    while let Some((request_line, body_bytes)) = read_head(&mut reader) {
        let turn = state.lock().unwrap().script.pop_front().unwrap_or(Turn::Serve);
        let wanted = if matches!(turn, Turn::BreakMidway) { body_bytes / 2 } else { body_bytes };
        let mut body = vec![0; wanted];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).expect("the tests send ASCII");
        let (status, answer) = match turn {
            Turn::Serve => (200, store(state, &body)),
            Turn::BreakMidway => {
                let whole_lines = body.rfind('\n').map_or("", |end| &body[..end]);
                store(state, whole_lines);
                return; // Closing with unread bytes resets the connection.
            }
            Turn::BreakBeforeAnswer => {
                store(state, &body);
                return;
            }
            Turn::Say(status, answer) => (status, answer),
        };
        state.lock().unwrap().requests.push((request_line, body));
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\nRetry-After: 0\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if writer.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> Option<(String, usize)> {
    let mut request_line = String::new();
    if reader.read_line(&mut request_line).ok()? == 0 {
        return None;
    }
    let mut body_bytes = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Some((request_line.trim_end().to_owned(), body_bytes));
        }
        if let Some(length) = line.strip_prefix("content-length:") {
            body_bytes = length.trim().parse().expect("the tool sends a number");
        }
    }
}

fn store(state: &Mutex<State>, lines: &str) -> String {
    let mut state = state.lock().unwrap();
    let (mut accepted, mut exists, mut rejected, mut errors) = (0, 0, 0, Vec::new());
    for (index, line) in lines.lines().enumerate() {
        if line.contains("bad") {
            rejected += 1;
            let line = index + 1;
            errors.push(format!(r#"{{"line":{line},"code":"invalid_value","message":"this one is bad"}}"#));
        } else if state.stored.insert(line.to_owned()) {
            accepted += 1;
        } else {
            exists += 1;
        }
    }
    errors.truncate(100);
    let errors = errors.join(",");
    format!(r#"{{"accepted":{accepted},"exists":{exists},"rejected":{rejected},"errors":[{errors}]}}"#)
}
