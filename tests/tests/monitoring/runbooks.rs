//! The runbooks that alerts lead to.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use stemedb_tests::Data;

use crate::{alerts, busy_server, read, repository};

/// Where the documentation lies on a host where StemeDB is installed.
const INSTALLED: &str = "file:///opt/stemedb/docs/";

fn pages() -> PathBuf {
    repository("docs/operations")
}

/// Checks that what an alert names as its runbook is there: the page, and the section of it.
pub(crate) fn check(alert: &str, url: &str) {
    let path = url.strip_prefix(INSTALLED).unwrap_or_else(|| panic!("{alert} leads to {url}"));
    let page = path.strip_prefix("operations/").unwrap_or_else(|| panic!("{alert} leads to {url}"));
    check_link(alert, page);
}

/// Checks that a page and its section are there, by their place in `docs/operations`.
fn check_link(from: &str, link: &str) {
    let (page, section) = link.split_once('#').map_or((link, None), |(page, section)| (page, Some(section)));
    let path = pages().join(page);
    assert!(path.exists(), "{from} leads to {link}, which is not there");
    if let Some(section) = section {
        assert!(
            sections(&read(&path)).contains(section),
            "{from} leads to {link}, which has no such section"
        );
    }
}

/// The names by which a page's headings are linked to.
fn sections(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let name = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept =
            heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(name).collect()
}

/// Goal: who gets an alert finds it explained under its name. Method: each has a line of its own in monitoring.md.
#[test]
fn each_alert_is_explained() {
    let text = read(&pages().join("monitoring.md"));
    for name in alerts::names() {
        assert!(text.contains(&format!("**{name}**")), "monitoring.md does not explain {name}");
    }
}

/// Goal: at night no link leads nowhere. Method: the links of all pages of this directory to each other.
#[test]
fn links_between_runbooks_lead_somewhere() {
    for entry in fs::read_dir(pages()).expect("readable") {
        let entry = entry.expect("readable");
        let page = entry.file_name().into_string().expect("names are ASCII");
        let text = read(&entry.path());
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            match link.strip_prefix('#') {
                _ if link.contains("://") => {}
                Some(_) => check_link(&page, &format!("{page}{link}")),
                None => check_link(&page, link),
            }
        }
    }
}

/// Goal: what asks the server gets an answer. Method: those commands are run as they are printed, against a real server on
/// another port.
#[test]
fn commands_that_ask_the_server_are_answered() {
    for tool in ["curl", "jq"] {
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("skipped: no {tool} on this machine");
            return;
        }
    }
    let data = Data::new();
    let server = busy_server(&data);
    let here = format!("http://localhost:{}/", server.address().port());
    let mut asked = 0;
    for page in ["monitoring.md", "latency.md", "disaster.md", "troubleshooting.md"] {
        let text = read(&pages().join(page));
        let lines = text.lines().map(str::trim).filter(|line| line.contains("http://localhost:18180/"));
        for line in lines.filter(|line| line.starts_with("curl ") || line.starts_with("for ")) {
            // What samples twice need not wait in between here.
            let typed = line.replace("http://localhost:18180/", &here).replace("sleep 10", "sleep 0");
            let output = Command::new("bash")
                .args(["-o", "pipefail", "-c", &typed])
                .env_remove("http_proxy")
                .env_remove("ALL_PROXY")
                .output()
                .expect("bash is there");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !output.stdout.is_empty(), "{page}: {line}\n{said}");
            asked += 1;
        }
    }
    assert!(asked >= 10, "only {asked} commands were found");
}

/// Goal: what is to be typed can be typed as it is printed. Method: bash reads each block of commands without running it,
/// and none has a place to fill in.
#[test]
fn commands_in_runbooks_are_shell() {
    for page in ["monitoring.md", "latency.md", "disaster.md", "troubleshooting.md"] {
        let text = read(&pages().join(page));
        let blocks: Vec<&str> =
            text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "{page} has no commands");
        for block in blocks {
            let output = Command::new("bash").args(["-n", "-c", block]).output().expect("bash is there");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}:\n{block}\n{said}");
            for place in ["<", "YYYY", "…", "/path/to"] {
                assert!(!block.contains(place), "{page} has {place} to fill in:\n{block}");
            }
        }
    }
}
