//! The page.

use crate::chart::markup::Markup;
use crate::chart::{Chart, STYLE, Unit};
use crate::curve::{Curve, Figures, Step};

use super::{charts, table};

const PAGE_STYLE: &str = include_str!("page.css");

/// The whole report as one HTML document, which is well-formed XML as well.
pub(super) fn html(curve: &Curve) -> String {
    let mut markup = Markup::new();
    markup.raw("<!DOCTYPE html>\n");
    markup.element("html", &[("lang", &"en"), ("xmlns", &"http://www.w3.org/1999/xhtml")], |markup| {
        markup.element("head", &[], head);
        markup.line();
        markup.element("body", &[], |markup| {
            markup.element("main", &[], |markup| body(curve, markup));
        });
    });
    markup.line();
    markup.finish()
}

fn head(markup: &mut Markup) {
    markup.empty("meta", &[("charset", &"utf-8")]);
    markup.empty("meta", &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")]);
    markup.empty("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
    markup.text("title", &[], "StemeDB: rate and latency");
    markup.element("style", &[], |markup| {
        markup.raw(PAGE_STYLE);
        markup.raw(STYLE);
    });
}

fn body(curve: &Curve, markup: &mut Markup) {
    markup.text("h1", &[], "StemeDB: rate and latency");
    markup.text("p", &[("class", &"finding")], super::finding(curve));
    tiles(curve, markup);
    let cautions = curve.cautions();
    if !cautions.is_empty() {
        markup.element("section", &[("class", &"cautions")], |markup| {
            markup.text("h2", &[], "Read with care");
            markup.element("ul", &[], |markup| {
                cautions.iter().for_each(|caution| markup.text("li", &[], caution));
            });
        });
    }
    figure(&charts::rate_latency(curve), markup);
    markup.element("div", &[("class", &"charts")], |markup| {
        charts::others(curve).iter().for_each(|chart| figure(chart, markup));
    });
    markup.text("h2", &[], "All figures");
    let tries = curve.setup.tries;
    markup.text(
        "p",
        &[],
        format_args!(
            "Medians of {tries} tries at each rate, except for the longest latency, which is that of all tries. \
             Figures of commits and durable writes come from the buckets of the server's histograms."
        ),
    );
    table::medians(curve, markup);
    markup.text("h2", &[], "Each try");
    table::tries(curve, markup);
    markup.text("h2", &[], "How it was measured");
    setup(curve, markup);
}

fn figure(chart: &Chart, markup: &mut Markup) {
    markup.element("figure", &[], |markup| chart.inline(markup));
    markup.line();
}

/// What most readers come for.
fn tiles(curve: &Curve, markup: &mut Markup) {
    let tile = |markup: &mut Markup, name: &str, value: &str, more: &str| {
        markup.element("div", &[], |markup| {
            markup.text("dt", &[], name);
            markup.element("dd", &[], |markup| {
                markup.text("strong", &[], value);
                markup.text("small", &[], more);
            });
        });
    };
    markup.element("dl", &[("class", &"tiles")], |markup| {
        if let Some(step) = curve.knee_step() {
            let rate = Unit::Count.label(step.target_per_s);
            tile(markup, "Knee", &rate, "requests a second");
            tile(markup, "Latency there", &p50(&step.median), &tail(&step.median));
        }
        if let Some(step) = curve.half_step() {
            tile(markup, "At half of it", &p50(&step.median), &tail(&step.median));
            if let Some((ratio, write)) = over_the_write(step) {
                let more = format!("p99 of a request ÷ p50 of a durable write ({write})");
                tile(markup, "Beside the disk, at half of it", &ratio, &more);
            }
        }
        if let Some(server) = curve.knee_step().and_then(|step| step.median.server) {
            let more = format!("a request; {} of a core at the knee", Unit::Share.label(server.cpu_share));
            tile(markup, "Server CPU", &Unit::Microseconds.label(server.cpu_us_a_request), &more);
        }
    });
    markup.line();
}

fn p50(figures: &Figures) -> String {
    format!("p50 {}", Unit::Microseconds.label(figures.latency.p50_us))
}

fn tail(figures: &Figures) -> String {
    let [p99, p999] =
        [figures.latency.p99_us, figures.latency.p999_us].map(|us| Unit::Microseconds.label(us));
    format!("p99 {p99}, p99.9 {p999}")
}

/// How many durable writes a slow request takes, and how long one is.
fn over_the_write(step: &Step) -> Option<(String, String)> {
    let write_us = step.median.commits?.write_p50_us;
    let ratio = (write_us > 0.0).then(|| step.median.latency.p99_us / write_us)?;
    Some((format!("{ratio:.1}×"), Unit::Microseconds.label(write_us)))
}

fn setup(curve: &Curve, markup: &mut Markup) {
    let setup = &curve.setup;
    let seconds = |s: f64| Unit::Microseconds.label(s * 1e6);
    let tries = format!(
        "{} of {} at each rate, each after {} of the same load",
        setup.tries,
        seconds(setup.duration_s),
        seconds(setup.warm_up_s)
    );
    let connections = format!("{}, at most {} unanswered requests on each", setup.connections, setup.depth);
    let probe = format!(
        "{} requests a second without pauses, in a short run before",
        Unit::Count.label(curve.probe_per_s)
    );
    let rows = [
        ("Command", setup.command.as_str()),
        ("Began", &setup.began),
        ("Machine", &setup.machine),
        ("Server", &setup.server),
        ("Requests", &setup.workload),
        ("Connections", &connections),
        ("Tries", &tries),
        ("Probe", &probe),
        (
            "Latency",
            "From when a request was due, whether or not it could be sent then: a stall of the server delays what \
                     was due meanwhile, and is counted in full.",
        ),
        ("Durability", "Each claim is on stable storage before it is answered."),
    ];
    markup.element("dl", &[("class", &"setup")], |markup| {
        for (name, value) in rows {
            markup.text("dt", &[], name);
            markup.text("dd", &[], value);
            markup.line();
        }
    });
}
