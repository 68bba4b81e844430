//! What systemd gives to a unit: the directory that it runs in, and its settings.

use std::path::PathBuf;

use crate::admin::error::AdminError;
use crate::admin::settings;

/// A unit, as `systemctl show` tells of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// Where it runs, which its settings are relative to.
    pub(super) home: Option<PathBuf>,
    /// Its `Environment=`, but for what has blanks in it.
    environment: Vec<(String, String)>,
    /// Its `EnvironmentFile=`s.
    files: Vec<PathBuf>,
}

impl Unit {
    /// Reads what `systemctl show` has printed.
    pub(super) fn parse(shown: &str) -> Unit {
        let mut unit = Unit::default();
        for (name, value) in shown.lines().filter_map(|line| line.split_once('=')) {
            match name {
                "WorkingDirectory" => {
                    unit.home = Some(PathBuf::from(value)).filter(|home| home.is_absolute())
                }
                "Environment" => {
                    let pairs = value.split(' ').filter_map(|pair| pair.split_once('='));
                    unit.environment.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
                }
                "EnvironmentFiles" => {
                    unit.files
                        .push(value.rsplit_once(" (ignore_errors=").map_or(value, |(file, _)| file).into());
                }
                _ => {}
            }
        }
        unit
    }

    /// Its settings, or why there are none.
    pub(super) fn settings(&self) -> Settings<'_> {
        let files = self.files.iter().map(|file| settings::read(file)).collect();
        Settings { unit: self, files }
    }
}

/// What a unit is started with.
pub(super) struct Settings<'u> {
    unit: &'u Unit,
    /// By file of the unit.
    files: Vec<Result<Vec<(String, String)>, AdminError>>,
}

impl Settings<'_> {
    /// What is set for a name. What is in a file counts before `Environment=`, and the last file before the others.
    pub(super) fn of(&self, name: &str) -> Option<PathBuf> {
        let files = self.files.iter().flatten().flatten();
        let all = self.unit.environment.iter().chain(files);
        all.rev().find(|(other, _)| other == name).map(|(_, value)| PathBuf::from(value))
    }

    /// The files and what they set, each setting on a line of its own.
    pub(super) fn text(&self) -> Result<String, String> {
        if self.files.is_empty() {
            return Err("systemd knows of no file of settings (EnvironmentFile=)".to_owned());
        }
        let mut text = String::new();
        for (file, settings) in self.unit.files.iter().zip(&self.files) {
            match settings {
                Ok(settings) => {
                    text.push_str(&format!("# {}\n", file.display()));
                    for (name, value) in settings {
                        text.push_str(&format!("{name}={}\n", value.replace('\n', "\\n")));
                    }
                }
                Err(error) => text.push_str(&format!("# {error}\n")),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_unit_is_read_and_its_files_count_before_its_environment() {
        let root = tempfile::tempdir().expect("a directory");
        let (first, second) = (root.path().join("a.env"), root.path().join("b.env"));
        fs::write(&first, "STEMEDB_WAL_DIR=/first\nSTEMEDB_CORES='2\n3'\n").expect("writable");
        fs::write(&second, "STEMEDB_WAL_DIR=/second\n").expect("writable");
        let shown = format!(
            "Type=notify\nWorkingDirectory=/opt/stemedb\nEnvironment=STEMEDB_WAL_DIR=/unit STEMEDB_DB_DIR=/tables\n\
             EnvironmentFiles={} (ignore_errors=yes)\nEnvironmentFiles={} (ignore_errors=no)\n\
             EnvironmentFiles=/missing (ignore_errors=yes)\n",
            first.display(),
            second.display()
        );
        let unit = Unit::parse(&shown);
        assert_eq!(unit.home.as_deref(), Some(Path::new("/opt/stemedb")));
        let settings = unit.settings();
        assert_eq!(settings.of("STEMEDB_WAL_DIR"), Some("/second".into()));
        assert_eq!(settings.of("STEMEDB_DB_DIR"), Some("/tables".into()));
        assert_eq!(settings.of("STEMEDB_CONFIG"), None);
        let text = settings.text().expect("there are files");
        let expected = format!(
            "# {}\nSTEMEDB_WAL_DIR=/first\nSTEMEDB_CORES=2\\n3\n# {}\nSTEMEDB_WAL_DIR=/second\n# /missing: ",
            first.display(),
            second.display()
        );
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(Unit::parse("LoadState=not-found\nWorkingDirectory=\n"), Unit::default());
        assert!(Unit::default().settings().text().is_err());
    }
}
