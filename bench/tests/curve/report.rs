//! Goal: whatever was measured, the report's files are well-formed, say what was found, and hold all figures.
//! Method: the files of synthetic curves, read back with parsers of other people. The files stay in the target
//! directory's `tmp`, to be looked at.

use std::fs;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};
use stemedb_bench::curve::{Attempt, Curve, Figures};
use stemedb_bench::report::{Report, finding};

use crate::synthetic::{curve, disturbed, queueing};

/// The report of a curve, as written to a directory of its own.
fn written(name: &str, curve: &Curve) -> Report {
    let directory: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("curve").join(name);
    Report::write(curve, &directory).expect("the directory for tests is writable")
}

/// The text of a file that is XML, and has unique ids.
fn well_formed(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("it was just written");
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&text, options).expect("well-formed");
    let mut ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an id is there twice: {ids:?}");
    for chart in
        document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")))
    {
        assert_readable(chart);
    }
    text
}

/// A chart tells those who do not see it what it shows, and keeps all its text within its bounds, none over another.
fn assert_readable(chart: Node<'_, '_>) {
    let labelled_by = chart.attribute("aria-labelledby").expect("a label");
    for id in labelled_by.split(' ') {
        let label =
            chart.children().find(|node| node.attribute("id") == Some(id)).expect("the label's element");
        assert!(label.text().is_some_and(|text| !text.is_empty()));
    }
    let number =
        |node: Node<'_, '_>, name| node.attribute(name).expect("a place").parse::<f64>().expect("a number");
    let view_box: Vec<f64> =
        chart.attribute("viewBox").unwrap().split(' ').map(|part| part.parse().unwrap()).collect();
    let mut boxes: Vec<(f64, f64, f64, f64, &str)> = Vec::new();
    for text in chart.descendants().filter(|node| node.tag_name().name() == "text") {
        let words = text.text().expect("a text that is not empty");
        let wide = matches!(text.attribute("class"), Some(class) if class.contains("heading"));
        // Wider than most fonts are, on average over letters.
        let width = words.chars().count() as f64 * if wide { 8.6 } else { 6.9 };
        let (x, y) = (number(text, "x"), number(text, "y"));
        let left = match text.attribute("text-anchor") {
            Some("end") => x - width,
            Some("middle") => x - width / 2.0,
            _ => x,
        };
        let space = (left, y - 9.0, left + width, y + 2.0, words);
        assert!(
            left >= 0.0 && left + width <= view_box[2] && y - 12.0 >= 0.0 && y + 3.0 <= view_box[3],
            "{space:?}"
        );
        for other in &boxes {
            let apart = space.2 <= other.0 || other.2 <= space.0 || space.3 <= other.1 || other.3 <= space.1;
            assert!(apart, "{space:?} and {other:?} overlap");
        }
        boxes.push(space);
    }
}

#[test]
fn the_files_of_a_curve_are_well_formed_and_complete() {
    let curve = curve(queueing(91_000.0));
    let report = written("knee", &curve);
    let page = well_formed(&report.page);
    assert!(page.contains("stemedb-bench curve --report &#39;a &lt;b&gt; &amp; &quot;c&quot;&#39;"));
    for step in &curve.steps {
        let rate = stemedb_bench::chart::Unit::Count.label(step.target_per_s);
        assert!(page.contains(&format!("<th scope=\"row\">{rate}</th>")), "{rate}");
    }
    let picture = well_formed(&report.picture);
    for label in ["p50", "p90", "p99", "p99.9", "max", "SLO p99 ≤ 5 ms"] {
        assert!(picture.contains(&format!(">{label}</text>")), "{label}");
    }
    let data: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report.data).unwrap()).unwrap();
    assert_eq!(data["steps"].as_array().unwrap().len(), curve.steps.len());
    assert_eq!(data["steps"][0]["tries"].as_array().unwrap().len(), 3);
    assert_eq!(data["knee"]["found"], "between");
    assert_eq!(data["knee"]["rate_per_s"], curve.knee.rate_per_s().unwrap());
    assert_eq!(data["objective"]["quantile"], "p99");
}

#[test]
fn nothing_comes_from_elsewhere() {
    let page = well_formed(&written("self-contained", &curve(queueing(91_000.0))).page);
    for foreign in ["<script", "<link", "<img", "@import", "url(", "href=", "src="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_knee_that_was_not_found_is_said_so() {
    let beyond = curve(queueing(1e9));
    let page = well_formed(&written("beyond", &beyond).page);
    assert!(finding(&beyond).contains("up to 200,000 requests a second: the knee lies beyond"));
    assert!(page.contains("the knee lies beyond"));

    let below = curve(|attempt: Attempt| queueing(100.0)(attempt));
    let page = well_formed(&written("below", &below).page);
    assert!(finding(&below).contains("down to 625 requests a second"));
    assert!(page.contains("is not met at any rate"));
}

#[test]
fn a_server_elsewhere_has_no_figures_of_its_own_use() {
    let server = queueing(91_000.0);
    let curve = curve(|attempt: Attempt| Figures { server: None, commits: None, ..server(attempt) });
    let page = well_formed(&written("elsewhere", &curve).page);
    assert!(!page.contains("CPU a request") && !page.contains(">memory<") && !page.contains("Commit sizes"));
    assert!(page.contains("Lateness of the load generator"));
}

#[test]
fn what_makes_figures_doubtful_is_said() {
    let calm = curve(queueing(91_000.0));
    assert_eq!(calm.cautions(), [""; 0]);
    let disturbed = curve(disturbed(queueing(91_000.0)));
    assert!(disturbed.cautions()[0].contains("some tries met the objective and others did not"));
    let server = queueing(91_000.0);
    let exhausted = curve(|attempt: Attempt| {
        let mut figures = server(attempt);
        figures.generator.cpu_share = 0.97;
        figures.generator.late_p99_us = 600.0;
        figures
    });
    let cautions = exhausted.cautions();
    assert_eq!(cautions.len(), 3, "{cautions:?}");
    assert!(cautions[0].contains("used 97 % of its CPU") && cautions[1].contains("600 µs late"));
    let page = well_formed(&written("cautions", &exhausted).page);
    assert!(page.contains("Read with care"));
}
