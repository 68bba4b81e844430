//! A machine with Prometheus, and what the page needs of Grafana.

use stemedb_tests::machine::Host;
use stemedb_tests::skip;

use crate::installed;
use crate::walk::Walk;

/// In the place of Grafana, which no distribution packages: a service to restart, and the directories that it brings.
const GRAFANA: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

const TARGETS_UP: &str = "curl http://localhost:9090/api/v1/targets | jq '[.data.activeTargets[] | select(.health == \"up\")] | length'";

#[test]
fn a_server_is_watched_by_prometheus_as_its_page_sets_it_up() {
    let Some(host) = installed() else { return };
    if !host.output("promtool --version && prometheus-node-exporter --version").status.success() {
        return skip("no Prometheus on this machine");
    }
    let mut walk = Walk::through("docs/operations/monitoring.md", &host);
    walk.in_directory(Host::checkout());
    host.typed("systemctl start stemedb-api prometheus-node-exporter");
    host.write("/etc/systemd/system/grafana-server.service", GRAFANA);
    host.typed("mkdir -p /etc/grafana/provisioning/dashboards /etc/grafana/provisioning/datasources");
    walk.types("Setting it up");
    host.typed("grep '/srv/stemedb' /etc/prometheus/stemedb.rules.yml");

    host.wait_until("all is scraped", || host.output(TARGETS_UP).stdout.starts_with(b"2"));
    let watched = walk.types("Nothing is watched");
    assert!(watched.contains("stemedb-node"), "{watched}");
    // Files come and go while it counts them.
    walk.may_fail("sudo du --inodes");
    walk.types("Inodes run out");
    walk.types("Without Prometheus");
    walk.ends();
}
