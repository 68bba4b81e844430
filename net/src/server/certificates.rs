//! The files of TLS: read at the start, and again when they change or somebody asks for it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use stemedb_engine::data_dir::explain_access;
use stemedb_engine::time::UnixMicros;

use super::StartError;
use super::cores::Announcer;
use crate::config::TlsFiles;
use crate::driver::{Control, wall_clock};
use crate::tls::{Credentials, CredentialsError, Part, Pem};

/// How often the files are looked at. A change counts when it is there twice in a row: a certificate and its key are
/// rarely replaced in one instant.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The largest file that is read: a chain of certificates has some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the server cannot speak TLS as it was told to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("TLS {what}: {reason}: {}{explanation}; see docs/operations/tls.md", path.display())]
    Read {
        /// Which file, and by which setting.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
        /// Whose it is, where that matters.
        explanation: String,
    },
    /// What a file holds cannot be used.
    #[error("TLS {what} {}: {problem}; see docs/operations/tls.md", path.display())]
    Unusable {
        /// Which file, and by which setting.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: CredentialsError,
    },
}

/// Reads the files, and makes of them what handshakes need.
///
/// # Errors
///
/// [`TlsError`] for the first file with which something is wrong.
pub(super) fn load(files: &TlsFiles) -> Result<(Pem, Credentials), TlsError> {
    let pem = read(files)?;
    let credentials = credentials(files, &pem)?;
    warn_of_open_key(&files.key);
    Ok((pem, credentials))
}

/// Starts the thread that reads the files again, when they change or something comes over `asked`, and tells the cores. What
/// cannot be used is not: the cores go on with what they have.
pub(super) fn watch(
    files: TlsFiles,
    in_use: Pem,
    asked: Receiver<()>,
    cores: Announcer,
) -> Result<(), StartError> {
    let mut watched = Watched { files, last: Ok(in_use), changed: None };
    let run = move || {
        loop {
            let is_asked = match asked.recv_timeout(CHECK_INTERVAL) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match watched.look(is_asked) {
                None => {}
                Some(Ok(credentials)) => {
                    // What tells the cores is on its way before the line is.
                    cores.tell(|| Control::RenewTls(credentials.clone()));
                    let until = credentials.valid_until();
                    tracing::info!(
                        "TLS certificate reloaded: new connections get the one that is valid until {until}"
                    );
                }
                Some(Err(error)) => {
                    cores.tell(|| Control::TlsRenewalFailed);
                    tracing::error!("TLS certificate not reloaded, the one in use stays: {error}");
                }
            }
        }
    };
    thread::Builder::new().name("certificates".to_owned()).spawn(run).map_err(StartError::Thread)?;
    Ok(())
}

/// The files, and what is known of them.
struct Watched {
    files: TlsFiles,
    /// What was made use of last, or refused.
    last: Result<Pem, TlsError>,
    /// What was there instead when they were looked at last.
    changed: Option<Result<Pem, TlsError>>,
}

impl Watched {
    /// Reads the files. Gives what is to be used from now on, or why that cannot be, if they have changed or somebody asks.
    fn look(&mut self, is_asked: bool) -> Option<Result<Credentials, TlsError>> {
        let found = read(&self.files);
        let is_settled = self.changed.as_ref() == Some(&found);
        let is_new = found != self.last;
        let is_due = is_asked || is_new && is_settled;
        if !is_due {
            self.changed = is_new.then_some(found);
            return None;
        }
        self.changed = None;
        let credentials = found.clone().and_then(|pem| credentials(&self.files, &pem));
        self.last = found;
        Some(credentials)
    }
}

fn credentials(files: &TlsFiles, pem: &Pem) -> Result<Credentials, TlsError> {
    let now_unix_s = wall_clock().0 / UnixMicros::PER_SECOND;
    Credentials::from_pem(pem, now_unix_s).map_err(|problem| {
        let (what, path) = match problem.part() {
            Part::Certificate => (CERTIFICATE, &files.certificate),
            Part::Key => (KEY, &files.key),
            Part::ClientCa => (CLIENT_CA, files.client_ca.as_ref().expect("only what is there is wrong")),
        };
        TlsError::Unusable { what, path: path.clone(), problem }
    })
}

const CERTIFICATE: &str = "certificate (STEMEDB_TLS_CERT)";
const KEY: &str = "key (STEMEDB_TLS_KEY)";
const CLIENT_CA: &str = "CA of clients (STEMEDB_TLS_CLIENT_CA)";

fn read(files: &TlsFiles) -> Result<Pem, TlsError> {
    let client_ca = files.client_ca.as_ref().map(|path| read_file(CLIENT_CA, path));
    Ok(Pem {
        certificate: read_file(CERTIFICATE, &files.certificate)?,
        key: read_file(KEY, &files.key)?,
        client_ca: client_ca.transpose()?,
    })
}

fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        // One byte more tells that there is more.
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("larger than 1 MiB, which no certificate or key is"));
        }
        Ok(bytes)
    };
    read().map_err(|error: io::Error| TlsError::Read {
        what,
        path: path.to_owned(),
        reason: super::error::reason(&error),
        explanation: match error.kind() {
            io::ErrorKind::PermissionDenied => format!("; {}", explain_access(path)),
            _ => String::new(),
        },
    })
}

/// A key that everybody can read is no secret, but a server that does not start helps nobody.
fn warn_of_open_key(path: &Path) {
    if let Ok(metadata) = fs::metadata(path)
        && metadata.mode() & 0o004 != 0
    {
        let mode = metadata.mode() & 0o7777;
        tracing::warn!(
            "TLS key {} can be read by every user of this machine, mode {mode:04o}: chmod o-rwx {0}",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a change of the files is taken once, when it is complete, and a bad one is refused once. Method: files that
    //! are written between looks.

    use super::*;

    fn files(directory: &Path) -> TlsFiles {
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        TlsFiles { certificate, key, client_ca: None }
    }

    fn write(files: &TlsFiles, made: &rcgen::CertifiedKey<rcgen::KeyPair>) {
        fs::write(&files.certificate, made.cert.pem()).expect("a writable directory");
        fs::write(&files.key, made.signing_key.serialize_pem()).expect("a writable directory");
    }

    fn made() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name that can be certified")
    }

    #[test]
    fn a_change_is_taken_once_and_when_it_is_complete() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = files(directory.path());
        let (first, second) = (made(), made());
        write(&files, &first);
        let (in_use, _) = load(&files).expect("a certificate and its key");
        let mut watched = Watched { files: files.clone(), last: Ok(in_use), changed: None };
        assert!(watched.look(false).is_none(), "nothing has changed");

        fs::write(&files.certificate, second.cert.pem()).expect("writable");
        assert!(watched.look(false).is_none(), "the key may be on its way");
        fs::write(&files.key, second.signing_key.serialize_pem()).expect("writable");
        assert!(watched.look(false).is_none(), "something else may be on its way");
        assert!(matches!(watched.look(false), Some(Ok(_))));
        assert!(watched.look(false).is_none() && watched.look(false).is_none(), "it was taken");
        assert!(matches!(watched.look(true), Some(Ok(_))), "whoever asks is told");
    }

    #[test]
    fn a_bad_change_is_refused_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = files(directory.path());
        write(&files, &made());
        let (in_use, _) = load(&files).expect("a certificate and its key");
        let mut watched = Watched { files: files.clone(), last: Ok(in_use), changed: None };
        fs::write(&files.key, made().signing_key.serialize_pem()).expect("writable");
        assert!(watched.look(false).is_none());
        let Some(Err(error)) = watched.look(false) else { panic!("the key is that of another certificate") };
        assert!(error.to_string().contains("key values mismatch"), "{error}");
        assert!(watched.look(false).is_none() && watched.look(false).is_none());

        fs::remove_file(&files.key).expect("it is there");
        assert!(watched.look(false).is_none());
        let Some(Err(error)) = watched.look(false) else { panic!("the key is gone") };
        let missing = format!("No such file or directory: {}", files.key.display());
        assert!(error.to_string().contains(&missing), "{error}");
        write(&files, &made());
        assert!(matches!(watched.look(true), Some(Ok(_))));
    }

    #[test]
    fn files_have_a_size() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("large");
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize]).expect("writable");
        assert!(read_file(KEY, &path).is_ok());
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).expect("writable");
        assert!(read_file(KEY, &path).expect_err("too large").to_string().contains("larger than 1 MiB"));
    }
}
