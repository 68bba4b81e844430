//! The StemeDB storage engine: everything below HTTP.
//!
//! Claims that contradict each other are kept side by side, durably, and resolved when they are read.
//! All of it above the `ring` is plain state machines that are told what happened and answer with what
//! they want done; they have no clock, no randomness, no file and no socket of their own.

pub mod background;
pub mod checkpoint;
pub mod claim;
pub mod data_dir;
mod direct_file;
pub mod index;
pub mod lens;
pub mod log;
pub mod order;
pub mod planted;
mod prefetch;
pub mod query;
#[cfg(test)]
mod random_cases;
pub mod removal;
pub mod ring;
pub mod shard;
pub mod shortage;
pub mod slot;
pub mod snapshots;
pub mod table;
pub mod time;
pub mod unfinished_file;
