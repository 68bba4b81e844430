//! Checkpoints: what moves claims from the log into tables, and keeps both within bounds.
//!
//! A segment that its lane has left never changes again. Its records go into a [table](crate::table); the
//! [`Manifest`] is replaced by one that lists the table and calls the segment covered; and then the segment's file is removed.
//! Tables are merged, so that there are never many. A start reads the tables and the log behind what is covered.
//!
//! Whatever interrupts this, and whenever: either the old manifest holds, and a table that it does not list is removed by the next
//! start, or the new one holds, and what it calls covered is. Nothing is removed before the manifest that makes it needless is
//! durable.
//!
//! What is stored is read again, step by step, so that damage is found while there is a copy of it elsewhere. A damaged table
//! is not merged any more: what is sound in it stays where it is, and what is not goes nowhere.

mod damage;
mod error;
mod facts;
mod give_up;
mod hold;
mod making;
mod manifest;
mod open_tables;
mod scrub;
mod storage;
mod table_set;
#[cfg(test)]
mod tests;
mod upkeep;

pub use damage::DamagedPlace;
pub use error::{StoreError, UpkeepError};
pub use facts::{ScrubSnapshot, UpkeepFacts, UpkeepSnapshot};
pub use give_up::{GiveUp, GiveUpError, give_up};
pub use manifest::{ListedTable, Manifest, ManifestError};
pub use open_tables::{OpenTables, ReadError, StoredClaim};
pub use scrub::{ScrubPace, Scrubbed};
pub use storage::{DirManifest, ManifestStorage, MemoryManifest, ReplaceError};
pub use table_set::{StoredSearch, TableSet, TablesInForce};
pub use upkeep::{Needless, STEP_BYTES, Store, Upkeep, UpkeepConfig, Worked};
