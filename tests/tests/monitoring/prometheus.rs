//! A Prometheus that watches a server under test.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stemedb_tests::Server;
use stemedb_tests::left_behind::{self, Held, Leftover};
use stemedb_tests::transcript::Transcript;
use tempfile::TempDir;

use crate::{read, repository, workload};

/// How long anything may take before the test gives up. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often another port is tried when somebody else has taken the one that was free.
const PORTS_TRIED: usize = 10;

/// Scrapes after which there are rates, and rules have been evaluated.
const SCRAPES: u64 = 4;

/// What it says when it answers.
const READY: &str = "Server is ready to receive web requests";

/// Whether `tool` of the package `prometheus` is here. Says so if not.
pub(crate) fn is_installed(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(error) = &found {
        stemedb_tests::skip(format_args!("{tool} does not run here ({error})"));
    }
    found.is_ok()
}

/// Runs `promtool`, which must be content.
pub(crate) fn promtool(arguments: &[&str], files: &[std::path::PathBuf]) {
    let output = Command::new("promtool").args(arguments).args(files).output().expect("it is installed");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A running Prometheus. It is killed when it is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    transcript: Transcript,
    _held: Held,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one with the configuration that is shipped, but for addresses and intervals.
    pub(crate) fn watching(server: &Server) -> Prometheus {
        for _ in 0..PORTS_TRIED {
            if let Some(prometheus) = Prometheus::try_watching(server) {
                return prometheus;
            }
        }
        panic!("Prometheus found no free port in {PORTS_TRIED} attempts");
    }

    /// `None` if its port has been taken meanwhile.
    fn try_watching(server: &Server) -> Option<Prometheus> {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let config = read(&repository("deploy/prometheus/prometheus.yml"));
        let replaced = [
            ("127.0.0.1:18180", server.address().to_string()),
            // Nobody listens there: the machine of the test is none of its business.
            ("127.0.0.1:9100", "127.0.0.1:1".to_owned()),
            (": 15s", ": 500ms".to_owned()),
        ];
        let config = replaced.iter().fold(config, |config, (shipped, here)| {
            assert!(config.contains(shipped), "{shipped} is not in prometheus.yml");
            config.replace(shipped, here)
        });
        let config_file = directory.path().join("prometheus.yml");
        fs::write(&config_file, config).expect("writable");
        let rules = "stemedb.rules.yml";
        fs::copy(repository("deploy/prometheus").join(rules), directory.path().join(rules))
            .expect("writable");

        // It cannot be asked for any free port and say which it got.
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("a listener has an address");
        drop(listener);
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it is installed");
        let held = left_behind::hold(Leftover::Process(child.id()));
        let transcript = Transcript::of(child.stderr.take().expect("it is piped"));
        let prometheus = Prometheus { child, address, transcript, _held: held, _directory: directory };
        if prometheus.transcript.wait_for(READY, PATIENCE).is_some() {
            return Some(prometheus);
        }
        let text = prometheus.transcript.text();
        assert!(text.contains("address already in use"), "Prometheus does not start:\n{text}");
        None
    }

    /// Keeps the server busy until there have been enough scrapes of it for rates.
    pub(crate) fn watch_it_work(&self, server: &Server) {
        for round in 1.. {
            workload::ask_everything(server, round);
            // Those that were answered.
            let scrapes = self.query(r#"sum_over_time(up{job="stemedb"}[1m])"#);
            if scrapes.first().is_some_and(|scrapes| value(scrapes) >= SCRAPES as f64) {
                return;
            }
        }
    }

    /// What an expression evaluates to now.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query?query={}", percent_encoded(expression)));
        let result = answer["result"].as_array();
        result.unwrap_or_else(|| panic!("no result of {expression}: {answer}")).clone()
    }

    /// The data of an answer of its API, which must not be an error.
    pub(crate) fn get(&self, target: &str) -> Value {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes the option");
        // Answers to HTTP/1.0 are not in chunks.
        write!(stream, "GET {target} HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers with text");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(body["status"], "success", "{target}: {body}");
        body["data"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what Prometheus said:\n{}", self.transcript.text());
        }
    }
}

/// The value of an element of a result.
pub(crate) fn value(element: &Value) -> f64 {
    let value = element["value"][1].as_str().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no value in {element}"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
