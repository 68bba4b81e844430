//! The files of a lane's segments.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use stemedb_engine::background::{Background, PrepareSegment};
use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::ring::{Descriptor, Waker};
use stemedb_engine::slot::LaneId;
