//! On which file system a path is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A mounted file system, as in `/proc/self/mountinfo` (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its type, for example `ext4`.
    pub file_system: String,
    /// What is mounted there, for example `/dev/nvme0n1p2`.
    pub source: String,
    /// The mount's own options, for example `rw,relatime`.
    pub options: String,
}

/// The mount that an existing path is on.
///
/// # Errors
///
/// When the path does not exist, or proc(5) is not mounted.
pub fn mount_of(path: &Path) -> io::Result<Mount> {
    let path = fs::canonicalize(path)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    find(&path, &mounts).ok_or_else(|| {
        io::Error::other(format!("no mount in /proc/self/mountinfo contains {}", path.display()))
    })
}

/// The mount whose mount point is the longest prefix of `path`; of two on the same point the later hides the earlier.
fn find(path: &Path, mounts: &str) -> Option<Mount> {
    mounts
        .lines()
        .filter_map(parse)
        .filter(|mount| path.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.components().count())
}

/// One line: number, parent, device, root, mount point, options, optional fields, `-`, type, source, more options.
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(4);
    let (mount_point, options) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (file_system, source) = (after.next()?, after.next()?);
    Some(Mount {
        mount_point: PathBuf::from(unescape(mount_point)),
        file_system: file_system.to_owned(),
        source: unescape(source),
        options: options.to_owned(),
    })
}

/// Blanks, line ends and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:25 / /data rw,noatime - tmpfs tmpfs rw,size=64k
31 22 259:3 / /data rw,noatime shared:9 master:2 - xfs /dev/nvme1n1 rw,attr2
32 22 0:44 /sub /srv/with\\040blank rw - btrfs /dev/sdb rw
";

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let of = |path: &str| {
            let mount = find(Path::new(path), MOUNTS).expect("the root is mounted");
            (mount.file_system, mount.source)
        };
        assert_eq!(of("/data/wal"), ("xfs".to_owned(), "/dev/nvme1n1".to_owned()));
        assert_eq!(of("/database"), ("ext4".to_owned(), "/dev/root".to_owned()));
        assert_eq!(of("/srv/with blank/x"), ("btrfs".to_owned(), "/dev/sdb".to_owned()));
        assert_eq!(find(Path::new("/"), MOUNTS).expect("mounted").options, "rw,relatime");
    }

    #[test]
    fn every_existing_path_is_on_a_mount() {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = mount_of(directory.path()).expect("proc(5) is mounted");
        assert!(!mount.file_system.is_empty());
        let gone = directory.path().join("missing");
        assert_eq!(mount_of(&gone).expect_err("missing").kind(), io::ErrorKind::NotFound);
    }
}
