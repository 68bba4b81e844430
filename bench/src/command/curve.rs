//! `stemedb-bench curve`: latency against rate, up to the knee.

mod console;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stemedb_bench::chart::Unit;
use stemedb_bench::curve::{
    Ascended, Ascent, Bench, Curve, Drive, LatencyLimit, Objective, Plan, Setup, Source,
};
use stemedb_bench::load;
use stemedb_bench::machine;
use stemedb_bench::process;
use stemedb_bench::report::Report;
use stemedb_bench::workload::{RunId, Workload};
use stemedb_engine::ring::CpuSet;

use self::console::Console;

/// Examples and what the figures mean, below the options.
const EXAMPLES: &str = "\
Examples:
  stemedb-bench curve
      a fresh server on CPU 0 for each rate, load from CPU 1; the report is rate-latency/rate-latency.html
  stemedb-bench curve --slo p99.9=20ms --out nightly
      the knee is where one of a thousand claims takes longer than 20 ms
  stemedb-bench curve --connections 256 --duration-s 10 --tries 5
      more connections, measured longer: steadier figures, and time for a coffee
  stemedb-bench curve --address 10.0.0.7:18180
      a server that runs already; what it uses of its machine is then not known

How it works: a short run without pauses shows roughly what the server can do. Then so many claims are due each
second, whatever the server does (open loop), in steps of a tenth of that, until the objective breaks; the gap to the
last good rate is halved a few times, and half of the knee's rate is measured, too. Latencies count from when a claim was
due, so that a stall shows in all that it delayed. Each rate is tried several times and judged by its medians: one
disturbance of the machine does not break a step. Every answer is checked, and so is the server's count of claims.

Read the cautions at the end: they say when the figures are of the load generator rather than of the server.";

/// Raise the rate until the latency breaks the objective, and draw the way there
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where the server listens; without it, one is started anew for each rate
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["server", "server_cpus", "dir"])]
    address: Option<SocketAddr>,
    /// The server to start; by default the stemedb-api that lies beside this program
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// The CPUs that the server is bound to, each with a core
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', default_value = "0",
        value_parser = clap::value_parser!(u16).range(0..1024))]
    server_cpus: Vec<u16>,
    /// Where the server's data goes meanwhile: a directory on a real disk
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/tmp")]
    dir: PathBuf,
    /// The CPU that the load generator keeps to; 1 where the server is started here
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(0..1024))]
    cpu: Option<u16>,
    /// How many connections there are
    #[arg(long, value_name = "NUMBER", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=load::CONNECTIONS_MAX as i64))]
    connections: u32,
    /// How many requests a connection may have unanswered
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    depth: u32,
    /// The size of a claim's JSON text
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload_bytes: usize,
    /// The latency that must hold: one of p50, p90, p99, p99.9 and max, and a duration
    #[arg(long, value_name = "LATENCY=DURATION", default_value = "p99=5ms")]
    slo: LatencyLimit,
    /// How much of each rate must be achieved, in percent
    #[arg(long, value_name = "PERCENT", default_value = "99", value_parser = percent)]
    slo_achieved_percent: f64,
    /// How much greater each rate is than the one before, in percent of what the run without pauses showed
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent)]
    step_percent: f64,
    /// How many rates are tried at most before one breaks the objective
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    climbs_max: u32,
    /// How often the gap at the knee is halved
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=16))]
    bisections: u32,
    /// How often each rate is tried
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    tries: u32,
    /// How long load runs before it is measured, in each try
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = super::seconds)]
    warm_up_s: Duration,
    /// How long it is measured, in each try
    #[arg(long, value_name = "SECONDS", default_value = "4", value_parser = super::positive_seconds)]
    duration_s: Duration,
    /// Where the report goes: rate-latency.html, .svg and .json
    #[arg(long, value_name = "DIRECTORY", default_value = "rate-latency")]
    out: PathBuf,
    /// Tell the figures as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    process::end_all_at_signals()?;
    let (source, drive) = (arguments.source()?, arguments.drive()?);
    if let Some(cpu) = arguments.generator_cpu() {
        CpuSet::from_iter([cpu])
            .bind_current_thread()
            .map_err(|error| format!("--cpu {cpu}: the generator cannot keep to this CPU: {error}"))?;
    }
    let began = machine::utc_now();
    let mut bench = Bench::new(source, drive);
    let version = bench.version()?;
    let probe_per_s = bench.probe_per_s()?;
    let ascent = arguments.ascent(probe_per_s);
    let console = Console::new(arguments, &ascent, probe_per_s);
    let Ascended { knee, steps } = ascent.run(
        |attempt| {
            console.trying(&attempt);
            bench.measure(attempt.target_per_s, attempt.index == 0)
        },
        |step| console.done(step),
    )?;
    drop(bench);
    let setup = arguments.setup(began, &version);
    let curve = Curve { setup, objective: ascent.objective, probe_per_s, knee, steps };
    let report = Report::write(&curve, &arguments.out)?;
    console.end(&curve, &report)
}

impl Arguments {
    fn source(&self) -> Result<Source, Box<dyn Error>> {
        if let Some(address) = self.address {
            return Ok(Source::Running(address));
        }
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("stemedb-api"));
        let program = std::path::absolute(self.server.clone().map_or_else(beside, Ok)?)?;
        if !program.is_file() {
            let build = "cargo build --release --bin stemedb-api";
            return Err(format!("there is no {}: build it with `{build}`", program.display()).into());
        }
        let cpus = CpuSet::from_iter(self.server_cpus.iter().copied());
        Ok(Source::Fresh { program, cpus, parent: self.dir.clone() })
    }

    fn drive(&self) -> Result<Drive, Box<dyn Error>> {
        let workload = Workload { claim_bytes: self.payload_bytes, ..Workload::new(RunId::unique()) };
        workload.check()?;
        Ok(Drive {
            workload,
            connections: self.connections,
            depth: self.depth,
            warm_up: self.warm_up_s,
            duration: self.duration_s,
        })
    }

    fn ascent(&self, probe_per_s: f64) -> Ascent {
        let LatencyLimit { quantile, us_max } = self.slo;
        Ascent {
            objective: Objective {
                quantile,
                latency_us_max: us_max,
                achieved_share_min: self.slo_achieved_percent / 100.0,
            },
            plan: Plan {
                step_per_s: two_digits(probe_per_s * self.step_percent / 100.0),
                climbs_max: self.climbs_max,
                bisections: self.bisections,
            },
            tries: self.tries as usize,
        }
    }

    /// Where both run on this machine, they must not be in each other's way.
    fn generator_cpu(&self) -> Option<u16> {
        self.cpu.or(self.address.is_none().then_some(1))
    }

    fn setup(&self, began: String, version: &str) -> Setup {
        let server = match self.address {
            Some(address) => format!("stemedb-api {version}, running at {address}"),
            None => {
                let cpus: Vec<_> = self.server_cpus.iter().map(u16::to_string).collect();
                format!("stemedb-api {version}, bound to CPU {}, fresh for each rate", cpus.join(", "))
            }
        };
        let cpu =
            self.generator_cpu().map_or(String::new(), |cpu| format!("; the load comes from CPU {cpu}"));
        let arguments = std::env::args().skip(1);
        Setup {
            command: std::iter::once("stemedb-bench".to_owned())
                .chain(arguments)
                .collect::<Vec<_>>()
                .join(" "),
            began,
            machine: this_machine(),
            server: server + &cpu,
            workload: format!("single claims of {} bytes, no two alike", self.payload_bytes),
            connections: self.connections as usize,
            depth: self.depth,
            tries: self.tries as usize,
            warm_up_s: self.warm_up_s.as_secs_f64(),
            duration_s: self.duration_s.as_secs_f64(),
        }
    }
}

/// The nearest number, of 1 or more, with two significant digits: rates that people can remember.
fn two_digits(rate: f64) -> f64 {
    let rate = rate.max(1.0);
    let unit = 10_f64.powi((rate.log10().floor() as i32 - 1).max(0));
    (rate / unit).round() * unit
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if number > 0.0 && number <= 100.0 {
        Ok(number)
    } else {
        Err("it is not above 0 and up to 100".to_owned())
    }
}

/// Processor, CPUs, memory and kernel.
fn this_machine() -> String {
    let memory = Unit::Bytes.label(machine::memory_bytes());
    format!("{}, {memory}, Linux {}", machine::cpus(), machine::kernel())
}
