//! The text format of Prometheus, version 0.0.4.

use std::io::Write;

use super::Histogram;

/// The kinds of metrics, as Prometheus is told them.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// A gauge that must keep a name which conventions reserve for counters: `promtool` accepts that of a metric
    /// without a type only.
    GaugeNamedTotal,
    Histogram,
}

/// A label: its name and its value, which needs no escape.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Writes metrics one after another.
pub(super) struct Exposition<'a> {
    out: &'a mut Vec<u8>,
    /// The metric whose samples are being written.
    name: &'static str,
}

impl<'a> Exposition<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Exposition<'a> {
        Exposition { out, name: "" }
    }

    /// Begins a metric. All its samples must follow before the next begins.
    pub(super) fn metric(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::GaugeNamedTotal => "untyped",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        self.texts(["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"]);
    }

    /// A sample of the metric.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: u64) {
        self.labelled("{", labels);
        self.texts(["} "]);
        self.count(value);
    }

    /// A metric that has one sample and no labels.
    pub(super) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: u64) {
        self.metric(name, kind, help);
        self.texts([name, " "]);
        self.count(value);
    }

    /// As [`Exposition::single`], for what may have a fraction.
    pub(super) fn single_fraction(&mut self, name: &'static str, kind: Kind, help: &str, value: f64) {
        self.metric(name, kind, help);
        self.texts([name, " "]);
        self.fraction(value);
    }

    /// The samples of a distribution: one for each bound, for all values, for their sum and for their number.
    pub(super) fn distribution(&mut self, labels: &[Label<'_>], values: &Histogram) {
        let begin = self.out.len();
        self.labelled("_bucket{", labels);
        let separator = if labels.is_empty() { "" } else { "," };
        self.texts([separator, "le=\""]);
        let prefix = begin..self.out.len();
        let count = values.count();
        // The prefix is there for the first bound, and is copied for the others.
        for (line, (le, count)) in
            values.cumulative().map(|(bound, count)| (bound.le, count)).chain([("+Inf", count)]).enumerate()
        {
            if line > 0 {
                self.out.extend_from_within(prefix.clone());
            }
            self.texts([le, "\"} "]);
            self.count(count);
        }
        self.labelled("_sum{", labels);
        self.texts(["} "]);
        self.fraction(values.sum() as f64 / values.divisor());
        self.labelled("_count{", labels);
        self.texts(["} "]);
        self.count(count);
    }

    /// The metric's name, what follows it, and labels separated by commas.
    fn labelled(&mut self, behind_name: &str, labels: &[Label<'_>]) {
        self.texts([self.name, behind_name]);
        for (place, (name, value)) in labels.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            self.texts([separator, name, "=\"", value, "\""]);
        }
    }

    fn texts<const COUNT: usize>(&mut self, texts: [&str; COUNT]) {
        texts.iter().for_each(|text| self.out.extend_from_slice(text.as_bytes()));
    }

    /// A number, and the end of its line.
    fn count(&mut self, count: u64) {
        self.texts([itoa::Buffer::new().format(count), "\n"]);
    }

    /// A number that may have a fraction, and the end of its line.
    fn fraction(&mut self, number: f64) {
        writeln!(self.out, "{number}").expect("writing to memory does not fail");
    }
}
