//! The search for the knee, and its report, over servers that are functions from a rate to figures.

mod knee;
mod report;
mod synthetic;
