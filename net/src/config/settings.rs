//! The table of settings: one row a setting, read by the command line, the environment, the file and `--help`.

/// One setting of the server, as people write it.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable, `STEMEDB_…`.
    pub variable: &'static str,
    /// The command-line flag, without its two dashes. The key in the file is the same with underscores.
    pub flag: &'static str,
    /// What holds when nobody says otherwise.
    pub default: &'static str,
    /// One sentence for `--help`.
    pub help: &'static str,
}

macro_rules! settings {
    ($($name:ident: $variable:literal, $flag:literal, $default:literal, $help:literal;)*) => {
        $(#[doc = $help]
        pub const $name: Setting =
            Setting { variable: $variable, flag: $flag, default: $default, help: $help };)*
        /// Every setting, in the order in which `--help` lists them.
        pub const ALL: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    BIND_ADDR: "STEMEDB_BIND_ADDR", "bind-addr", "127.0.0.1:18180",
        "Address and port to serve HTTP on";
    WAL_DIR: "STEMEDB_WAL_DIR", "wal-dir", "data/wal",
        "Directory of the log; its file system must support O_DIRECT";
    DB_DIR: "STEMEDB_DB_DIR", "db-dir", "data/db",
        "Directory of tables and index snapshots; metadata.json is kept beside it";
    CORES: "STEMEDB_CORES", "cores", "all",
        "Cores to run: 'all' allowed CPUs, a number (the first that many), or a CPU list such as '0,2-3'";
    TLS_ENABLED: "STEMEDB_TLS_ENABLED", "tls-enabled", "false",
        "Serve TLS 1.2 and 1.3, and no plain HTTP: true or false";
    TLS_CERT: "STEMEDB_TLS_CERT", "tls-cert", "none",
        "File of the server's certificate, and of those that lead from it to one that clients know, in PEM form";
    TLS_KEY: "STEMEDB_TLS_KEY", "tls-key", "none",
        "File of the certificate's private key, in PEM form and not encrypted";
    TLS_CLIENT_CA: "STEMEDB_TLS_CLIENT_CA", "tls-client-ca", "none",
        "File of certificates in PEM form: clients must have a certificate that one of them has signed; 'none' asks clients for none";
    LOG: "STEMEDB_LOG", "log", "info",
        "Log filter: error, warn, info, debug, trace, or directives such as 'info,stemedb_net=debug'";
    SEGMENT_BYTES: "STEMEDB_SEGMENT_BYTES", "segment-bytes", "64MiB",
        "Size of a log segment, 2MiB to 1GiB, a multiple of 4KiB";
    WAL_BYTES_MAX: "STEMEDB_WAL_BYTES_MAX", "wal-bytes-max", "auto",
        "Log of all cores together that is not in tables yet, at least 6 segments a core; 'auto' is 64 segments a core; beyond that, writes get 503 until checkpoints have caught up";
    GIVE_UP_SEGMENTS: "STEMEDB_GIVE_UP_SEGMENTS", "give-up-segments", "none",
        "Segments of the log that are gone and will not come back, such as 0:12-15,1:9: a start that misses just these goes on without them, for good; it names them";
    CHECKPOINT_BYTES: "STEMEDB_CHECKPOINT_BYTES", "checkpoint-bytes", "64MiB",
        "Log that goes into one checkpoint, and memory to sort it in, 4MiB to 1GiB; a whole segment does in any case";
    ARCHIVE_HOLD_BYTES: "STEMEDB_ARCHIVE_HOLD_BYTES", "archive-hold-bytes", "4GiB",
        "Log that tables have already and that is kept until it is archived, once there is an archive, 0 to 1024GiB; beyond it the oldest is given up";
    SCRUB_BYTES_PER_SECOND: "STEMEDB_SCRUB_BYTES_PER_SECOND", "scrub-bytes-per-second", "8MiB",
        "Pace at which tables and ended segments are read again to check them, 64KiB to 1GiB a second; 0 for never";
    FRAME_BYTES_MAX: "STEMEDB_FRAME_BYTES_MAX", "frame-bytes-max", "1MiB",
        "Largest group commit, 128KiB to 1MiB, a multiple of 4KiB";
    FRAMES_IN_FLIGHT: "STEMEDB_FRAMES_IN_FLIGHT", "frames-in-flight", "2",
        "Group commits being written at once in a lane, 1 or 2";
    SPIN_US: "STEMEDB_SPIN_US", "spin-us", "100",
        "Microseconds for which a core that waits for the disk looks for work before it sleeps, 0 to 1000";
    FRAME_BUFFERS: "STEMEDB_FRAME_BUFFERS", "frame-buffers", "32",
        "Frames a core may hold that wait for the disk, 4 to 1024; beyond that, writes get 503";
    INDEX_BYTES_MAX: "STEMEDB_INDEX_BYTES_MAX", "index-bytes-max", "auto",
        "Memory for the indexes of all cores together, at least 16MiB a core; 'auto' is three quarters of the machine's memory; beyond that, writes get 503";
    CONNECTIONS_MAX: "STEMEDB_CONNECTIONS_MAX", "connections-max", "16384",
        "Open connections a core, 1 to 16384; beyond that, a new one is answered 503 and closed";
    HEAD_BYTES_MAX: "STEMEDB_HEAD_BYTES_MAX", "head-bytes-max", "16KiB",
        "Largest request head, 1KiB to 64KiB";
    BODY_BYTES_MAX: "STEMEDB_BODY_BYTES_MAX", "body-bytes-max", "1MiB",
        "Largest request body, 128KiB to 16MiB; streamed NDJSON has no limit";
    IDLE_TIMEOUT_S: "STEMEDB_IDLE_TIMEOUT_S", "idle-timeout-s", "75",
        "Seconds after which an idle connection is closed, 1 to 3600";
    HEAD_TIMEOUT_S: "STEMEDB_HEAD_TIMEOUT_S", "head-timeout-s", "10",
        "Seconds a client has to send a request head, 1 to 600";
    BODY_BYTES_PER_SECOND_MIN: "STEMEDB_BODY_BYTES_PER_SECOND_MIN", "body-bytes-per-second-min", "1KiB",
        "Slowest body a client may send, after a grace of the head timeout, 0 to 1MiB";
    SEND_TIMEOUT_S: "STEMEDB_SEND_TIMEOUT_S", "send-timeout-s", "30",
        "Seconds without progress after which a client that does not read is cut off, 1 to 600";
    TIMESTAMP_FUTURE_S_MAX: "STEMEDB_TIMESTAMP_FUTURE_S_MAX", "timestamp-future-s-max", "300",
        "Seconds by which a claim's timestamp may lie in the future, 0 to 86400";
}
