//! The charts of a curve.

use crate::chart::{Axis, Chart, Limit, Series, Size, Spread, Stroke, Tone, Turn, Unit};
use crate::curve::{Commits, Curve, Figures, Knee, Quantile, ServerUse};

/// What is shorter cannot be told from nothing, and a logarithmic axis has no place for nothing.
const SHORTEST_SHOWN_US: f64 = 1.0;

/// Latencies against the rate: what it is all about.
pub(super) fn rate_latency(curve: &Curve) -> Chart {
    let series = Quantile::ALL.into_iter().map(|quantile| Series {
        name: quantile.name().to_owned(),
        tone: tone(quantile),
        stroke: match quantile {
            limited if limited == curve.objective.quantile => Stroke::Bold,
            Quantile::Max => Stroke::Dashed,
            _ => Stroke::Plain,
        },
        points: points(curve, |figures| Some(shown(figures.latency.at(quantile)))),
    });
    let objective = &curve.objective;
    let limit = Limit {
        y: objective.latency_us_max,
        label: format!("SLO {} ≤ {}", objective.quantile, Unit::Microseconds.label(objective.latency_us_max)),
        tone: tone(objective.quantile),
    };
    Chart {
        id: "rate-latency",
        title: "Latency against the rate of requests".to_owned(),
        description: description(curve),
        size: Size::Large,
        x: rate_axis(),
        y: duration_axis("latency, from when a request was due"),
        series: series.collect(),
        limit: Some(limit),
        turn: turn(curve, true),
    }
}

/// All else that was measured, in the order in which it explains the latencies. What is not known is left out.
pub(super) fn others(curve: &Curve) -> Vec<Chart> {
    type Of<T> = fn(&T) -> f64;
    let commits = |name, tone, stroke, of: Of<Commits>| {
        series(name, tone, stroke, points(curve, |figures| figures.commits.as_ref().map(of)))
    };
    let server = |name, tone, of: Of<ServerUse>| {
        series(name, tone, Stroke::Plain, points(curve, |figures| figures.server.as_ref().map(of)))
    };
    let generator = |name, tone, of: Of<Figures>| {
        series(name, tone, Stroke::Plain, points(curve, |figures| Some(of(figures))))
    };
    let write_p50 = |of: &Commits| shown(of.write_p50_us);
    let write_p99 = |of: &Commits| shown(of.write_p99_us);
    let late_p99 = |of: &Figures| shown(of.generator.late_p99_us);
    let charts = [
        small(
            curve,
            "commits",
            "Commit sizes",
            linear_axis("records that one durable write commits", Unit::Count),
            vec![
                commits("mean", Tone::Teal, Stroke::Bold, |of| of.records_mean),
                commits("p50", Tone::Blue, Stroke::Plain, |of| of.records_p50),
                commits("p99", Tone::Purple, Stroke::Plain, |of| of.records_p99),
            ],
        ),
        small(
            curve,
            "writes",
            "Durable writes",
            duration_axis("time of one durable write to the log"),
            vec![
                commits("p50", Tone::Teal, Stroke::Plain, write_p50),
                commits("p99", Tone::Orange, Stroke::Plain, write_p99),
            ],
        ),
        small(
            curve,
            "cpu",
            "CPU",
            linear_axis("CPU time over time; 100 % is one core", Unit::Share),
            vec![
                server("server", Tone::Blue, |of| of.cpu_share),
                generator("generator", Tone::Grey, |of| of.generator.cpu_share),
            ],
        ),
        small(
            curve,
            "cpu-a-request",
            "CPU a request",
            linear_axis("CPU time of the server for one request", Unit::Microseconds),
            vec![server("server", Tone::Blue, |of| of.cpu_us_a_request)],
        ),
        small(
            curve,
            "memory",
            "Memory",
            linear_axis("resident memory of the server at the end of the step", Unit::Bytes),
            vec![server("server", Tone::Blue, |of| of.resident_bytes)],
        ),
        small(
            curve,
            "lateness",
            "Lateness of the load generator",
            duration_axis("from when a request was due until it was sent"),
            vec![generator("p99", Tone::Grey, late_p99)],
        ),
    ];
    charts.into_iter().filter(|chart| !chart.series.is_empty()).collect()
}

fn small(curve: &Curve, id: &'static str, title: &str, y: Axis, series: Vec<Series>) -> Chart {
    let series: Vec<_> = series.into_iter().filter(|series| !series.points.is_empty()).collect();
    let ends: Vec<_> = series
        .iter()
        .filter_map(|series| {
            let ((from_x, from_y), (to_x, to_y)) = (series.points.first()?, series.points.last()?);
            let [from_x, to_x] = [from_x, to_x].map(|rate| Unit::Count.label(*rate));
            let [from_y, to_y] = [from_y, to_y].map(|value| y.unit.label(*value));
            Some(format!("{}: {from_y} at {from_x} requests a second, {to_y} at {to_x}.", series.name))
        })
        .collect();
    Chart {
        id,
        title: title.to_owned(),
        description: format!("{}, against the rate of requests. {}", y.label, ends.join(" ")),
        size: Size::Small,
        x: rate_axis(),
        y,
        series,
        limit: None,
        turn: turn(curve, false),
    }
}

fn series(name: &str, tone: Tone, stroke: Stroke, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), tone, stroke, points }
}

/// One figure of all steps where it is known, by rate.
fn points(curve: &Curve, figure: impl Fn(&Figures) -> Option<f64>) -> Vec<(f64, f64)> {
    curve.steps.iter().filter_map(|step| Some((step.target_per_s, figure(&step.median)?))).collect()
}

fn shown(us: f64) -> f64 {
    us.max(SHORTEST_SHOWN_US)
}

fn tone(quantile: Quantile) -> Tone {
    match quantile {
        Quantile::P50 => Tone::Teal,
        Quantile::P90 => Tone::Blue,
        Quantile::P99 => Tone::Orange,
        Quantile::P999 => Tone::Purple,
        Quantile::Max => Tone::Grey,
    }
}

/// The knee, with its rate if that is `told`.
fn turn(curve: &Curve, told: bool) -> Option<Turn> {
    let Knee::Between { rate_per_s: x, .. } = curve.knee else { return None };
    let rate = if told { format!(" {} a second", Unit::Count.label(x)) } else { String::new() };
    Some(Turn { x, label: format!("knee{rate}") })
}

fn rate_axis() -> Axis {
    linear_axis("requests due a second", Unit::Count)
}

fn linear_axis(label: &str, unit: Unit) -> Axis {
    Axis { label: label.to_owned(), unit, spread: Spread::Linear }
}

fn duration_axis(label: &str) -> Axis {
    Axis { label: label.to_owned(), unit: Unit::Microseconds, spread: Spread::Logarithmic }
}

/// What the main chart shows, for those who do not see it.
fn description(curve: &Curve) -> String {
    let mut description = format!(
        "Five lines, from the median to the maximum, over {} rates on a logarithmic axis of time. {}",
        curve.steps.len(),
        super::finding(curve)
    );
    if let Some(step) = curve.knee_step() {
        let latency =
            |quantile| format!(" {quantile} {}", Unit::Microseconds.label(step.median.latency.at(quantile)));
        description.push_str(" At the knee:");
        description.push_str(&Quantile::ALL.map(latency).join(","));
        description.push('.');
    }
    description
}
