//! Goal: what `deploy/` gives to Prometheus and Grafana watches a real server: alerts fire when they should and not
//! otherwise, each leads to a runbook that is there, and no alert and no panel asks for a figure that nobody exposes.
//!
//! Method: Prometheus' own checker for rules and their cases; a real server that is asked everything, and a real
//! Prometheus that scrapes it with the configuration that is shipped, to which each alert and each query of each panel is
//! put. Where Prometheus is not installed, what needs it is skipped.

mod alerts;
mod dashboards;
mod expression;
mod prometheus;
mod runbooks;
mod workload;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use stemedb_tests::{Data, Server, Start};

/// Figures that alerts and panels ask for and that no server exposes yet, or not without TLS: of TLS, the archive and
/// snapshots. Each leaves this list with the part that exposes it.
const NOT_EXPOSED_YET: [&str; 2] =
    ["stemedb_snapshot_timestamp_seconds", "stemedb_tls_certificate_expiry_timestamp_seconds"];

/// What Prometheus itself knows of its targets and alerts.
const OF_PROMETHEUS: [&str; 2] = ["ALERTS", "up"];

/// What the node_exporter of a Linux machine exposes.
const OF_NODE_EXPORTER: [&str; 9] = [
    "node_disk_io_time_seconds_total",
    "node_disk_write_time_seconds_total",
    "node_disk_writes_completed_total",
    "node_filesystem_avail_bytes",
    "node_filesystem_files",
    "node_filesystem_files_free",
    "node_filesystem_size_bytes",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
];

/// A file or directory of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the repository").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A server of two cores that has done a bit of everything.
fn busy_server(data: &Data) -> Server {
    let server = Start::on(data).cores(2).serve();
    workload::ask_everything(&server, 0);
    server
}

/// The names of the samples that the server exposes.
fn exposed(server: &Server) -> BTreeSet<String> {
    let response = server.client().get("/metrics").expect("a running server answers");
    let text = String::from_utf8(response.body).expect("metrics are text");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().expect("a split has a first part").to_owned()).collect()
}

/// Goal: no alert and no panel waits for a figure that never comes. Method: the names in all their expressions are looked
/// for among what a real server exposes, and in the lists above, which hold nothing that is needless.
#[test]
fn all_figures_that_are_asked_for_are_exposed() {
    let data = Data::new();
    let exposed = exposed(&busy_server(&data));
    let mut asked = alerts::expressions();
    asked.extend(dashboards::panels().into_iter().flat_map(|panel| panel.expressions));
    let asked: BTreeSet<String> = asked.iter().flat_map(|asked| expression::metrics(asked)).collect();
    let others: Vec<&str> = [&NOT_EXPOSED_YET[..], &OF_PROMETHEUS, &OF_NODE_EXPORTER].concat();
    for name in &asked {
        assert!(exposed.contains(name) || others.contains(&name.as_str()), "nobody exposes {name}");
    }
    for name in others {
        assert!(asked.contains(name), "nobody asks for {name}: take it out of its list");
        assert!(!exposed.contains(name), "the server exposes {name}: take it out of its list");
    }
}
