//! The wrapper over the kernel's io_uring, and the memory it reads and writes.

pub mod aligned;
