//! A file system whose disk fails on demand, and forgets at a power cut what was not synchronised.
//!
//! It is mounted by FUSE and lies in this process's memory, so that it is known at each moment what a program was
//! told and what the disk has. It promises as little as POSIX permits: a file's bytes are stable once fsync(2) or a write
//! with `O_DSYNC` semantics has succeeded for them, a name once its directory was synchronised. All else may be there
//! after a power cut, or not, or in part.

mod fault;
mod filesystem;
mod medium;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{BackgroundSession, Config, MountOption};

use crate::Random;
use crate::left_behind::{self, Held, Leftover};

use fault::Plan;
pub use fault::{Fault, Requests};
use filesystem::FaultyFileSystem;
use medium::Medium;

/// A disk in memory, mounted or not.
#[derive(Debug)]
pub struct FaultyDisk {
    shared: Arc<Shared>,
    mount_point: PathBuf,
    mounted: Option<Mounted>,
}

#[derive(Debug)]
struct Mounted {
    session: BackgroundSession,
    held: Held,
}

/// What the test and the file system's threads share.
#[derive(Debug)]
struct Shared {
    medium: Mutex<Medium>,
    plan: Mutex<Plan>,
}

/// Requests served at once: enough that one which is delayed holds up nobody else.
const THREADS: usize = 4;

impl FaultyDisk {
    /// An empty disk, mounted on `mount_point`, a directory that is made for it.
    pub fn mount(mount_point: &Path) -> Result<FaultyDisk, String> {
        fs::create_dir_all(mount_point).map_err(|error| format!("{}: {error}", mount_point.display()))?;
        let shared = Arc::new(Shared { medium: Mutex::new(Medium::new()), plan: Mutex::default() });
        let mut disk = FaultyDisk { shared, mount_point: mount_point.to_owned(), mounted: None };
        disk.mount_again().map_err(|error| format!("FUSE: {error}"))?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Prepares a fault, in place of any other.
    pub fn arm(&self, fault: Fault) {
        *self.plan() = Plan::of(fault);
    }

    /// Takes all faults away. Gives how many requests have met the last one.
    pub fn disarm(&self) -> u64 {
        std::mem::take(&mut *self.plan()).hits
    }

    /// How many requests have met the fault that is armed.
    pub fn hits(&self) -> u64 {
        self.plan().hits
    }

    /// Puts the power on again after [`Fault::PowerCut`], or cuts it now: of what was not synchronised, `random` decides what
    /// the disk has kept. Nobody must use the disk any more.
    pub fn restart(&mut self, random: &mut Random) {
        self.plan().cut_power();
        self.unmount();
        let kept = self.medium().after_power_cut(random);
        *self.medium() = kept;
        *self.plan() = Plan::default();
        self.mount_again().expect("it could be mounted before");
    }

    fn mount_again(&mut self) -> std::io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("faulty-disk".to_owned()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        let filesystem = FaultyFileSystem::new(Arc::clone(&self.shared));
        let session = fuser::spawn_mount(filesystem, &self.mount_point, &config)?;
        let held = left_behind::hold(Leftover::Mount(self.mount_point.clone()));
        self.mounted = Some(Mounted { session, held });
        Ok(())
    }

    fn unmount(&mut self) {
        let Some(Mounted { session, held }) = self.mounted.take() else { return };
        drop(held);
        // It ends with the last file.
        session.join().expect("the file system's threads do not panic");
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.shared.medium()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.shared.plan()
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

impl Shared {
    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.medium.lock().expect("no thread panics with the lock")
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("no thread panics with the lock")
    }
}
