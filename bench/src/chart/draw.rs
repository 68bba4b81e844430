//! A chart's elements and their places.

use super::labels;
use super::markup::{Attribute, Markup, Px};
use super::scale::{Scale, Spread};
use super::{Chart, Series, Size, Stroke, Tone};

const XMLNS: &str = "http://www.w3.org/2000/svg";

/// Least room for a tick's label, along the axis.
const TICK_WIDTH_MIN: f64 = 58.0;
const TICK_HEIGHT_MIN: f64 = 24.0;

/// Distance from one label at the end of a line to the next.
const LABEL_GAP: f64 = 16.0;

/// From the end of the plot to the labels: room for the strokes that lead to those that had to move.
const LEADER_LENGTH: f64 = 14.0;

/// From a text's baseline to its middle.
const TEXT_MIDDLE: f64 = 4.0;

/// Half of the room that a letter of a bold label takes, in most fonts at most.
const LETTER_WIDTH_HALF: f64 = 3.8;

/// The rectangle that values are drawn into, and its surroundings.
struct Layout {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Layout {
    fn new(size: Size) -> Layout {
        let (width, height, labels) = match size {
            Size::Large => (960.0, 540.0, 128.0),
            Size::Small => (480.0, 300.0, 104.0),
        };
        Layout { width, height, left: 66.0, right: width - labels, top: 78.0, bottom: height - 48.0 }
    }

    fn x(&self, place: f64) -> f64 {
        self.left + place * (self.right - self.left)
    }

    fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }
}

struct Drawing<'a> {
    chart: &'a Chart,
    layout: Layout,
    x: Scale,
    y: Scale,
}

/// Writes the chart as an `svg` element, with its own `style` if it is to stand alone.
pub(super) fn chart(chart: &Chart, style: Option<&str>, markup: &mut Markup) {
    let drawing = Drawing::new(chart);
    let Layout { width, height, .. } = drawing.layout;
    let (title, description) = (format!("{}-title", chart.id), format!("{}-description", chart.id));
    let view_box = format!("0 0 {width} {height}");
    let labelled_by = format!("{title} {description}");
    let mut attributes: Vec<Attribute<'_>> = vec![
        ("xmlns", &XMLNS),
        ("class", &"chart"),
        ("viewBox", &view_box),
        ("role", &"img"),
        ("aria-labelledby", &labelled_by),
    ];
    if style.is_some() {
        attributes.extend([("width", &width as _), ("height", &height as _)]);
    }
    markup.element("svg", &attributes, |markup| {
        markup.text("title", &[("id", &title)], &chart.title);
        markup.text("desc", &[("id", &description)], &chart.description);
        if let Some(style) = style {
            markup.text("style", &[], style);
        }
        drawing.ground(markup);
        drawing.axes(markup);
        drawing.marks(markup);
        drawing.lines(markup);
        drawing.line_labels(markup);
    });
}

impl<'a> Drawing<'a> {
    fn new(chart: &'a Chart) -> Drawing<'a> {
        let layout = Layout::new(chart.size);
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let xs: Vec<_> =
            points().map(|point| point.0).chain(chart.turn.as_ref().map(|turn| turn.x)).collect();
        let ys: Vec<_> =
            points().map(|point| point.1).chain(chart.limit.as_ref().map(|limit| limit.y)).collect();
        let ticks_max = |length: f64, tick: f64| (length / tick) as usize + 1;
        let across = ticks_max(layout.right - layout.left, TICK_WIDTH_MIN);
        let upwards = ticks_max(layout.bottom - layout.top, TICK_HEIGHT_MIN);
        assert_eq!(chart.x.spread, Spread::Linear, "lines end where their labels are");
        let x = Scale::around(Spread::Linear, chart.x.unit, &xs, across)
            .up_to(xs.iter().copied().fold(f64::MIN_POSITIVE, f64::max));
        let y = Scale::around(chart.y.spread, chart.y.unit, &ys, upwards);
        Drawing { chart, layout, x, y }
    }

    fn at(&self, point: (f64, f64)) -> (f64, f64) {
        (self.layout.x(self.x.place(point.0)), self.layout.y(self.y.place(point.1)))
    }

    /// What lies behind all else: the ground, and a shade over what is beyond the turn.
    fn ground(&self, markup: &mut Markup) {
        let Layout { width, height, right, top, bottom, .. } = self.layout;
        rectangle(markup, "ground", [0.0, 0.0, width, height]);
        if let Some(turn) = &self.chart.turn {
            let from = self.layout.x(self.x.place(turn.x));
            rectangle(markup, "beyond", [from, top, right - from, bottom - top]);
        }
    }

    fn axes(&self, markup: &mut Markup) {
        let Layout { left, right, top, bottom, height, .. } = self.layout;
        text(markup, "heading", "start", (16.0, 26.0), &self.chart.title);
        text(markup, "name", "start", (16.0, 46.0), &format!("↑ {}", self.chart.y.label));
        for tick in &self.y.ticks {
            let y = self.layout.y(self.y.place(*tick));
            line(markup, "grid", (left, y), (right, y));
            text(markup, "tick", "end", (left - 8.0, y + TEXT_MIDDLE), &self.chart.y.unit.label(*tick));
        }
        for tick in &self.x.ticks {
            let x = self.layout.x(self.x.place(*tick));
            line(markup, "grid", (x, bottom), (x, bottom + 5.0));
            text(markup, "tick", "middle", (x, bottom + 20.0), &self.chart.x.unit.label(*tick));
        }
        line(markup, "axis", (left, bottom), (right, bottom));
        line(markup, "axis", (left, top), (left, bottom));
        text(markup, "name", "end", (right, height - 10.0), &format!("{} →", self.chart.x.label));
    }

    /// The limit and the turn. The limit's label is among those of the lines.
    fn marks(&self, markup: &mut Markup) {
        let Layout { left, right, top, bottom, .. } = self.layout;
        if let Some(limit) = &self.chart.limit {
            let y = self.layout.y(self.y.place(limit.y));
            line(markup, &format!("limit {}", class(limit.tone)), (left, y), (right, y));
        }
        if let Some(turn) = &self.chart.turn {
            let x = self.layout.x(self.x.place(turn.x));
            line(markup, "turn", (x, top - 6.0), (x, bottom));
            // Over its line, but not beyond the ends of the plot, where ticks and labels are.
            let reach = turn.label.chars().count() as f64 * LETTER_WIDTH_HALF;
            let (anchor, at) = match x {
                x if x > right - reach => ("end", right),
                x if x < left + reach => ("start", left),
                x => ("middle", x),
            };
            text(markup, "turn-label", anchor, (at, top - 12.0), &turn.label);
        }
    }

    fn lines(&self, markup: &mut Markup) {
        for series in &self.chart.series {
            let tone = class(series.tone);
            let places: Vec<_> = series.points.iter().map(|point| self.at(*point)).collect();
            let corners: Vec<_> = places.iter().map(|(x, y)| format!("{},{}", Px(*x), Px(*y))).collect();
            let stroke = match series.stroke {
                Stroke::Plain => "plain",
                Stroke::Bold => "bold",
                Stroke::Dashed => "dashed",
            };
            let classes = format!("line {stroke} {tone}");
            markup.empty("polyline", &[("class", &classes), ("points", &corners.join(" "))]);
            for ((x, y), at) in series.points.iter().zip(&places) {
                let (x, y) = (self.chart.x.unit.label(*x), self.chart.y.unit.label(*y));
                let dot = format!("dot {tone}");
                let attributes: [Attribute<'_>; 4] =
                    [("class", &dot), ("cx", &Px(at.0)), ("cy", &Px(at.1)), ("r", &Px(3.0))];
                markup.element("circle", &attributes, |markup| {
                    markup.text("title", &[], format_args!("{} at {x}: {y}", series.name));
                });
            }
            markup.line();
        }
    }

    /// The names of the lines and of the limit, beside the end of the plot, with a stroke to each line's end.
    fn line_labels(&self, markup: &mut Markup) {
        let end = |series: &'a Series| Some((self.at(*series.points.last()?), &*series.name, series.tone));
        let mut labels: Vec<_> = self.chart.series.iter().filter_map(end).collect();
        labels.extend(self.chart.limit.as_ref().map(|limit| {
            let y = self.layout.y(self.y.place(limit.y));
            ((self.layout.right, y), &*limit.label, limit.tone)
        }));
        labels.sort_by(|((_, one), ..), ((_, other), ..)| one.total_cmp(other));
        let wished: Vec<_> = labels.iter().map(|((_, y), ..)| *y).collect();
        let places = labels::apart(&wished, LABEL_GAP, self.layout.top, self.layout.bottom);
        for ((from, name, tone), y) in labels.into_iter().zip(places) {
            let x = self.layout.right + LEADER_LENGTH;
            line(markup, &format!("leader {}", class(tone)), (from.0 + 4.0, from.1), (x - 2.0, y));
            text(markup, &format!("label {}", class(tone)), "start", (x, y + TEXT_MIDDLE), name);
        }
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Teal => "teal",
        Tone::Blue => "blue",
        Tone::Orange => "orange",
        Tone::Purple => "purple",
        Tone::Grey => "grey",
    }
}

fn rectangle(markup: &mut Markup, class: &str, [x, y, width, height]: [f64; 4]) {
    let (x, y, width, height) = (Px(x), Px(y), Px(width), Px(height));
    markup.empty("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
}

fn line(markup: &mut Markup, class: &str, from: (f64, f64), to: (f64, f64)) {
    let (x1, y1, x2, y2) = (Px(from.0), Px(from.1), Px(to.0), Px(to.1));
    markup.empty("line", &[("class", &class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
}

fn text(markup: &mut Markup, class: &str, anchor: &str, at: (f64, f64), words: &str) {
    let (x, y) = (Px(at.0), Px(at.1));
    markup.text("text", &[("class", &class), ("text-anchor", &anchor), ("x", &x), ("y", &y)], words);
}
