//! The programs under test: started on CPUs of their own, in a directory of their own, watched through `/proc`, and ended
//! whatever happens. Nothing here knows what they are.

mod address;
mod directory;
mod error;
mod program;
mod registry;
mod running;
mod tree;

pub use address::{accepts, free_address};
pub use directory::Directory;
pub use error::ProcessError;
pub use program::{Account, Program};
pub use registry::end_all_at_signals;
pub use running::Running;
pub use rustix::process::Signal;
