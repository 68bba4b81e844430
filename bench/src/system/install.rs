//! Installing peers from Debian's packages.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use thiserror::Error;

/// Debian asks this program whether a service may be started, also while a package is installed; 101 says no.
/// See invoke-rc.d(8).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Why packages could not be installed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// Only root may.
    #[error("--install needs root")]
    NotRoot,
    /// There is no apt.
    #[error("--install needs apt-get: {0}")]
    NoApt(std::io::Error),
    /// apt failed.
    #[error("apt-get {0} failed")]
    Failed(&'static str),
    /// The policy that keeps services from starting could not be written.
    #[error("{POLICY}: {0}")]
    Policy(std::io::Error),
}

/// Installs packages, without starting the services that they bring.
pub struct Installer {
    _policy: NoServices,
}

impl Installer {
    /// Fetches the lists of packages.
    ///
    /// # Errors
    ///
    /// When this is not root on a machine with apt, or apt fails.
    pub fn begin() -> Result<Installer, InstallError> {
        if !rustix::process::geteuid().is_root() {
            return Err(InstallError::NotRoot);
        }
        let policy = NoServices::begin().map_err(InstallError::Policy)?;
        apt("update", &[])?;
        Ok(Installer { _policy: policy })
    }

    /// Installs packages.
    ///
    /// # Errors
    ///
    /// When apt fails: there is no such package, perhaps.
    pub fn install(&self, packages: &[&str]) -> Result<(), InstallError> {
        apt("install", &[&["--yes", "--no-install-recommends"], packages].concat())
    }
}

fn apt(verb: &'static str, arguments: &[&str]) -> Result<(), InstallError> {
    let mut command = Command::new("apt-get");
    command.arg(verb).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.status().map_err(InstallError::NoApt)?;
    if status.success() { Ok(()) } else { Err(InstallError::Failed(verb)) }
}

/// Keeps services from starting until it is dropped, unless the machine has a policy of its own.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn begin() -> std::io::Result<NoServices> {
        if Path::new(POLICY).exists() {
            return Ok(NoServices { is_ours: false });
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY)?;
        file.write_all(b"#!/bin/sh\nexit 101\n")?;
        Ok(NoServices { is_ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours && fs::remove_file(POLICY).is_err() {
            eprintln!("{POLICY} could not be removed: it keeps services from starting");
        }
    }
}
