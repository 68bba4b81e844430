//! The subcommands: their arguments, and how results are told.

pub(crate) mod compare;
pub(crate) mod run;
pub(crate) mod sqlite_loop;
