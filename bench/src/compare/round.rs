//! What was measured in one round.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::system::{Experiment, Measurement, Name, Quantity};

/// The measurements of one round, by system and experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round(BTreeMap<(Name, Experiment), Measurement>);

impl Round {
    /// Adds what was measured of a system.
    pub fn add(&mut self, name: Name, measured: impl IntoIterator<Item = (Experiment, Measurement)>) {
        self.0
            .extend(measured.into_iter().map(|(experiment, measurement)| ((name, experiment), measurement)));
    }

    /// A number, if it was measured.
    pub fn value(&self, name: Name, experiment: Experiment, quantity: Quantity) -> Option<f64> {
        self.0.get(&(name, experiment))?.value(quantity)
    }

    /// All measurements, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name, Experiment, &Measurement)> {
        self.0.iter().map(|((name, experiment), measurement)| (*name, *experiment, measurement))
    }
}

impl Serialize for Round {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            system: Name,
            experiment: Experiment,
            #[serde(flatten)]
            measurement: &'a Measurement,
        }
        let rows =
            self.iter().map(|(system, experiment, measurement)| Row { system, experiment, measurement });
        serializer.collect_seq(rows)
    }
}
