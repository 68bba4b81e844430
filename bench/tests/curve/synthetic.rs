//! Servers that are functions.

use stemedb_bench::curve::{
    Ascended, Ascent, Attempt, Commits, Curve, Figures, Generator, Latency, Objective, Plan, Quantile,
    ServerUse, Setup, Step,
};

/// p99 ≤ 5 ms at 99 % of the rate.
pub(crate) const OBJECTIVE: Objective =
    Objective { quantile: Quantile::P99, latency_us_max: 5_000.0, achieved_share_min: 0.99 };

/// Steps of 10,000, then gaps halved down to 625.
pub(crate) const ASCENT: Ascent = Ascent {
    objective: OBJECTIVE,
    plan: Plan { step_per_s: 10_000.0, climbs_max: 20, bisections: 4 },
    tries: 3,
};

/// A server that waits longer the nearer the rate is to what it can do, and falls behind beyond that.
pub(crate) fn queueing(capacity_per_s: f64) -> impl Fn(Attempt) -> Figures {
    move |attempt| {
        let rate = attempt.target_per_s;
        let load = rate / capacity_per_s;
        let p50_us = 180.0 + 90.0 * load / (1.0 - load.min(0.985));
        let behind_us = (load - 1.0).max(0.0) * 4e6;
        let achieved_per_s = rate.min(capacity_per_s);
        let latency = Latency {
            p50_us: p50_us + behind_us * 0.5,
            p90_us: p50_us * 1.5 + behind_us * 0.9,
            p99_us: p50_us * 2.6 + behind_us * 0.99,
            p999_us: p50_us * 5.0 + 900.0 + behind_us,
            max_us: p50_us * 6.0 + 4_100.0 + 300.0 * (rate / 7_000.0).sin() + behind_us,
        };
        let write_us = 170.0 + 150.0 * load.min(1.0);
        let records = (achieved_per_s * write_us / 1e6).max(1.0);
        let commits = Commits {
            frames_per_s: achieved_per_s / records,
            records_mean: records,
            records_p50: (records * 0.9).max(1.0),
            records_p99: records * 2.2,
            write_p50_us: write_us,
            write_p99_us: write_us * 2.4,
        };
        let cpu_us_a_request = 7.5 + 14.0 / records;
        let server = ServerUse {
            cpu_share: (achieved_per_s * cpu_us_a_request / 1e6).min(1.0),
            cpu_us_a_request,
            resident_bytes: 35e6 + achieved_per_s * 15.0 * 170.0,
        };
        let generator = Generator { cpu_share: 0.04 + load * 0.6, late_p99_us: 4.0 + 30.0 * load };
        Figures { achieved_per_s, latency, commits: Some(commits), server: Some(server), generator }
    }
}

/// The same, but one try in three is ten times as slow.
pub(crate) fn disturbed(server: impl Fn(Attempt) -> Figures) -> impl Fn(Attempt) -> Figures {
    move |attempt| {
        let mut figures = server(attempt);
        // Another try each time.
        if attempt.index == (attempt.target_per_s as usize / 7) % 3 {
            figures.latency.p99_us *= 10.0;
            figures.latency.p999_us *= 10.0;
            figures.latency.max_us *= 10.0;
            figures.achieved_per_s *= 0.7;
        }
        figures
    }
}

/// Runs the ascent; returns where it led and the rates in the order in which they were tried.
pub(crate) fn ascend(ascent: Ascent, server: impl Fn(Attempt) -> Figures) -> (Ascended, Vec<f64>) {
    let mut tried = Vec::new();
    let done = |step: &Step| tried.push(step.target_per_s);
    let ascended = ascent.run(|attempt| Ok::<_, std::convert::Infallible>(server(attempt)), done);
    (ascended.expect("a function does not fail"), tried)
}

/// A curve as one would be measured.
pub(crate) fn curve(server: impl Fn(Attempt) -> Figures) -> Curve {
    let (Ascended { knee, steps }, _) = ascend(ASCENT, server);
    Curve {
        setup: Setup {
            command: "stemedb-bench curve --report 'a <b> & \"c\"'".to_owned(),
            began: "2026-11-21 02:00:00 UTC".to_owned(),
            machine: "2 × Intel Xeon 2.60GHz, 24 GiB, Linux 6.18".to_owned(),
            server: "stemedb-api 0.1.0, one core, on CPU 0".to_owned(),
            workload: "single claims of 200 bytes".to_owned(),
            connections: 64,
            depth: 16,
            tries: ASCENT.tries,
            warm_up_s: 1.0,
            duration_s: 4.0,
        },
        objective: OBJECTIVE,
        probe_per_s: 100_000.0,
        knee,
        steps,
    }
}
