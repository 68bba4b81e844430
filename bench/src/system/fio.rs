//! fio: the floor. One durable write after the other, to a file whose blocks were written before.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::experiment::{Experiment, Measurement, Quantity};
use super::{Name, Record, Site, System, SystemError, first_line, missing_program};
use crate::process::Program;

/// The file that is written over and over.
const FILE_BYTES: usize = 64 << 20;

/// How much longer than it is told to a run may take.
const SLACK: Duration = Duration::from_secs(60);

/// `fio`.
#[derive(Debug)]
pub(super) struct Fio;

impl System for Fio {
    fn name(&self) -> Name {
        Name::Fio
    }

    fn packages(&self) -> &'static [&'static str] {
        &["fio"]
    }

    fn missing(&self) -> Option<String> {
        missing_program("fio")
    }

    fn version(&self) -> String {
        first_line("fio", &["--version"])
    }

    fn caveats(&self) -> Vec<String> {
        vec![
            "fio: psync, O_DIRECT and O_DSYNC, one write at a time, sequential, over blocks that were written before. \
             StemeDB may have two writes in flight."
                .to_owned(),
        ]
    }

    fn measure(&self, site: &Site, record: &mut Record<'_>) -> Result<(), SystemError> {
        let directory = site.directory()?;
        let file = directory.path().join("written");
        write_zeros(&file).map_err(SystemError::io("the file that fio writes to"))?;
        for kib in [4, 64] {
            record.take(Experiment::DiskWrite(kib), || write_durably(site, directory.path(), &file, kib))?;
        }
        Ok(())
    }
}

fn write_zeros(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let piece = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES / piece.len() {
        file.write_all(&piece)?;
    }
    file.sync_all()
}

fn write_durably(site: &Site, directory: &Path, file: &Path, kib: u32) -> Result<Measurement, SystemError> {
    let seconds = site.duration.as_secs_f64();
    let output = Program::new("fio", directory, Site::server_cpus())
        .args([
            "--name=durable",
            "--rw=write",
            "--ioengine=psync",
            "--direct=1",
            "--sync=dsync",
            "--time_based",
        ])
        .args([format!("--filename={}", file.display()), format!("--size={FILE_BYTES}")])
        .args([format!("--bs={kib}k"), format!("--runtime={}ms", (seconds * 1e3) as u64)])
        .args(["--output-format=json"])
        .run(site.duration + SLACK)?;
    read_report(&output).ok_or_else(|| SystemError::Wrong(format!("fio's report cannot be read: {output}")))
}

/// The part of fio's report that says how fast it wrote.
#[derive(Deserialize)]
struct Report {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    write: Writes,
}

#[derive(Deserialize)]
struct Writes {
    iops: f64,
    bw_bytes: f64,
    clat_ns: Latency,
}

#[derive(Deserialize)]
struct Latency {
    percentile: std::collections::BTreeMap<String, f64>,
}

fn read_report(output: &str) -> Option<Measurement> {
    // Notes may stand before it.
    let report: Report = serde_json::from_str(&output[output.find('{')?..]).ok()?;
    let written = &report.jobs.first()?.write;
    let us_at = |percentile: &str| written.clat_ns.percentile.get(percentile).map(|ns| ns / 1e3);
    Some(
        Measurement::default()
            .with(Quantity::PerSecond, written.iops)
            .with(Quantity::DiskBytesPerSecond, written.bw_bytes)
            .with(Quantity::P50Us, us_at("50.000000")?)
            .with(Quantity::P99Us, us_at("99.000000")?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let output = r#"fio: a note
            {"fio version":"fio-3.33","jobs":[{"jobname":"durable","error":0,"write":{"io_bytes":1,"bw_bytes":20480000,
            "bw":20000,"iops":5000.5,"clat_ns":{"min":1,"percentile":{"50.000000":189440,"99.000000":330000}}}}]}"#;
        let measurement = read_report(output).expect("it is sound");
        assert_eq!(measurement.value(Quantity::PerSecond), Some(5000.5));
        assert_eq!(measurement.value(Quantity::DiskBytesPerSecond), Some(20_480_000.0));
        assert_eq!(measurement.value(Quantity::P50Us), Some(189.44));
        assert_eq!(measurement.value(Quantity::P99Us), Some(330.0));
        assert_eq!(read_report("fio: failed"), None);
    }
}
