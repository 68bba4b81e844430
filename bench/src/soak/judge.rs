//! What samples mean: whether anything grows that should not.
//!
//! Of each quantity the first quarter of the time is compared with the last, by their medians. What is greater at the end
//! may only have been disturbed then; so it grows only if the median of the slopes between all pairs of samples (Theil and
//! Sen), which no disturbance of less than a quarter of the time moves much, accounts for a good part of that.

use serde::Serialize;

use super::sample::{Answers, Sample};
use crate::chart::Unit;

/// Samples that can be judged.
const SAMPLES_MIN: usize = 8;

const MIB: f64 = (1 << 20) as f64;

/// What was found of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is.
    pub name: &'static str,
    /// Its median in the first quarter.
    pub first: f64,
    /// Its median in the last.
    pub last: f64,
    /// By how much it may grow from the first to the last.
    pub growth_max: f64,
    /// The median of all slopes, an hour.
    pub slope_per_hour: f64,
    /// Whether it grows.
    pub grows: bool,
    /// All this in words.
    pub text: String,
}

/// What a soak has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether nothing was wrong and nothing grows.
    pub is_sound: bool,
    /// What was found, in words, the reason first if it is not sound.
    pub text: String,
    /// Each quantity that was judged.
    pub findings: Vec<Finding>,
}

/// A quantity that should stay as it is.
struct Quantity {
    name: &'static str,
    unit: Unit,
    of: fn(&Sample) -> Option<f64>,
    /// By how much it may grow: so much, and such a share of what it was.
    growth_max: f64,
    growth_share_max: f64,
}

const QUANTITIES: [Quantity; 6] = [
    Quantity {
        name: "memory beside the index",
        unit: Unit::Bytes,
        of: Sample::other_memory_bytes,
        growth_max: 6.0 * MIB,
        growth_share_max: 0.1,
    },
    Quantity {
        name: "descriptors",
        unit: Unit::Count,
        of: |sample| Some(sample.process?.descriptors as f64),
        growth_max: 4.0,
        growth_share_max: 0.0,
    },
    Quantity {
        name: "threads",
        unit: Unit::Count,
        of: |sample| Some(sample.process?.threads as f64),
        growth_max: 0.5,
        growth_share_max: 0.0,
    },
    // Checkpoints come when there is so much of it, and segments are whole files: it goes up and down by a few of them a core.
    Quantity {
        name: "log",
        unit: Unit::Bytes,
        of: |sample| Some(sample.log_bytes as f64),
        growth_max: 384.0 * MIB,
        growth_share_max: 0.0,
    },
    // Tables and a snapshot that are being made, and what has just been replaced by them.
    Quantity {
        name: "files beyond log, tables and snapshot",
        unit: Unit::Bytes,
        of: Sample::other_disk_bytes,
        growth_max: 96.0 * MIB,
        growth_share_max: 0.0,
    },
    Quantity {
        name: LATENCY,
        unit: Unit::Microseconds,
        of: |sample| sample.p99_us,
        growth_max: 2_000.0,
        growth_share_max: 0.5,
    },
];

const LATENCY: &str = "p99 latency";

impl Verdict {
    /// Judges all samples of a soak.
    pub(super) fn of(samples: &[Sample], answers: &Answers, judges_latency: bool) -> Verdict {
        if samples.len() < SAMPLES_MIN {
            let text =
                format!("Not judged: {} samples are too few, {SAMPLES_MIN} are needed.", samples.len());
            return Verdict { is_sound: false, text, findings: Vec::new() };
        }
        let findings: Vec<Finding> = QUANTITIES
            .iter()
            .filter(|quantity| judges_latency || quantity.name != LATENCY)
            .filter_map(|quantity| quantity.judge(samples))
            .collect();
        let mut problems: Vec<String> = Vec::new();
        if answers.wrong > 0 {
            let first = answers.first_problem.as_deref().unwrap_or("unknown");
            let all = answers.right + answers.wrong;
            problems.push(format!("{} of {all} answers were wrong, the first: {first}", answers.wrong));
        }
        if answers.right == 0 {
            problems.push("nothing was answered".to_owned());
        }
        problems.extend(findings.iter().filter(|finding| finding.grows).map(|finding| finding.text.clone()));
        let seconds = samples.last().map_or(0.0, |sample| sample.at_s);
        let text = if problems.is_empty() {
            let judged: Vec<_> = findings.iter().map(|finding| finding.name).collect();
            format!(
                "Sound: in {seconds:.0} s and {} answers, all of them right, nothing grew that should not ({}).",
                answers.right,
                judged.join(", ")
            )
        } else {
            format!("Not sound after {seconds:.0} s: {}.", problems.join("; "))
        };
        Verdict { is_sound: problems.is_empty(), text, findings }
    }
}

impl Quantity {
    /// Compares the first quarter with the last; `None` if the quantity is not known.
    fn judge(&self, samples: &[Sample]) -> Option<Finding> {
        let points: Vec<(f64, f64)> =
            samples.iter().filter_map(|sample| Some((sample.at_s, (self.of)(sample)?))).collect();
        if points.len() < SAMPLES_MIN {
            return None;
        }
        let quarter = points.len() / 4;
        let middle = |points: &[(f64, f64)]| median(points.iter().map(|point| point.1).collect());
        let (first, last) = (middle(&points[..quarter]), middle(&points[points.len() - quarter..]));
        // The beginning, when caches fill, says nothing of how it goes on.
        let slope_per_hour = 3600.0 * slope(&points[quarter..]);
        let growth_max = self.growth_max + self.growth_share_max * first.max(0.0);
        let hours = 0.75 * (points[points.len() - 1].0 - points[0].0) / 3600.0;
        let grows = last - first > growth_max && slope_per_hour * hours > growth_max / 2.0;
        let label = |value: f64| {
            let sign = if value < 0.0 { "−" } else { "" };
            format!("{sign}{}", self.unit.label(value.abs()))
        };
        let text = format!(
            "{} {} from {} in the first quarter to {} in the last, {} an hour, where {} more is allowed",
            self.name,
            if grows { "grew" } else { "went" },
            label(first),
            label(last),
            label(slope_per_hour),
            label(growth_max)
        );
        Some(Finding { name: self.name, first, last, growth_max, slope_per_hour, grows, text })
    }
}

/// The median of the slopes between all pairs of points, of which there are not so many that this takes long.
fn slope(points: &[(f64, f64)]) -> f64 {
    const POINTS_MAX: usize = 400;
    let step = points.len().div_ceil(POINTS_MAX);
    let points: Vec<_> = points.iter().step_by(step).collect();
    let mut slopes = Vec::new();
    for (place, one) in points.iter().enumerate() {
        slopes.extend(points[place + 1..].iter().map(|other| (other.1 - one.1) / (other.0 - one.0)));
    }
    median(slopes)
}

fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing has no median");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

#[cfg(test)]
mod tests {
    //! Goal: each kind of growth is found, and growth that is due is not. Method: samples made up for each.

    use super::super::sample::Process;
    use super::*;

    const ANSWERS: Answers = Answers { right: 1000, wrong: 0, first_problem: None };

    /// An hour of a server whose claims grow, as change makes it at each minute.
    fn hour(change: impl Fn(f64, &mut Sample)) -> Vec<Sample> {
        let minute = |minute: u32| {
            let (at_s, claims) = (f64::from(minute) * 60.0, 100_000 + u64::from(minute) * 1000);
            let noise = u64::from(minute * 7919 % 13) << 17;
            let index_bytes = claims * 150;
            let process = Process {
                memory_bytes: index_bytes + (40 << 20) + noise,
                descriptors: 30 + u64::from(minute % 3),
                threads: 6,
                disk_bytes: 1 << 30,
            };
            let mut sample = Sample {
                at_s,
                claims,
                index_bytes,
                p99_us: Some(3000.0 + noise as f64 / 1e4),
                process: Some(process),
                ..Sample::default()
            };
            change(at_s / 3600.0, &mut sample);
            sample
        };
        (1..=60).map(minute).collect()
    }

    fn process(sample: &mut Sample) -> &mut Process {
        sample.process.as_mut().expect("it was made so")
    }

    #[test]
    fn memory_that_claims_need_is_no_growth() {
        let verdict = Verdict::of(&hour(|_, _| ()), &ANSWERS, true);
        assert!(verdict.is_sound, "{}", verdict.text);
        assert_eq!(verdict.findings.len(), 6);
    }

    #[test]
    fn tables_and_snapshots_of_more_claims_are_no_growth() {
        let verdict = Verdict::of(
            &hour(|hours, sample| {
                let (tables, snapshot) = ((hours * 4096.0 * MIB) as u64, (hours * 1024.0 * MIB) as u64);
                (sample.tables_bytes, sample.snapshot_bytes) = (tables, snapshot);
                process(sample).disk_bytes += tables + snapshot;
            }),
            &ANSWERS,
            true,
        );
        assert!(verdict.is_sound, "{}", verdict.text);
    }

    #[test]
    fn every_kind_of_growth_is_found_and_named() {
        type Change = fn(f64, &mut Sample);
        let leaks: [(&str, Change); 6] = [
            ("memory beside the index", |hours, sample| {
                process(sample).memory_bytes += (hours * 60.0 * MIB) as u64;
            }),
            ("descriptors", |hours, sample| process(sample).descriptors += (hours * 20.0) as u64),
            ("threads", |hours, sample| process(sample).threads += (hours * 3.0) as u64),
            ("log", |hours, sample| {
                let segments = (hours * 900.0 * MIB) as u64;
                sample.log_bytes += segments;
                process(sample).disk_bytes += segments;
            }),
            ("files beyond log, tables and snapshot", |hours, sample| {
                process(sample).disk_bytes += (hours * 200.0 * MIB) as u64;
            }),
            ("p99 latency", |hours, sample| sample.p99_us = sample.p99_us.map(|us| us * (1.0 + 4.0 * hours))),
        ];
        for (name, leak) in leaks {
            let verdict = Verdict::of(&hour(leak), &ANSWERS, true);
            let grown: Vec<_> =
                verdict.findings.iter().filter(|finding| finding.grows).map(|found| found.name).collect();
            assert_eq!(grown, [name]);
            assert!(!verdict.is_sound && verdict.text.contains(name), "{}", verdict.text);
        }
        let slower = hour(|hours, sample| sample.p99_us = Some(1e6 * hours));
        assert!(Verdict::of(&slower, &ANSWERS, false).is_sound, "latencies were not to be judged");
    }

    #[test]
    fn a_step_at_the_beginning_a_peak_and_a_disturbance_at_the_end_are_no_growth() {
        let step = hour(|hours, sample| {
            if hours > 0.05 {
                process(sample).memory_bytes += 80 << 20;
            }
        });
        assert!(Verdict::of(&step, &ANSWERS, true).is_sound);
        let peak = hour(|hours, sample| {
            if (0.9..0.95).contains(&hours) {
                process(sample).descriptors += 1000;
            }
        });
        assert!(Verdict::of(&peak, &ANSWERS, true).is_sound);
        let disturbed = hour(|hours, sample| {
            if hours > 0.85 {
                sample.p99_us = Some(50_000.0);
            }
        });
        let verdict = Verdict::of(&disturbed, &ANSWERS, true);
        assert!(verdict.is_sound, "{}", verdict.text);
    }

    #[test]
    fn wrong_answers_and_too_few_samples_are_not_sound() {
        let wrong = Answers { right: 10, wrong: 1, first_problem: Some("Query: 500".to_owned()) };
        let verdict = Verdict::of(&hour(|_, _| ()), &wrong, true);
        assert!(!verdict.is_sound && verdict.text.contains("Query: 500"), "{}", verdict.text);
        assert!(!Verdict::of(&hour(|_, _| ())[..SAMPLES_MIN - 1], &ANSWERS, true).is_sound);
        let nothing = Answers::default();
        assert!(!Verdict::of(&hour(|_, _| ()), &nothing, true).is_sound);
    }

    #[test]
    fn where_the_process_is_not_known_the_rest_is_judged() {
        let elsewhere = hour(|_, sample| sample.process = None);
        let verdict = Verdict::of(&elsewhere, &ANSWERS, true);
        assert!(verdict.is_sound);
        assert_eq!(verdict.findings.len(), 2);
    }
}
