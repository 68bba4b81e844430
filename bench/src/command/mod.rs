//! The subcommands: their arguments, and how results are told.

pub(crate) mod run;
