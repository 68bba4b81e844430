//! Where backups and archived segments are kept: a directory, or a bucket of an S3-compatible store. Objects have keys such as
//! `wal/2026/01/30/wal_20260130_020000.tar.zst`, and each has a JSON beside it, written after it: without that it is none.

mod local;
mod s3;

use std::env;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use stemedb_engine::time::UnixMicros;

use self::local::LocalStore;
use self::s3::S3Store;
use super::data::is_url;
use super::error::AdminError;
use super::files::make_directory;
use super::moment;

/// Which store a command works with.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StoreOptions {
    /// A directory, or s3://BUCKET [default: the bucket that BACKUP_BUCKET names, else the directory `archive`]
    #[arg(long, value_name = "DIR|URL")]
    store: Option<String>,
}

/// A store.
pub(super) enum Store {
    Local(LocalStore),
    S3(Box<S3Store>),
}

/// An object on its way into a store: it is there when it is finished, whole, and not before.
pub(super) trait Upload: Write {
    /// Makes the object be there.
    fn finish(self: Box<Self>) -> Result<(), AdminError>;
}

impl StoreOptions {
    /// The store in a directory.
    #[cfg(test)]
    pub(super) fn at(directory: &std::path::Path) -> StoreOptions {
        StoreOptions { store: Some(directory.to_str().expect("it is text").to_owned()) }
    }

    /// Whether somebody has named a store, here or in the environment.
    pub(super) fn is_named(&self) -> bool {
        self.store.is_some() || bucket_of_environment().is_some()
    }

    /// Whether somebody has typed which store.
    pub(super) fn is_given(&self) -> bool {
        self.store.is_some()
    }

    /// The store, which may have to be made.
    pub(super) fn open(&self) -> Result<Store, AdminError> {
        match self.place()? {
            Place::Directory(directory) => {
                make_directory(&directory, 0o755)?;
                Ok(Store::Local(LocalStore::new(directory)))
            }
            Place::Bucket(bucket) => Ok(Store::S3(Box::new(S3Store::from_environment(&bucket)?))),
        }
    }

    /// The store, from which something is to be read: a directory must be there.
    pub(super) fn open_to_read(&self) -> Result<Store, AdminError> {
        match self.place()? {
            Place::Directory(directory) if !directory.is_dir() => Err(AdminError::Failed(format!(
                "the store {} is no directory that is there; --store says where it is, and a disk must be mounted",
                directory.display()
            ))),
            Place::Directory(directory) => Ok(Store::Local(LocalStore::new(directory))),
            Place::Bucket(_) => self.open(),
        }
    }

    /// The directory, if the store is one.
    pub(super) fn directory(&self) -> Result<Option<PathBuf>, AdminError> {
        Ok(match self.place()? {
            Place::Directory(directory) => Some(directory),
            Place::Bucket(_) => None,
        })
    }

    fn place(&self) -> Result<Place, AdminError> {
        match (&self.store, bucket_of_environment()) {
            (Some(name), _) => Place::parse(name),
            (None, Some(bucket)) => Place::bucket("BACKUP_BUCKET", &bucket),
            (None, None) => Ok(Place::Directory("archive".into())),
        }
    }
}

/// Where a store is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Directory(PathBuf),
    Bucket(String),
}

impl Place {
    fn parse(name: &str) -> Result<Place, AdminError> {
        let wrong = |reason: &str| {
            Err(AdminError::Usage(format!(
                "--store `{name}`: {reason}; a store is a directory, or s3://BUCKET"
            )))
        };
        if let Some(bucket) = name.strip_prefix("s3://") {
            return Place::bucket("--store s3://BUCKET:", bucket.trim_end_matches('/'));
        }
        match name {
            "" => wrong("the name is empty"),
            _ if is_url(name) => wrong("this kind of URL is not known"),
            _ => Ok(Place::Directory(name.into())),
        }
    }

    /// The bucket of this name, which was given as `what`. Stores differ in what they allow; this is what any of them does.
    fn bucket(what: &str, name: &str) -> Result<Place, AdminError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if (3..=255).contains(&name.len()) && name.bytes().all(is_allowed) {
            return Ok(Place::Bucket(name.to_owned()));
        }
        Err(AdminError::Usage(format!(
            "{what} {name:?} is no name of a bucket: expected three letters, digits, dots, hyphens or underscores at least, and no path \
             behind it"
        )))
    }
}

/// The bucket that the environment names. An empty name is none.
fn bucket_of_environment() -> Option<String> {
    env::var("BACKUP_BUCKET").ok().filter(|bucket| !bucket.is_empty())
}

impl Store {
    /// What it is, for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Store::Local(local) => local.name(),
            Store::S3(s3) => s3.name(),
        }
    }

    /// The keys that begin with `prefix`, sorted.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>, AdminError> {
        let mut keys = match self {
            Store::Local(local) => local.list(prefix)?,
            Store::S3(s3) => s3.list(prefix)?,
        };
        keys.sort_unstable();
        Ok(keys)
    }

    /// Begins to read an object.
    pub(super) fn read(&self, key: &str) -> Result<Box<dyn Read + '_>, AdminError> {
        match self {
            Store::Local(local) => local.read(key),
            Store::S3(s3) => s3.read(key),
        }
    }

    /// Begins to write an object.
    pub(super) fn write(&self, key: &str) -> Result<Box<dyn Upload + '_>, AdminError> {
        match self {
            Store::Local(local) => local.write(key),
            Store::S3(s3) => Ok(s3.write(key)),
        }
    }

    /// Reads a small object.
    pub(super) fn text(&self, key: &str) -> Result<String, AdminError> {
        let mut text = String::new();
        let read = self.read(key)?.read_to_string(&mut text);
        read.map_err(|error| failed(&self.name(), key, &error.to_string()))?;
        Ok(text)
    }

    /// Writes a small object.
    pub(super) fn put(&self, key: &str, text: &str) -> Result<(), AdminError> {
        let mut upload = self.write(key)?;
        upload.write_all(text.as_bytes()).map_err(|error| failed(&self.name(), key, &error.to_string()))?;
        upload.finish()
    }
}

/// The key of an object that was begun at this second, `20260130_020000`, without its ending.
pub(super) fn key(kind: &str, time: &str) -> String {
    format!("{kind}/{}/{}/{}/{kind}_{time}", &time[..4], &time[4..6], &time[6..8])
}

/// The second that a key of this kind, with whatever ending, says that its object was begun at.
pub(super) fn time_of(kind: &str, key: &str) -> Option<UnixMicros> {
    let (_, name) = key.rsplit_once('/')?;
    let (time, _) = name.strip_prefix(kind)?.strip_prefix('_')?.split_once('.')?;
    let part = |from: usize, to: usize| time.get(from..to);
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let text = format!("{date} {}:{}:{}", part(9, 11)?, part(11, 13)?, part(13, 15)?);
    moment::parse(&text).ok().filter(|&parsed| moment::compact(parsed, '_') == time)
}

/// The error for something that a store did not do.
pub(super) fn failed(store: &str, key: &str, reason: &str) -> AdminError {
    AdminError::Failed(format!("{key} in {store}: {reason}"))
}

/// Passes on what is written or read, and knows its checksum.
pub(super) struct Hashed<I> {
    pub(super) inner: I,
    hasher: Sha256,
    bytes: u64,
}

impl<I> Hashed<I> {
    pub(super) fn new(inner: I) -> Hashed<I> {
        Hashed { inner, hasher: Sha256::new(), bytes: 0 }
    }

    /// What it passes on to, the bytes that went through, and their SHA-256.
    pub(super) fn into_parts(self) -> (I, u64, String) {
        (self.inner, self.bytes, hex::encode(self.hasher.finalize()))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_directory_or_a_bucket_and_nothing_else() {
        for directory in ["archive", "/mnt/archive", "./s3", "a:b", "/mnt/a:/b"] {
            assert_eq!(Place::parse(directory).expect("a directory"), Place::Directory(directory.into()));
        }
        assert_eq!(Place::parse("s3://a-b.c/").expect("a bucket"), Place::Bucket("a-b.c".to_owned()));
        for wrong in [
            "",
            "s3://",
            "s3:///",
            "s3://ab",
            "s3://bucket/path",
            "s3://bücher",
            "s3:/b",
            "http://x/y",
            "file:///mnt",
        ] {
            assert!(matches!(Place::parse(wrong), Err(AdminError::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn keys_tell_when_their_objects_were_begun() {
        let time = UnixMicros(1_769_610_600_000_000);
        let object = key("wal", &moment::compact(time, '_'));
        assert_eq!(object, "wal/2026/01/28/wal_20260128_143000");
        for ending in [".json", ".tar.zst"] {
            assert_eq!(time_of("wal", &format!("{object}{ending}")), Some(time));
        }
        for other in
            ["", "wal", "wal_20260128_143000.json", "a/full_20260128_143000.json", "a/wal_20260128_143000"]
        {
            assert_eq!(time_of("wal", other), None, "{other}");
        }
        for wrong in [
            "20260128",
            "20260230_143000",
            "20260128-143000",
            "20260128_1430001",
            "2026012814:3000",
            "2026é128_143000",
        ] {
            assert_eq!(time_of("wal", &format!("a/wal_{wrong}.json")), None, "{wrong}");
        }
    }
}
