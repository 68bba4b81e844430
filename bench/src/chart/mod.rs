//! Line charts as SVG: readable in light and dark, in print, and by those who listen; without scripts.
//!
//! Lines are labelled where they end, not in a legend far away; a limit and a turning point are marked likewise.

mod draw;
mod labels;
pub mod markup;
mod scale;
mod unit;

pub use scale::Spread;
pub use unit::Unit;

use markup::Markup;

/// The rules that give the classes in charts their looks. A page that holds charts must hold these too.
pub const STYLE: &str = include_str!("chart.css");

/// What a chart shows.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Tells this chart from others in a page: letters, digits and hyphens.
    pub id: &'static str,
    /// What it is, in a few words; shown above it.
    pub title: String,
    /// What it shows, in sentences, for those who do not see it.
    pub description: String,
    /// How large it is.
    pub size: Size,
    /// The axis from left to right, linear from 0 to the greatest value.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// The lines. Of points at least one in all.
    pub series: Vec<Series>,
    /// A line across that values should stay below.
    pub limit: Option<Limit>,
    /// A line upwards, beyond which the limit is broken.
    pub turn: Option<Turn>,
}

/// Width and height of a chart in its own units; shown larger or smaller to fit the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The width of a page.
    Large,
    /// Half of it.
    Small,
}

/// What is measured along an axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it is.
    pub label: String,
    /// What it counts.
    pub unit: Unit,
    /// How its values are spread.
    pub spread: Spread,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// The label at its end.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// How it is drawn.
    pub stroke: Stroke,
    /// Its points as (x, y), by x.
    pub points: Vec<(f64, f64)>,
}

/// Colours that can be told apart, on light and on dark ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Green to blue.
    Teal,
    /// Blue.
    Blue,
    /// Orange.
    Orange,
    /// Purple.
    Purple,
    /// No colour.
    Grey,
}

/// Lines that can be told apart without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// As most are.
    Plain,
    /// The one that matters most.
    Bold,
    /// One that matters less.
    Dashed,
}

/// A value of the y axis that should not be exceeded.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The value.
    pub y: f64,
    /// What it is.
    pub label: String,
    /// The colour of the series that it limits.
    pub tone: Tone,
}

/// A value of the x axis beyond which things are different.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The value.
    pub x: f64,
    /// What it is.
    pub label: String,
}

impl Chart {
    /// An `svg` element for a page that holds [`STYLE`].
    pub fn inline(&self, markup: &mut Markup) {
        draw::chart(self, None, markup);
    }

    /// A file of its own.
    pub fn file(&self) -> String {
        let mut markup = Markup::new();
        draw::chart(self, Some(STYLE), &mut markup);
        markup.line();
        markup.finish()
    }
}
