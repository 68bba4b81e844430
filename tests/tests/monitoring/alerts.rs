//! The alerts: valid, with cases of both kinds, and silent while all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use stemedb_tests::Data;

use crate::prometheus::{Prometheus, is_installed, promtool};
use crate::{busy_server, read, repository, runbooks};

/// Alerts that are right when they wait or fire at a server that is new and of which there is no backup.
const OF_A_NEW_SERVER: [&str; 1] = ["StemeDBBackupMissing"];

/// Alerts that may wait, but must not fire, while the machine of the test is slow for a moment.
const OF_A_SLOW_MACHINE: [&str; 3] = ["StemeDBDown", "StemeDBFsyncSlow", "StemeDBQueriesSlow"];

fn rules() -> PathBuf {
    repository("deploy/prometheus/stemedb.rules.yml")
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("deploy/prometheus/tests")).expect("readable");
    entries.map(|entry| entry.expect("readable").path()).collect()
}

/// The names of all alerts, as the file has them.
pub(crate) fn names() -> Vec<String> {
    let text = read(&rules());
    let names: Vec<String> =
        text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert!(names.len() >= 20, "the file is not read as it is written: {names:?}");
    names
}

/// The expressions of all alerts: what follows `expr:` on its line, or stands below, further to the right.
pub(crate) fn expressions() -> Vec<String> {
    let text = read(&rules());
    let mut lines = text.lines().peekable();
    let mut expressions = Vec::new();
    while let Some(line) = lines.next() {
        let Some(inline) = line.trim_start().strip_prefix("expr: ") else { continue };
        let indent = |line: &str| line.len() - line.trim_start().len();
        let mut expression = if inline == "|" { String::new() } else { inline.to_owned() };
        while let Some(below) = lines.next_if(|next| indent(next) > indent(line)) {
            expression += below;
        }
        expressions.push(expression);
    }
    assert_eq!(expressions.len(), names().len(), "each alert has an expression");
    expressions
}

#[test]
fn rules_and_configuration_are_valid() {
    if is_installed("promtool") {
        promtool(&["check", "rules"], &[rules()]);
        promtool(&["check", "config"], &[repository("deploy/prometheus/prometheus.yml")]);
    }
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    if is_installed("promtool") {
        promtool(&["test", "rules"], &cases());
    }
}

/// Goal: no alert goes untested. Method: the cases are read line by line, as they are laid out.
#[test]
fn each_alert_has_a_case_that_fires_it_and_one_that_does_not() {
    let mut tested: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for file in cases() {
        let text = read(&file);
        let mut alert = None;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("alertname: ") {
                alert = Some(name.to_owned());
            } else if let Some(expected) = line.strip_prefix("exp_alerts:") {
                let alert = alert.take().unwrap_or_else(|| panic!("no alertname in {}", file.display()));
                tested.entry(alert).or_default().insert(expected.trim() != "[]");
            }
        }
    }
    let both = BTreeSet::from([true, false]);
    for name in names() {
        assert_eq!(
            tested.remove(&name),
            Some(both.clone()),
            "{name} lacks a case that fires, or one that does not"
        );
    }
    assert!(tested.is_empty(), "cases of alerts that are not there: {tested:?}");
}

/// Goal: alerts mean something to who gets them, can be evaluated, and leave the operator of a healthy server alone.
/// Method: a real Prometheus evaluates them on a real server, and tells how it has read them.
#[test]
fn alerts_are_silent_while_all_is_well_and_lead_to_a_runbook() {
    if !is_installed("prometheus") {
        return;
    }
    let data = Data::new();
    let server = busy_server(&data);
    let prometheus = Prometheus::watching(&server);
    let rules = loop {
        prometheus.watch_it_work(&server);
        let rules = rules_of(&prometheus);
        if rules.iter().all(|rule| rule["health"] != "unknown") {
            break rules;
        }
    };
    assert_eq!(rules.len(), names().len());
    for rule in &rules {
        let name = rule["name"].as_str().expect("a rule has a name");
        assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
        if OF_A_SLOW_MACHINE.contains(&name) {
            assert_ne!(rule["state"], "firing", "{name} at a healthy server: {rule}");
        } else if !OF_A_NEW_SERVER.contains(&name) {
            assert_eq!(rule["state"], "inactive", "{name} at a healthy server: {rule}");
        }
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["info", "warning", "critical"].contains(&severity),
            "the severity of {name} is {severity:?}"
        );
        let annotation = |key: &str| {
            let text = rule["annotations"][key].as_str();
            text.unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        assert!((10..=80).contains(&annotation("summary").len()), "the summary of {name}");
        let description = annotation("description");
        assert!(
            description.contains("$value") || description.contains(|c: char| c.is_ascii_digit()),
            "no number in {name}"
        );
        runbooks::check(name, annotation("runbook_url"));
    }
}

/// All rules, as Prometheus tells them.
fn rules_of(prometheus: &Prometheus) -> Vec<Value> {
    let answer = prometheus.get("/api/v1/rules");
    let groups = answer["groups"].as_array().expect("rules are in groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("a group has rules")).cloned().collect()
}
