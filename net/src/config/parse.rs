//! From the texts of settings to the typed configuration.

use std::collections::BTreeSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use stemedb_engine::log::recovery::{SegmentRange, SegmentRangeError};

use super::settings::{self, Setting};
use super::{Config, ConfigError, HttpLimits, TlsFiles, Values};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const BLOCK_BYTES: u64 = 4096;

/// The most connections a core may have: one that waits occupies an operation of the core's io_uring, one that is
/// answered two, and the ring has 32 768.
const CONNECTIONS_MAX: u64 = 16_384;

/// The least memory for a core's index. An empty one grows by chunks of which the first few need about half of it.
const INDEX_BYTES_MIN: u64 = 16 * MIB;

/// The least number of segments that a core's part of the log may have: the one that is written, the next one, what a checkpoint
/// is made of, and some that fill meanwhile.
const SEGMENTS_MIN: u64 = 6;

/// Their number where nobody says otherwise: enough for checkpoints to be late by minutes, and few enough to be read again by a start.
const SEGMENTS_USUAL: u64 = 64;

/// The slowest pace of the scrub: slower, it would not see the end of a table in a day.
const SCRUB_BYTES_PER_SECOND_MIN: u64 = 64 * KIB;

/// The configuration that `values` describe, with defaults for what they leave out.
pub(super) fn config(
    values: &Values,
    cpus_allowed: &[usize],
    memory_bytes: u64,
) -> Result<Config, ConfigError> {
    let cpus = cpus(values, cpus_allowed)?;
    let segment_bytes = blocks(values, &settings::SEGMENT_BYTES, 2 * MIB..=GIB)?;
    Ok(Config {
        bind_addr: bind_addr(values)?,
        wal_dir: directory(values, &settings::WAL_DIR)?,
        db_dir: directory(values, &settings::DB_DIR)?,
        log: log_filter(values)?,
        segment_bytes,
        wal_bytes_max: wal_bytes_max(values, segment_bytes * cpus.len() as u64)?,
        give_up_segments: give_up_segments(values)?,
        checkpoint_bytes: size(values, &settings::CHECKPOINT_BYTES, 4 * MIB..=GIB)?,
        archive_hold_bytes_max: size(values, &settings::ARCHIVE_HOLD_BYTES, 0..=1024 * GIB)?,
        scrub_bytes_per_second: match size(values, &settings::SCRUB_BYTES_PER_SECOND, 0..=GIB)? {
            1..SCRUB_BYTES_PER_SECOND_MIN => {
                return Err(invalid(
                    values,
                    &settings::SCRUB_BYTES_PER_SECOND,
                    "0 for never, or a size from 64KiB to 1GiB, such as 8MiB",
                ));
            }
            bytes => bytes,
        },
        frame_bytes_max: blocks(values, &settings::FRAME_BYTES_MAX, 128 * KIB..=MIB)? as usize,
        frames_in_flight: number(values, &settings::FRAMES_IN_FLIGHT, 1..=2)? as usize,
        spin: Duration::from_micros(number(values, &settings::SPIN_US, 0..=1000)?),
        frame_buffers: number(values, &settings::FRAME_BUFFERS, 4..=1024)? as usize,
        index_bytes_max: index_bytes_max(values, memory_bytes, cpus.len() as u64)?,
        cpus,
        connections_max: number(values, &settings::CONNECTIONS_MAX, 1..=CONNECTIONS_MAX)? as usize,
        http: HttpLimits {
            head_bytes_max: size(values, &settings::HEAD_BYTES_MAX, KIB..=64 * KIB)? as usize,
            body_bytes_max: size(values, &settings::BODY_BYTES_MAX, 128 * KIB..=16 * MIB)? as usize,
            idle_timeout_ms: 1000 * number(values, &settings::IDLE_TIMEOUT_S, 1..=3600)?,
            head_timeout_ms: 1000 * number(values, &settings::HEAD_TIMEOUT_S, 1..=600)?,
            body_bytes_per_second_min: size(values, &settings::BODY_BYTES_PER_SECOND_MIN, 0..=MIB)?,
            send_timeout_ms: 1000 * number(values, &settings::SEND_TIMEOUT_S, 1..=600)?,
        },
        timestamp_future_us_max: 1_000_000
            * number(values, &settings::TIMESTAMP_FUTURE_S_MAX, 0..=86_400)? as i64,
        tls: tls_files(values)?,
    })
}

fn tls_files(values: &Values) -> Result<Option<TlsFiles>, ConfigError> {
    match values.text(&settings::TLS_ENABLED).0 {
        "false" | "0" => return Ok(None),
        "true" | "1" => {}
        _ => return Err(invalid(values, &settings::TLS_ENABLED, "true or false")),
    }
    let file = |setting| match values.text(setting).0 {
        "" | "none" => None,
        path => Some(PathBuf::from(path)),
    };
    let needed = |setting, what| {
        file(setting).ok_or_else(|| {
            invalid(values, setting, format!("a file of {what} in PEM form, since TLS is enabled"))
        })
    };
    Ok(Some(TlsFiles {
        certificate: needed(&settings::TLS_CERT, "the server's certificate")?,
        key: needed(&settings::TLS_KEY, "its private key")?,
        client_ca: file(&settings::TLS_CLIENT_CA),
    }))
}

fn invalid(values: &Values, setting: &'static Setting, expected: impl Into<String>) -> ConfigError {
    let (value, origin) = values.text(setting);
    ConfigError::Invalid { origin: origin.to_string(), value: value.to_owned(), expected: expected.into() }
}

fn bind_addr(values: &Values) -> Result<SocketAddr, ConfigError> {
    let (text, _) = values.text(&settings::BIND_ADDR);
    text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(|| {
        invalid(values, &settings::BIND_ADDR, "an address and a port, such as 127.0.0.1:18180 or [::]:18180")
    })
}

fn directory(values: &Values, setting: &'static Setting) -> Result<PathBuf, ConfigError> {
    match values.text(setting).0 {
        "" => Err(invalid(values, setting, "a directory")),
        text => Ok(PathBuf::from(text)),
    }
}

fn log_filter(values: &Values) -> Result<String, ConfigError> {
    let (text, _) = values.text(&settings::LOG);
    // To the filter a lone word that is no level is the name of a module, and everything else falls silent.
    let is_level_or_directive = |part: &str| {
        let part = part.trim();
        part.contains(['=', '[']) || part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok()
    };
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) if !text.trim().is_empty() && text.split(',').all(is_level_or_directive) => Ok(text.to_owned()),
        _ => Err(invalid(
            values,
            &settings::LOG,
            "error, warn, info, debug, trace, or directives such as 'info,stemedb_net=debug'",
        )),
    }
}

fn cpus(values: &Values, allowed: &[usize]) -> Result<Vec<usize>, ConfigError> {
    let (text, _) = values.text(&settings::CORES);
    let expected = || {
        let allowed: Vec<String> = allowed.iter().map(usize::to_string).collect();
        format!(
            "'all', a number from 1 to {}, or a CPU list such as '0-1' of the CPUs this process may use ({})",
            allowed.len(),
            allowed.join(",")
        )
    };
    let refused = || invalid(values, &settings::CORES, expected());
    if text == "all" {
        return Ok(allowed.to_vec());
    }
    if let Ok(count) = text.parse::<usize>() {
        return if (1..=allowed.len()).contains(&count) {
            Ok(allowed[..count].to_vec())
        } else {
            Err(refused())
        };
    }
    let mut cpus = BTreeSet::new();
    for part in text.trim_end_matches(',').split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) else {
            return Err(refused());
        };
        if first > last || !allowed.contains(&first) || !allowed.contains(&last) {
            return Err(refused());
        }
        cpus.extend((first..=last).filter(|cpu| allowed.contains(cpu)));
    }
    Ok(cpus.into_iter().collect())
}

fn index_bytes_max(values: &Values, memory_bytes: u64, cores: u64) -> Result<u64, ConfigError> {
    match values.text(&settings::INDEX_BYTES_MAX).0 {
        "auto" => Ok(memory_bytes / 4 * 3),
        _ => size(values, &settings::INDEX_BYTES_MAX, cores * INDEX_BYTES_MIN..=1024 * GIB),
    }
}

/// `segments_bytes` are those of one segment of each core.
fn wal_bytes_max(values: &Values, segments_bytes: u64) -> Result<u64, ConfigError> {
    match values.text(&settings::WAL_BYTES_MAX).0 {
        "auto" => Ok(SEGMENTS_USUAL * segments_bytes),
        _ => size(values, &settings::WAL_BYTES_MAX, SEGMENTS_MIN * segments_bytes..=1 << 50),
    }
}

fn give_up_segments(values: &Values) -> Result<Vec<SegmentRange>, ConfigError> {
    match values.text(&settings::GIVE_UP_SEGMENTS).0 {
        "none" => Ok(Vec::new()),
        text => text.split(',').map(|range| range.parse()).collect::<Result<_, SegmentRangeError>>().map_err(
            |_| {
                let expected = "none, or what a refused start has named, such as 0:12-15,1:9";
                invalid(values, &settings::GIVE_UP_SEGMENTS, expected)
            },
        ),
    }
}

/// A whole number within `range`.
fn number(
    values: &Values,
    setting: &'static Setting,
    range: RangeInclusive<u64>,
) -> Result<u64, ConfigError> {
    let (text, _) = values.text(setting);
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        invalid(values, setting, format!("a whole number from {} to {}", range.start(), range.end()))
    })
}

/// A number of bytes within `range`: digits, then nothing, `KiB`, `MiB` or `GiB`.
fn size(values: &Values, setting: &'static Setting, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
    let (text, _) = values.text(setting);
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" => Some(1),
        "KiB" => Some(KIB),
        "MiB" => Some(MIB),
        "GiB" => Some(GIB),
        _ => None,
    };
    digits
        .parse::<u64>()
        .ok()
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| {
            let expected = format!(
                "a size from {} to {}, such as 64MiB",
                size_text(*range.start()),
                size_text(*range.end())
            );
            invalid(values, setting, expected)
        })
}

/// A number of bytes within `range` that is a whole number of blocks.
fn blocks(
    values: &Values,
    setting: &'static Setting,
    range: RangeInclusive<u64>,
) -> Result<u64, ConfigError> {
    let bytes = size(values, setting, range)?;
    if !bytes.is_multiple_of(BLOCK_BYTES) {
        return Err(invalid(values, setting, "a multiple of 4KiB"));
    }
    Ok(bytes)
}

fn size_text(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(GIB) => format!("{}GiB", bytes / GIB),
        _ if bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        _ if bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        _ => bytes.to_string(),
    }
}
