//! Notes how a job went, for the metrics of whoever serves the data next.

use std::path::Path;
use std::time::Instant;

use crate::driver::wall_clock;
use crate::run_status::{Job, RunStatus};
use stemedb_engine::time::UnixMicros;

use super::files::Owner;

/// Notes that a run of `job` on the data below `root` has ended, and what it made unless it failed. That this cannot be noted is
/// told, and no reason to call the job itself a failure. Where there is no such data, nobody serves it.
pub(super) fn note(job: Job, root: &Path, began: Instant, size_bytes: Option<u64>) {
    if !root.is_dir() {
        return;
    }
    let noted = Owner::of(root).and_then(|owner| {
        let now = (wall_clock().0 / UnixMicros::PER_SECOND) as u64;
        let status = RunStatus::read(job, root)?.after(now, began.elapsed().as_secs_f64(), size_bytes);
        status.write(job, root)?;
        let path = job.path(root);
        for path in path.parent().into_iter().chain([&*path]) {
            owner.take(path).map_err(|error| std::io::Error::other(error.to_string()))?;
        }
        Ok(())
    });
    if let Err(error) = noted {
        eprintln!("stemedb-admin: cannot note the run in {}: {error}", job.path(root).display());
    }
}
