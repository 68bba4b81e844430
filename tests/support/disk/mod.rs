//! File systems on image files, for a server's data directory to lie on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::binary;
use crate::left_behind::{self, Held, Leftover};

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4, with a journal.
    Ext4,
    /// XFS, which can share blocks between files.
    Xfs,
}

/// A file system on a loop device over a file, mounted.
///
/// The loop device reads and writes the file past the page cache, and passes a flush on as fsync(2): what is written to the
/// device is in the file, and nowhere else.
#[derive(Debug)]
pub struct Disk {
    mount_point: PathBuf,
    // In this order they are undone.
    _mount: Held,
    _device: Held,
}

/// The directory of a disk's image and mount point. It is removed at the end.
#[derive(Debug)]
pub struct Workshop {
    directory: TempDir,
}

impl FileSystem {
    /// What mkfs(8) and mount(8) call it.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }

    /// The least bytes that an image of it can have, or somewhat more.
    pub fn image_bytes_min(self) -> u64 {
        match self {
            FileSystem::Ext4 => 32 << 20,
            FileSystem::Xfs => 320 << 20,
        }
    }

    /// What makes all blocks and sectors 4 KiB large: a device over a file with shared blocks takes no smaller ones.
    fn block_options(self) -> &'static [&'static str] {
        match self {
            FileSystem::Ext4 => &["-b", "4096"],
            FileSystem::Xfs => &["-s", "size=4096"],
        }
    }

    fn mount_options(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "noatime",
            // A copy has the identity of the original, beside which it is mounted.
            FileSystem::Xfs => "noatime,nouuid",
        }
    }
}

impl Disk {
    /// Makes an image file and a file system on it, which must be possible: see [`lack`].
    pub fn make(file_system: FileSystem, image: &Path, bytes: u64, mount_point: &Path) -> Disk {
        format(file_system, image, bytes);
        Disk::mount(file_system, image, mount_point)
    }

    /// Mounts the file system on an image, as a machine does at its start: what its journal holds is replayed.
    pub fn mount(file_system: FileSystem, image: &Path, mount_point: &Path) -> Disk {
        let device = run(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(image));
        let device = PathBuf::from(device.unwrap_or_else(|error| panic!("{error}")).trim());
        let held_device = left_behind::hold(Leftover::LoopDevice(device.clone()));
        fs::create_dir_all(mount_point).unwrap_or_else(|error| panic!("{}: {error}", mount_point.display()));
        let mut mount = Command::new("mount");
        mount
            .args(["-t", file_system.name(), "-o", file_system.mount_options()])
            .arg(&device)
            .arg(mount_point);
        run(&mut mount).unwrap_or_else(|error| panic!("{error}"));
        let held_mount = left_behind::hold(Leftover::Mount(mount_point.to_owned()));
        Disk { mount_point: mount_point.to_owned(), _mount: held_mount, _device: held_device }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount_point
    }
}

impl Workshop {
    /// An empty one, on the disk of the build.
    pub fn new() -> Workshop {
        let directory = tempfile::Builder::new().prefix("disk-").tempdir_in(binary::scratch_directory());
        Workshop { directory: directory.expect("the scratch directory is writable") }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Default for Workshop {
    fn default() -> Workshop {
        Workshop::new()
    }
}

/// What this machine lacks for disks on image files, if it lacks anything.
pub fn lack() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("file systems can only be mounted by root".to_owned());
    }
    for program in ["losetup", "mount", "umount", "mkfs.ext4", "mkfs.xfs"] {
        let found = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|error| format!("{program}: {error}"))?;
    }
    let workshop = Workshop::new();
    let image = workshop.path("probe.img");
    File::create(&image).and_then(|file| file.set_len(1 << 20)).map_err(|error| error.to_string())?;
    let device = run(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(&image))?;
    drop(left_behind::hold(Leftover::LoopDevice(PathBuf::from(device.trim()))));
    Ok(())
}

/// Makes a file system on a sparse file of `bytes`.
fn format(file_system: FileSystem, image: &Path, bytes: u64) {
    let bytes = bytes.max(file_system.image_bytes_min());
    let made = File::create(image).and_then(|file| file.set_len(bytes));
    made.unwrap_or_else(|error| panic!("{}: {error}", image.display()));
    let mut format = Command::new(format!("mkfs.{}", file_system.name()));
    run(format.arg("-q").args(file_system.block_options()).arg(image))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Runs a program to its end. Gives what it printed, or what it said when it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
