//! Runs the whole server on one thread, on a seeded disk, network and clock, and checks what it promises.
//!
//! Everything above the ring is a state machine that is told what happened. Here a [`Simulation`] tells it: several
//! cores with their lanes, connections and clients, a machine that goes down at any step and comes up with another number
//! of cores, a disk that tears, loses and refuses writes and changes what it holds. Clients remember what they were told
//! and check every answer against a model; after each start all that is stored is compared with it.
//!
//! A seed says all: the same seed is the same world, event by event, which an auditor proves.

mod answers;
mod auditor;
mod calm;
mod client;
mod console;
mod copy;
mod disk;
mod lies;
mod link;
mod model;
mod network;
mod reads;
mod rude;
mod scenario;
mod schedule;
mod scrub;
mod secured;
mod server;
mod simulation;
mod snapshots;
mod start;
mod totals;
mod turn;
mod upkeep;
mod wording;

pub use console::say;
pub use simulation::{Outcome, Simulation, World};
pub use totals::Totals;
