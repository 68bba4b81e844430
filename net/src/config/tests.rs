//! Goal: every source is read in its order of precedence, and every bad value is refused by name.
//! Method: `Config::load` with arguments, environments and files made for each case.

use super::*;

fn load(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, ConfigError> {
    let arguments = std::iter::once("stemedb-api").chain(arguments.iter().copied()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(arguments, environment, &[0, 1, 2, 5], 16 << 30)
}

fn served(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
    match load(arguments, environment) {
        Ok(Command::Serve(config, _)) => *config,
        other => panic!("expected a configuration, got {other:?}"),
    }
}

fn refusal(environment: &[(&str, &str)]) -> String {
    load(&[], environment).expect_err("the value is wrong").to_string()
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = served(&[], &[]);
    assert_eq!(config.bind_addr, "127.0.0.1:18180".parse().expect("a literal address"));
    assert_eq!(config.wal_dir, PathBuf::from("data/wal"));
    assert_eq!(config.db_dir, PathBuf::from("data/db"));
    assert_eq!(config.cpus, [0, 1, 2, 5]);
    assert_eq!(config.segment_bytes, 64 << 20);
    assert_eq!(config.wal_bytes_max, 64 * 4 * (64 << 20));
    assert_eq!(config.frame_bytes_max, 1 << 20);
    assert_eq!(config.frames_in_flight, 2);
    assert_eq!(config.spin, Duration::from_micros(100));
    assert_eq!(config.index_bytes_max, 12 << 30);
    assert_eq!(config.http.head_bytes_max, 16 << 10);
    assert_eq!(config.http.idle_timeout_ms, 75_000);
    assert_eq!(config.timestamp_future_us_max, 300_000_000);
}

#[test]
fn flag_wins_over_environment_over_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("stemedb.toml");
    std::fs::write(&file, "cores = 1\nsegment_bytes = \"8MiB\"\nlog = \"warn\"\n").expect("a writable file");
    let file = file.to_str().expect("a UTF-8 path");
    let config =
        served(&["--config", file, "--log", "error"], &[("STEMEDB_LOG", "debug"), ("STEMEDB_CORES", "2")]);
    assert_eq!(config.log, "error");
    assert_eq!(config.cpus, [0, 1]);
    assert_eq!(config.segment_bytes, 8 << 20);
    assert_eq!(served(&[], &[("STEMEDB_CONFIG", file)]).log, "warn");
}

#[test]
fn cores_are_all_a_number_or_a_list() {
    assert_eq!(served(&["--cores", "all"], &[]).cpus, [0, 1, 2, 5]);
    assert_eq!(served(&["--cores", "3"], &[]).cpus, [0, 1, 2]);
    assert_eq!(served(&["--cores", "5-5"], &[]).cpus, [5]);
    assert_eq!(served(&["--cores", "2,0-1"], &[]).cpus, [0, 1, 2]);
    assert_eq!(served(&["--cores", "1-5"], &[]).cpus, [1, 2, 5]);
    for wrong in ["0", "5", "", "-1", "two", "3-4", "1-0", "0,x", "4,"] {
        let message = refusal(&[("STEMEDB_CORES", wrong)]);
        assert!(message.starts_with("environment variable STEMEDB_CORES: '"), "{message}");
        assert!(message.contains("expected 'all', a number from 1 to 4"), "{message}");
    }
}

#[test]
fn each_wrong_value_names_variable_value_and_what_is_right() {
    for (variable, value, expected) in [
        ("STEMEDB_BIND_ADDR", "nowhere", "an address and a port"),
        ("STEMEDB_WAL_DIR", "", "a directory"),
        ("STEMEDB_LOG", "a=b=c", "error, warn, info"),
        ("STEMEDB_LOG", "", "error, warn, info"),
        ("STEMEDB_LOG", "info,loud", "error, warn, info"),
        ("STEMEDB_SEGMENT_BYTES", "1MiB", "a size from 2MiB to 1GiB"),
        ("STEMEDB_SEGMENT_BYTES", "64MB", "a size from 2MiB to 1GiB"),
        ("STEMEDB_SEGMENT_BYTES", "3000001", "a multiple of 4KiB"),
        ("STEMEDB_WAL_BYTES_MAX", "1535MiB", "a size from 1536MiB to"),
        ("STEMEDB_WAL_BYTES_MAX", "none", "a size from 1536MiB to"),
        ("STEMEDB_FRAME_BYTES_MAX", "2MiB", "a size from 128KiB to 1MiB"),
        ("STEMEDB_FRAMES_IN_FLIGHT", "3", "a whole number from 1 to 2"),
        ("STEMEDB_SPIN_US", "1001", "a whole number from 0 to 1000"),
        ("STEMEDB_FRAME_BUFFERS", "many", "a whole number from 4 to 1024"),
        ("STEMEDB_INDEX_BYTES_MAX", "99999999999999999999GiB", "a size from 64MiB to 1024GiB"),
        ("STEMEDB_INDEX_BYTES_MAX", "63MiB", "a size from 64MiB to 1024GiB"),
        ("STEMEDB_CONNECTIONS_MAX", "16385", "a whole number from 1 to 16384"),
        ("STEMEDB_IDLE_TIMEOUT_S", "0", "a whole number from 1 to 3600"),
        ("STEMEDB_TLS_ENABLED", "maybe", "true or false"),
    ] {
        let message = refusal(&[(variable, value)]);
        for part in [variable, &format!("'{value}'"), expected] {
            assert!(message.contains(part), "'{part}' is missing in: {message}");
        }
    }
}

#[test]
fn tls_needs_a_certificate_and_a_key() {
    let (certificate, key) = (("STEMEDB_TLS_CERT", "c.pem"), ("STEMEDB_TLS_KEY", "k.pem"));
    assert_eq!(served(&[], &[certificate, key]).tls, None, "it is not enabled");
    let enabled = ("STEMEDB_TLS_ENABLED", "true");
    let files = |client_ca| {
        let (certificate, key) = (PathBuf::from("c.pem"), PathBuf::from("k.pem"));
        Some(TlsFiles { certificate, key, client_ca })
    };
    assert_eq!(served(&[], &[enabled, certificate, key]).tls, files(None));
    let client_ca = ("STEMEDB_TLS_CLIENT_CA", "ca.pem");
    assert_eq!(
        served(&[], &[enabled, certificate, key, client_ca]).tls,
        files(Some(PathBuf::from("ca.pem")))
    );
    for (given, missing) in [(certificate, "--tls-key"), (key, "--tls-cert")] {
        let message = refusal(&[enabled, given]);
        assert!(message.contains(missing) && message.contains("since TLS is enabled"), "{message}");
    }
}

#[test]
fn unknown_names_are_noticed() {
    let Ok(Command::Serve(_, unknown)) =
        load(&[], &[("STEMEDB_COERS", "1"), ("HOME", "/"), ("STEMEDB_CA_FILE", "x")])
    else {
        panic!("an unknown variable does not stop the start")
    };
    assert_eq!(unknown, ["STEMEDB_COERS"]);
    assert!(matches!(load(&["--coers", "1"], &[]), Ok(Command::Print(_))));

    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("stemedb.toml");
    std::fs::write(&file, "coers = 1\n").expect("a writable file");
    let message = refusal(&[("STEMEDB_CONFIG", file.to_str().expect("a UTF-8 path"))]);
    assert!(message.contains("unknown key 'coers'"), "{message}");
}

#[test]
fn help_lists_every_setting_with_variable_and_default() {
    let Ok(Command::Print(help)) = load(&["--help"], &[]) else { panic!("--help prints") };
    // The help text is wrapped to the terminal: compare words, not lines.
    let help = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in settings::ALL {
        assert!(help.contains(&format!("--{}", setting.flag)), "--{} is missing", setting.flag);
        assert!(help.contains(&format!("[env: {}] [default: {}]", setting.variable, setting.default)));
    }
}

#[test]
fn the_example_file_has_every_setting_with_its_default_and_meaning() {
    let example = include_str!("../../../.env.example");
    let blocks: Vec<&str> = example.split("\n\n").collect();
    for setting in settings::ALL {
        let line = format!("#{}={}", setting.variable, setting.default);
        let block = blocks.iter().find(|block| block.lines().any(|other| other == line));
        let block = block.unwrap_or_else(|| panic!("no line {line}"));
        // A meaning may go over several lines.
        let comments = block.lines().filter_map(|line| line.strip_prefix("# "));
        assert_eq!(
            comments.collect::<Vec<_>>().join(" "),
            setting.help,
            "the comment on {}",
            setting.variable
        );
    }
    let named = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    for (name, _) in named.filter(|(name, _)| name.starts_with("STEMEDB_")) {
        let is_setting = settings::ALL.iter().any(|setting| setting.variable == name);
        assert!(
            is_setting || name == FILE_VARIABLE || OF_THE_TOOL.contains(&name),
            "there is no setting {name}"
        );
    }
}
