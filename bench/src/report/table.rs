//! Tables of all figures, for those who want numbers instead of lines.

use crate::chart::Unit;
use crate::chart::markup::Markup;
use crate::curve::{Curve, Figures, Quantile};

/// Columns that tell of one thing.
struct Group {
    head: &'static str,
    columns: &'static [Column],
}

/// A column: its head, and how it shows a figure.
struct Column {
    head: &'static str,
    cell: fn(&Figures) -> Option<String>,
}

const fn column(head: &'static str, cell: fn(&Figures) -> Option<String>) -> Column {
    Column { head, cell }
}

const GROUPS: [Group; 6] = [
    Group {
        head: "answered",
        columns: &[column("a second", |of| Some(Unit::Count.label(of.achieved_per_s)))],
    },
    Group {
        head: "latency",
        columns: &[
            column("p50", |of| latency(of, Quantile::P50)),
            column("p90", |of| latency(of, Quantile::P90)),
            column("p99", |of| latency(of, Quantile::P99)),
            column("p99.9", |of| latency(of, Quantile::P999)),
            column("max", |of| latency(of, Quantile::Max)),
        ],
    },
    Group {
        head: "records a commit",
        columns: &[
            column("mean", |of| Some(Unit::Count.label(of.commits?.records_mean))),
            column("p50", |of| Some(Unit::Count.label(of.commits?.records_p50))),
            column("p99", |of| Some(Unit::Count.label(of.commits?.records_p99))),
        ],
    },
    Group {
        head: "durable writes",
        columns: &[
            column("a second", |of| Some(Unit::Count.label(of.commits?.frames_per_s))),
            column("p50", |of| Some(Unit::Microseconds.label(of.commits?.write_p50_us))),
            column("p99", |of| Some(Unit::Microseconds.label(of.commits?.write_p99_us))),
        ],
    },
    Group {
        head: "server",
        columns: &[
            column("CPU", |of| Some(Unit::Share.label(of.server?.cpu_share))),
            column("a request", |of| Some(Unit::Microseconds.label(of.server?.cpu_us_a_request))),
            column("memory", |of| Some(Unit::Bytes.label(of.server?.resident_bytes))),
        ],
    },
    Group {
        head: "generator",
        columns: &[
            column("CPU", |of| Some(Unit::Share.label(of.generator.cpu_share))),
            column("late p99", |of| Some(Unit::Microseconds.label(of.generator.late_p99_us))),
        ],
    },
];

/// The medians of each step.
pub(super) fn medians(curve: &Curve, markup: &mut Markup) {
    let rows = curve.steps.iter().map(|step| {
        let verdict = match curve.objective.breach(step.target_per_s, &step.median) {
            None => "met".to_owned(),
            Some(breach) => format!("broken: {breach}"),
        };
        (Unit::Count.label(step.target_per_s), verdict, &step.median)
    });
    table(markup, ["rate", "objective"], rows);
}

/// Each try of each step.
pub(super) fn tries(curve: &Curve, markup: &mut Markup) {
    let rows = curve.steps.iter().flat_map(|step| {
        let numbered = step.tries.iter().enumerate();
        numbered.map(|(index, one)| (Unit::Count.label(step.target_per_s), (index + 1).to_string(), one))
    });
    table(markup, ["rate", "try"], rows);
}

fn table<'a>(
    markup: &mut Markup,
    heads: [&str; 2],
    rows: impl Iterator<Item = (String, String, &'a Figures)>,
) {
    let rows: Vec<_> = rows.collect();
    // A group that knows nothing is left out: a server elsewhere does not tell its CPU time.
    let known = |group: &&Group| rows.iter().any(|row| (group.columns[0].cell)(row.2).is_some());
    let groups: Vec<_> = GROUPS.iter().filter(known).collect();
    markup.element("div", &[("class", &"wide"), ("tabindex", &"0")], |markup| {
        markup.element("table", &[], |markup| {
            markup.element("thead", &[], |markup| head(markup, heads, &groups));
            markup.line();
            markup.element("tbody", &[], |markup| {
                for (first, second, figures) in &rows {
                    row(markup, first, second, &groups, figures);
                }
            });
        });
    });
}

fn head(markup: &mut Markup, heads: [&str; 2], groups: &[&'static Group]) {
    markup.element("tr", &[], |markup| {
        for head in heads {
            markup.text("th", &[("scope", &"col"), ("rowspan", &2)], head);
        }
        for group in groups {
            let span = group.columns.len();
            markup.text("th", &[("class", &"first"), ("scope", &"colgroup"), ("colspan", &span)], group.head);
        }
    });
    markup.element("tr", &[], |markup| {
        for (column, class) in columns(groups) {
            markup.text("th", &[("class", &class), ("scope", &"col")], column.head);
        }
    });
}

fn row(markup: &mut Markup, first: &str, second: &str, groups: &[&'static Group], figures: &Figures) {
    markup.element("tr", &[], |markup| {
        markup.text("th", &[("scope", &"row")], first);
        markup.text("td", &[], second);
        for (column, class) in columns(groups) {
            markup.text("td", &[("class", &class)], (column.cell)(figures).as_deref().unwrap_or("–"));
        }
    });
    markup.line();
}

/// All columns with the class that sets the first of a group apart.
fn columns(groups: &[&'static Group]) -> impl Iterator<Item = (&'static Column, &'static str)> {
    let classes = || std::iter::once("first").chain(std::iter::repeat(""));
    groups.iter().flat_map(move |group| group.columns.iter().zip(classes()))
}

fn latency(figures: &Figures, quantile: Quantile) -> Option<String> {
    Some(Unit::Microseconds.label(figures.latency.at(quantile)))
}
