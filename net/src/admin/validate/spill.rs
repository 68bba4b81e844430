//! The claims that tables and log hold, sorted by their paths, on disk: so that any number of them can be compared in bounded memory.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use stemedb_engine::claim::ClaimHash;
use stemedb_engine::slot::{SLOTS, Slot};

use crate::admin::error::AdminError;

/// About how many claims are in memory at once.
const CLAIMS_A_PART: u64 = 250_000;

/// The most parts: each is an open file with a buffer.
const PARTS_MAX: u64 = 256;

/// A stored claim, as far as it is compared. Sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) path: String,
    pub(super) hash: ClaimHash,
    /// The file that holds it, as a number that the caller gave.
    pub(super) place: u32,
}

/// Claims in files of a directory of its own, which is removed at the end. All of one path are in one file.
pub(super) struct Spill {
    directory: PathBuf,
    parts: Vec<BufWriter<File>>,
    /// How many claims there are.
    pub(super) claims: u64,
}

impl Spill {
    /// None yet, below `parent`. About so many are `expected`.
    pub(super) fn new(parent: &Path, expected: u64) -> Result<Spill, AdminError> {
        let directory = parent.join(format!(".validating-{}", std::process::id()));
        let failed = |source| AdminError::File { path: directory.clone(), source };
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        let mut spill = Spill { directory: directory.clone(), parts: Vec::new(), claims: 0 };
        for part in 0..expected.div_ceil(CLAIMS_A_PART).clamp(1, PARTS_MAX) {
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(directory.join(part.to_string()));
            spill.parts.push(BufWriter::new(file.map_err(failed)?));
        }
        Ok(spill)
    }

    /// Adds a claim.
    pub(super) fn add(&mut self, path: &str, hash: ClaimHash, place: u32) -> io::Result<()> {
        let slot = usize::from(Slot::of(path.as_bytes()).number());
        let at = slot * self.parts.len() / usize::from(SLOTS);
        let part = &mut self.parts[at];
        self.claims += 1;
        part.write_all(&hash.0)?;
        part.write_all(&place.to_le_bytes())?;
        part.write_all(&(path.len() as u32).to_le_bytes())?;
        part.write_all(path.as_bytes())
    }

    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The claims of a part, sorted.
    pub(super) fn part(&mut self, number: usize) -> Result<Vec<Claim>, AdminError> {
        let path = self.directory.join(number.to_string());
        let part = &mut self.parts[number];
        let mut read = || {
            part.flush()?;
            read_all(&path)
        };
        let mut claims = read().map_err(|source| AdminError::File { path: path.clone(), source })?;
        claims.sort_unstable();
        Ok(claims)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // It has a name of its own, and is in nobody's way.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn read_all(path: &Path) -> io::Result<Vec<Claim>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut claims = Vec::new();
    loop {
        let mut hash = [0; ClaimHash::BYTES];
        match file.read_exact(&mut hash) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(claims),
            read => read?,
        }
        let (mut place, mut bytes) = ([0; 4], [0; 4]);
        file.read_exact(&mut place)?;
        file.read_exact(&mut bytes)?;
        let mut path = vec![0; u32::from_le_bytes(bytes) as usize];
        file.read_exact(&mut path)?;
        let path = String::from_utf8(path).map_err(io::Error::other)?;
        claims.push(Claim { path, hash: ClaimHash(hash), place: u32::from_le_bytes(place) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what goes in comes out, all claims of a path together, and nothing is left behind. Method: some hundred claims in several parts.
    #[test]
    fn claims_come_back_by_path() {
        let root = tempfile::tempdir().expect("a directory");
        let mut spill = Spill::new(root.path(), 3 * CLAIMS_A_PART).expect("writable");
        for number in 0..500_u32 {
            let hash = ClaimHash::of_canonical(&number.to_le_bytes());
            spill.add(&format!("path/{}", number % 50), hash, number).expect("writable");
        }
        assert_eq!((spill.parts(), spill.claims), (3, 500));
        let mut paths = Vec::new();
        let mut places = Vec::new();
        for part in 0..spill.parts() {
            let claims = spill.part(part).expect("readable");
            for group in claims.chunk_by(|one, next| one.path == next.path) {
                assert_eq!(group.len(), 10, "{}", group[0].path);
                paths.push(group[0].path.clone());
                places.extend(group.iter().map(|claim| claim.place));
            }
        }
        paths.sort_unstable();
        paths.dedup();
        places.sort_unstable();
        assert_eq!(paths.len(), 50);
        assert!(places.into_iter().eq(0..500));
        drop(spill);
        assert_eq!(fs::read_dir(root.path()).expect("readable").count(), 0);
    }
}
