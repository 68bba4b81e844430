//! The text format of Prometheus, version 0.0.4.

use std::fmt::Display;
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
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A sample of the metric, with labels as `name="value"` separated by commas.
    pub(super) fn sample(&mut self, labels: impl Display, value: impl Display) {
        let name = self.name;
        self.line(format_args!("{name}{{{labels}}} {value}"));
    }

    /// A metric that has one sample and no labels.
    pub(super) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// The samples of a distribution: one for each bound, for all values, for their sum and for their number.
    pub(super) fn distribution(&mut self, labels: &str, values: &Histogram) {
        let name = self.name;
        let (sum, count) = (values.sum(), values.count());
        // Buckets are most of the text.
        let separator = if labels.is_empty() { "" } else { "," };
        let mut digits = itoa::Buffer::new();
        for (bound, count) in values.cumulative().chain([("+Inf", count)]) {
            let parts =
                [name, "_bucket{", labels, separator, "le=\"", bound, "\"} ", digits.format(count), "\n"];
            parts.iter().for_each(|part| self.out.extend_from_slice(part.as_bytes()));
        }
        self.line(format_args!("{name}_sum{{{labels}}} {sum}"));
        self.line(format_args!("{name}_count{{{labels}}} {count}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.out, "{line}").expect("writing to memory does not fail");
    }
}
