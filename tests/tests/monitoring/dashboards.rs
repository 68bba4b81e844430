//! The dashboards: every panel has something to show.

use std::collections::BTreeSet;

use serde_json::Value;
use stemedb_tests::Data;

use crate::prometheus::{Prometheus, is_installed, value};
use crate::{NOT_EXPOSED_YET, OF_NODE_EXPORTER, busy_server, expression, read, repository, workload};

const FILES: [&str; 2] = ["stemedb-overview.json", "stemedb-storage.json"];

/// Panels that have nothing to show at a healthy server, and why.
const EMPTY_WHEN_ALL_IS_WELL: [(&str, &str); 1] =
    [("Refused for space", "neither the disk nor the memory of the test's server is full")];

/// The first round of the load between panels, beyond those of before.
const PANELS_BEGIN: u64 = 1_000_000;

/// A panel that asks something.
pub(crate) struct Panel {
    title: String,
    pub(crate) expressions: Vec<String>,
}

/// All panels of all dashboards, but for rows.
pub(crate) fn panels() -> Vec<Panel> {
    let boards = FILES.iter().map(|file| dashboard(file));
    let panels = boards.flat_map(|board| board["panels"].as_array().expect("a dashboard has panels").clone());
    panels.filter(|panel| panel["type"] != "row").map(|panel| Panel::read(&panel)).collect()
}

fn dashboard(file: &str) -> Value {
    let text = read(&repository("deploy/grafana").join(file));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

impl Panel {
    fn read(panel: &Value) -> Panel {
        let title = panel["title"].as_str().expect("a panel has a title").to_owned();
        let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("{title} asks nothing"));
        let expression =
            |target: &Value| target["expr"].as_str().expect("a target has an expression").to_owned();
        Panel { expressions: targets.iter().map(expression).collect(), title }
    }

    /// Whether it may have nothing to show, as far as this expression goes.
    fn may_be_empty(&self, expression: &str) -> bool {
        let is_elsewhere = |name: &String| {
            NOT_EXPOSED_YET.contains(&name.as_str()) || OF_NODE_EXPORTER.contains(&name.as_str())
        };
        expression::metrics(expression).iter().any(is_elsewhere)
            || EMPTY_WHEN_ALL_IS_WELL.iter().any(|(title, _)| *title == self.title)
    }
}

/// An expression as Grafana sends it when all instances are chosen.
fn sent(expression: &str) -> String {
    let sent =
        expression.replace("$__rate_interval", "1m").replace("$__interval", "1m").replace("$instance", ".*");
    assert!(!sent.contains('$'), "the test does not know a variable in {expression}");
    sent
}

/// Goal: a dashboard that opens without gaps. Method: a real Prometheus that watches a real server at work is asked what each
/// panel asks: the answer must hold numbers, but for what that server has no reason to tell.
#[test]
fn every_panel_has_something_to_show() {
    if !is_installed("prometheus") {
        return;
    }
    let data = Data::new();
    let server = busy_server(&data);
    let prometheus = Prometheus::watching(&server);
    prometheus.watch_it_work(&server);
    for (round, panel) in (PANELS_BEGIN..).zip(panels()) {
        // What is asked goes by the last minute, and all panels may take longer.
        workload::ask_everything(&server, round);
        for expression in &panel.expressions {
            let result = prometheus.query(&sent(expression));
            let has_numbers = result.iter().any(|element| value(element).is_finite());
            let may_be_empty = panel.may_be_empty(expression);
            assert!(has_numbers || may_be_empty, "{} shows nothing: {expression}\n{result:?}", panel.title);
            let is_wanted_empty = EMPTY_WHEN_ALL_IS_WELL.iter().any(|(title, _)| *title == panel.title);
            assert!(
                !(has_numbers && is_wanted_empty),
                "{} is not empty: take it out of the list",
                panel.title
            );
        }
    }
    for file in FILES {
        for annotation in dashboard(file)["annotations"]["list"].as_array().expect("a list") {
            prometheus.query(&sent(annotation["expr"].as_str().expect("an annotation has an expression")));
        }
    }
}

/// Goal: Grafana takes the files as they are, and both can be told apart and be found. Method: what its format asks for.
#[test]
fn dashboards_are_laid_out_without_overlaps() {
    let mut uids = BTreeSet::new();
    for file in FILES {
        let board = dashboard(file);
        assert!(uids.insert(board["uid"].as_str().expect("a dashboard has a uid").to_owned()), "{file}");
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in board["panels"].as_array().expect("a dashboard has panels") {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64()), "{file}: the id of {title} is another's");
            let place =
                |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("the place of {title}"));
            let (x, y, width, height) = (place("x"), place("y"), place("w"), place("h"));
            assert!(x + width <= 24, "{file}: {title} is wider than the page");
            for cell in (y..y + height).flat_map(|row| (x..x + width).map(move |column| (row, column))) {
                assert!(cells.insert(cell), "{file}: {title} lies over another panel");
            }
            let is_explained = panel["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(panel["type"] == "row" || is_explained, "{file}: {title} has no description");
        }
    }
}
