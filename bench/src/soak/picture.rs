//! Samples as small charts side by side.

use super::Record;
use super::sample::Sample;
use crate::chart::markup::{Markup, Px};
use crate::chart::{Axis, Chart, STYLE, Series, Size, Spread, Stroke, Tone, Unit};

const PAGE_STYLE: &str = include_str!("../report/page.css");

/// Points of a line: more would hide it under their dots.
const POINTS_MAX: usize = 48;

/// The size of a small chart, and how many are beside each other.
const CHART_WIDTH: f64 = 480.0;
const CHART_HEIGHT: f64 = 300.0;
const CHARTS_ACROSS: usize = 2;

/// Room for each line of text above the charts, and between these.
const LINE_HEIGHT: f64 = 17.0;
const GAP: f64 = 12.0;

/// Letters of the verdict in a line.
const LINE_LETTERS: usize = 116;

/// A page that needs no other file.
pub fn page(record: &Record) -> String {
    let mut markup = Markup::new();
    markup.raw("<!DOCTYPE html>\n");
    markup.element("html", &[("lang", &"en"), ("xmlns", &"http://www.w3.org/1999/xhtml")], |markup| {
        markup.element("head", &[], |markup| {
            markup.empty("meta", &[("charset", &"utf-8")]);
            let scale = "width=device-width, initial-scale=1";
            markup.empty("meta", &[("name", &"viewport"), ("content", &scale)]);
            markup.text("title", &[], "StemeDB: soak");
            markup.element("style", &[], |markup| {
                markup.raw(PAGE_STYLE);
                markup.raw(STYLE);
            });
        });
        markup.element("body", &[], |markup| {
            markup.element("main", &[], |markup| {
                markup.text("h1", &[], "StemeDB: soak");
                markup.text("p", &[("class", &"finding")], &record.verdict.text);
                markup.element("div", &[("class", &"charts")], |markup| {
                    for chart in charts(&record.samples) {
                        markup.element("figure", &[], |markup| chart.inline(markup));
                    }
                });
                markup.text("h2", &[], "What was judged");
                markup.element("ul", &[], |markup| {
                    let findings = &record.verdict.findings;
                    findings.iter().for_each(|finding| markup.text("li", &[], &finding.text));
                });
                markup.text("p", &[], load(record));
            });
        });
    });
    markup.line();
    markup.finish()
}

/// All charts in one picture.
pub fn svg(record: &Record) -> String {
    let charts = charts(&record.samples);
    let rows = charts.len().div_ceil(CHARTS_ACROSS);
    let width = CHARTS_ACROSS as f64 * (CHART_WIDTH + GAP) + GAP;
    let verdict = lines(&record.verdict.text);
    let top = 26.0 + LINE_HEIGHT * verdict.len() as f64 + GAP;
    let height = top + rows as f64 * (CHART_HEIGHT + GAP);
    let view_box = format!("0 0 {} {}", Px(width), Px(height));
    let mut markup = Markup::new();
    let (wide, high) = (Px(width), Px(height));
    let attributes: [crate::chart::markup::Attribute<'_>; 6] = [
        ("xmlns", &"http://www.w3.org/2000/svg"),
        ("class", &"chart"),
        ("viewBox", &view_box),
        ("width", &wide),
        ("height", &high),
        ("role", &"img"),
    ];
    markup.element("svg", &attributes, |markup| {
        markup.text("title", &[], "StemeDB: soak");
        markup.text("style", &[], STYLE);
        let all = [("class", &"ground" as _), ("width", &wide as _), ("height", &high as _)];
        markup.empty("rect", &all);
        let line = |markup: &mut Markup, class: &str, y: f64, words: &str| {
            markup.text("text", &[("class", &class), ("x", &Px(GAP + 16.0)), ("y", &Px(y))], words);
        };
        for (number, words) in verdict.iter().enumerate() {
            line(markup, "turn-label", 26.0 + LINE_HEIGHT * number as f64, words);
        }
        line(markup, "name", 26.0 + LINE_HEIGHT * verdict.len() as f64, &load(record));
        for (place, chart) in charts.iter().enumerate() {
            let x = GAP + (place % CHARTS_ACROSS) as f64 * (CHART_WIDTH + GAP);
            let y = top + (place / CHARTS_ACROSS) as f64 * (CHART_HEIGHT + GAP);
            let (x, y, width, height) = (Px(x), Px(y), Px(CHART_WIDTH), Px(CHART_HEIGHT));
            let room = [("x", &x as _), ("y", &y as _), ("width", &width as _), ("height", &height as _)];
            markup.element("svg", &room, |markup| chart.inline(markup));
        }
    });
    markup.line();
    markup.finish()
}

/// What the load was.
fn load(record: &Record) -> String {
    format!(
        "stemedb-api {}, {} requests due a second on {} connections: claims, most of them held already, batches, queries, …",
        record.version,
        Unit::Count.label(record.rate_per_s),
        record.connections
    )
}

/// Words in lines.
fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.chars().count() + word.chars().count() > LINE_LETTERS) {
            lines.push(String::new());
        }
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

type Of = fn(&Sample) -> Option<f64>;

/// The charts, without those of what is not known.
fn charts(samples: &[Sample]) -> Vec<Chart> {
    let series = |name: &str, tone: Tone, stroke: Stroke, of: Of| Series {
        name: name.to_owned(),
        tone,
        stroke,
        points: points(samples, of),
    };
    let charts = [
        chart(
            "rate",
            "Rate",
            ("answers a second", Unit::Count, Spread::Linear),
            vec![series("right", Tone::Blue, Stroke::Plain, |sample| Some(sample.answered_per_s))],
        ),
        chart(
            "latency",
            "Latency",
            ("from when a request was due", Unit::Microseconds, Spread::Logarithmic),
            vec![
                series("p50", Tone::Teal, Stroke::Plain, |sample| sample.p50_us.map(|us| us.max(1.0))),
                series("p99", Tone::Orange, Stroke::Plain, |sample| sample.p99_us.map(|us| us.max(1.0))),
            ],
        ),
        chart(
            "memory",
            "Memory",
            ("anonymous memory in RAM", Unit::Bytes, Spread::Linear),
            vec![
                series("all", Tone::Blue, Stroke::Plain, |sample| Some(sample.process?.memory_bytes as f64)),
                series("index", Tone::Grey, Stroke::Dashed, |sample| Some(sample.index_bytes as f64)),
                series("all else", Tone::Purple, Stroke::Bold, |sample| {
                    Some(sample.other_memory_bytes()?.max(0.0))
                }),
            ],
        ),
        chart(
            "claims",
            "Claims",
            ("claims held", Unit::Count, Spread::Linear),
            vec![series("held", Tone::Blue, Stroke::Plain, |sample| Some(sample.claims as f64))],
        ),
        chart(
            "disk",
            "Disk",
            ("bytes of files, segments prepared ahead included", Unit::Bytes, Spread::Linear),
            vec![
                series("files", Tone::Blue, Stroke::Plain, |sample| Some(sample.process?.disk_bytes as f64)),
                series("written", Tone::Grey, Stroke::Dashed, |sample| Some(sample.written_bytes as f64)),
            ],
        ),
        chart(
            "handles",
            "Descriptors and threads",
            ("open at once", Unit::Count, Spread::Linear),
            vec![
                series("descriptors", Tone::Teal, Stroke::Plain, |sample| {
                    Some(sample.process?.descriptors as f64)
                }),
                series("threads", Tone::Purple, Stroke::Plain, |sample| Some(sample.process?.threads as f64)),
            ],
        ),
    ];
    charts.into_iter().filter(|chart| !chart.series.is_empty()).collect()
}

fn chart(
    id: &'static str,
    title: &str,
    (label, unit, spread): (&str, Unit, Spread),
    series: Vec<Series>,
) -> Chart {
    let series: Vec<_> = series.into_iter().filter(|series| !series.points.is_empty()).collect();
    let ends: Vec<_> = series
        .iter()
        .filter_map(|series| {
            let [from, to] = [series.points.first()?, series.points.last()?].map(|point| unit.label(point.1));
            Some(format!("{}: {from} at first, {to} at last.", series.name))
        })
        .collect();
    Chart {
        id,
        title: title.to_owned(),
        description: format!("{label}, over time. {}", ends.join(" ")),
        size: Size::Small,
        x: Axis { label: "time".to_owned(), unit: Unit::Seconds, spread: Spread::Linear },
        y: Axis { label: label.to_owned(), unit, spread },
        series,
        limit: None,
        turn: None,
    }
}

/// One figure of all samples where it is known. Where there are too many, the middle ones of neighbours that are put together.
fn points(samples: &[Sample], of: Of) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> =
        samples.iter().filter_map(|sample| Some((sample.at_s, of(sample)?))).collect();
    let together = points.len().div_ceil(POINTS_MAX).max(1);
    let middle = |points: &[(f64, f64)]| {
        let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
        values.sort_by(f64::total_cmp);
        (points[points.len() / 2].0, values[values.len() / 2])
    };
    points.chunks(together).map(middle).collect()
}
