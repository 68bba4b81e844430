//! The server's configuration: command line, environment and file, parsed once into a type that cannot be wrong.
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Every
//! refusal names the setting, where its value came from, the value, and what would be right.

mod parse;
pub mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use settings::Setting;
use stemedb_engine::log::recovery::SegmentRange;

/// All that `stemedb-api` can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub bind_addr: SocketAddr,
    /// The log's directory.
    pub wal_dir: PathBuf,
    /// The tables' directory.
    pub db_dir: PathBuf,
    /// The CPUs to run a core on, one core each, ascending, never empty.
    pub cpus: Vec<usize>,
    /// The log filter, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes that all segments of the log together may take before writes are refused.
    pub wal_bytes_max: u64,
    /// Segments to go on without, if they are those that are missing.
    pub give_up_segments: Vec<SegmentRange>,
    /// Bytes of the log that go into one checkpoint, and of memory to sort its records in.
    pub checkpoint_bytes: u64,
    /// Bytes of log that are kept for the archive although tables have them.
    pub archive_hold_bytes_max: u64,
    /// Bytes a second at which what is stored is read again and checked; 0 for never.
    pub scrub_bytes_per_second: u64,
    /// Bytes of the largest frame.
    pub frame_bytes_max: usize,
    /// Frames being written at once in a lane, 1 or 2.
    pub frames_in_flight: usize,
    /// How long a core that waits for the disk looks for work before it sleeps.
    pub spin: Duration,
    /// Frames a lane may hold that wait for the disk.
    pub frame_buffers: usize,
    /// Bytes that the indexes of all cores together may occupy.
    pub index_bytes_max: u64,
    /// Open connections a core.
    pub connections_max: usize,
    /// Limits of one HTTP connection.
    pub http: HttpLimits,
    /// Microseconds by which a claim's timestamp may lie in the future.
    pub timestamp_future_us_max: i64,
    /// The files of TLS, if it is spoken.
    pub tls: Option<TlsFiles>,
}

/// The files that TLS needs, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of those who sign clients' certificates, if clients must have one.
    pub client_ca: Option<PathBuf>,
}

/// Limits of one HTTP connection, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request head.
    pub head_bytes_max: usize,
    /// Bytes of a request body that is not streamed.
    pub body_bytes_max: usize,
    /// Milliseconds a connection may be idle.
    pub idle_timeout_ms: u64,
    /// Milliseconds a head may take to arrive.
    pub head_timeout_ms: u64,
    /// Bytes a second that a body must arrive at.
    pub body_bytes_per_second_min: u64,
    /// Milliseconds without progress before a client that does not read is cut off.
    pub send_timeout_ms: u64,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that does not parse or lies outside its range.
    #[error("{origin}: '{value}' is not valid: expected {expected}")]
    Invalid {
        /// Where the value came from, such as `environment variable STEMEDB_CORES`.
        origin: String,
        /// The value as given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The configuration file could not be read.
    #[error("configuration file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration file is not a flat TOML table.
    #[error("configuration file {path}: {message}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        message: String,
    },
    /// The configuration file has a key that no setting has.
    #[error("configuration file {path}: unknown key '{key}'; `stemedb-api --help` lists all settings")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
}

/// What the command line asked for.
#[derive(Debug)]
pub enum Command {
    /// Serve with this configuration. The variables are `STEMEDB_…` ones in the environment that no setting has.
    Serve(Box<Config>, Vec<String>),
    /// Print this text and leave with this exit status: `--help`, `--version`, or a wrong command line.
    Print(clap::Error),
}

impl Config {
    /// Reads the configuration from command-line arguments (the first is the program's name) and the environment.
    ///
    /// `cpus_allowed` are the CPUs this process may run on and `memory_bytes` the machine's memory.
    pub fn load(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl Iterator<Item = (OsString, OsString)>,
        cpus_allowed: &[usize],
        memory_bytes: u64,
    ) -> Result<Command, ConfigError> {
        let matches = match command_line().try_get_matches_from(arguments) {
            Ok(matches) => matches,
            Err(error) => return Ok(Command::Print(error)),
        };
        let mut values = Values::default();
        let mut unknown = Vec::new();
        let mut file = None;
        let variables: Vec<(String, OsString)> = environment
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with("STEMEDB_"))
            .collect();
        for (name, value) in &variables {
            if name == FILE_VARIABLE {
                file = Some(PathBuf::from(value));
            } else if !settings::ALL.iter().any(|setting| setting.variable == name)
                && !OF_THE_TOOL.contains(&name.as_str())
            {
                unknown.push(name.clone());
            }
        }
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            file = Some(path.clone());
        }
        if let Some(path) = file {
            values.read_file(&path)?;
        }
        for (name, value) in variables {
            if let Some(setting) = settings::ALL.iter().find(|setting| setting.variable == name) {
                values.set(setting, value.to_string_lossy().into_owned(), Origin::Variable(setting.variable));
            }
        }
        for setting in settings::ALL {
            if let Some(value) = matches.get_one::<String>(setting.flag) {
                values.set(setting, value.clone(), Origin::Flag(setting.flag));
            }
        }
        let config = parse::config(&values, cpus_allowed, memory_bytes)?;
        Ok(Command::Serve(Box::new(config), unknown))
    }
}

const FILE_VARIABLE: &str = "STEMEDB_CONFIG";

/// Variables of the operators' tool, which may be in the same environment.
const OF_THE_TOOL: [&str; 4] =
    ["STEMEDB_URL", "STEMEDB_CA_FILE", "STEMEDB_CLIENT_CERT", "STEMEDB_CLIENT_KEY"];

fn command_line() -> clap::Command {
    let mut command = clap::Command::new("stemedb-api")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves StemeDB, a durable store of contradictory claims, over HTTP")
        .after_help(
            "A flag wins over its environment variable, that over the file, that over the default.\n\
             Sizes take KiB, MiB or GiB. SIGTERM or SIGINT stops the server: what was received is answered first.\n\n\
             Examples:\n  \
             stemedb-api                                    serve on 127.0.0.1:18180, data in ./data\n  \
             STEMEDB_CORES=1 stemedb-api --log debug        one core, talkative\n  \
             stemedb-api --config /etc/stemedb/stemedb.toml",
        )
        .arg(
            clap::Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("TOML file of settings, keys as the flags with underscores [env: STEMEDB_CONFIG]"),
        );
    for setting in settings::ALL {
        command =
            command.arg(clap::Arg::new(setting.flag).long(setting.flag).value_name("VALUE").help(format!(
                "{} [env: {}] [default: {}]",
                setting.help, setting.variable, setting.default
            )));
    }
    command
}

/// The texts of all settings that somebody gave, and where each came from.
#[derive(Debug, Default)]
struct Values {
    given: BTreeMap<&'static str, (String, Origin)>,
}

#[derive(Debug, Clone)]
enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf, String),
    Default(&'static str),
}

impl Values {
    fn set(&mut self, setting: &Setting, value: String, origin: Origin) {
        self.given.insert(setting.variable, (value, origin));
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Toml {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        for (key, value) in table {
            let Some(setting) = settings::ALL.iter().find(|setting| setting.flag.replace('-', "_") == key)
            else {
                return Err(ConfigError::UnknownKey { path: path.to_owned(), key });
            };
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                other => {
                    let message = format!(
                        "key '{key}' must be a string, an integer or a boolean, got {}",
                        other.type_str()
                    );
                    return Err(ConfigError::Toml { path: path.to_owned(), message });
                }
            };
            self.set(setting, value, Origin::File(path.to_owned(), key));
        }
        Ok(())
    }

    fn text(&self, setting: &'static Setting) -> (&str, Origin) {
        match self.given.get(setting.variable) {
            Some((value, origin)) => (value, origin.clone()),
            None => (setting.default, Origin::Default(setting.flag)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "flag --{flag}"),
            Origin::Variable(name) => write!(f, "environment variable {name}"),
            Origin::File(path, key) => write!(f, "configuration file {}, key '{key}'", path.display()),
            Origin::Default(flag) => write!(f, "default of --{flag}"),
        }
    }
}

#[cfg(test)]
mod tests;
