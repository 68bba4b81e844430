//! The runbooks that alerts lead to.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::{alerts, read, repository};

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
