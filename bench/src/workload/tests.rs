//! Goal: runs store what they say they store: claims of the exact size, each different, about subjects as often as the
//! distribution says, the same with the same seed.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::client::Operation;

fn workload() -> Workload {
    Workload::new(RunId::new(7))
}

fn texts(claims: &mut Claims, count: usize) -> Vec<String> {
    let next = |_| {
        let mut out = Vec::new();
        claims.append(&mut out);
        String::from_utf8(out).expect("claims are text")
    };
    (0..count).map(next).collect()
}

/// How often each of `subjects` subjects is chosen in so many choices.
fn frequencies(distribution: &str, subjects: u32, choices: u32) -> HashMap<u32, u32> {
    let distribution = distribution.parse().expect("it is a distribution");
    let mut chosen = Subjects::new(distribution, subjects, 3);
    let mut counts = HashMap::new();
    (0..choices).for_each(|_| *counts.entry(chosen.choose()).or_default() += 1);
    assert!(counts.keys().all(|subject| *subject < subjects));
    counts
}

#[test]
fn claims_have_exactly_the_size_asked_for_and_are_what_the_api_takes() {
    for claim_bytes in [Claims::BYTES_MIN, 200, 201, 4096, Claims::BYTES_MAX] {
        let mut claims = Claims::new(&Workload { claim_bytes, ..workload() }, 9);
        for text in texts(&mut claims, 20) {
            assert_eq!(text.len(), claim_bytes);
            let claim: serde_json::Value = serde_json::from_str(&text).expect("a claim is JSON");
            assert_eq!(claim["predicate"], "reading");
            assert!(claim["concept_path"].as_str().is_some_and(|path| path.starts_with("bench/sensor/")));
            assert!(claim["value"].as_str().is_some_and(|value| value.len() <= 64 << 10));
        }
    }
}

#[test]
fn every_claim_is_distinct_across_connections_and_runs() {
    let mut seen = HashSet::new();
    for run in [RunId::new(7), RunId::new(7).next(), RunId::new(u64::MAX)] {
        for connection in 0..3 {
            let mut claims = Claims::new(&Workload { run, subjects: 1, ..workload() }, connection);
            for text in texts(&mut claims, 1100) {
                assert!(seen.insert(text), "a claim was made twice");
            }
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_claims() {
    let mut same = [workload(), workload()].map(|workload| texts(&mut Claims::new(&workload, 1), 100));
    assert_eq!(same[0], same[1]);
    same[1] = texts(&mut Claims::new(&Workload { seed: 2, ..workload() }, 1), 100);
    assert_ne!(same[0], same[1]);
}

#[test]
fn a_subject_has_a_path_of_its_own() {
    assert_eq!(SubjectPath::of(0).as_bytes(), b"bench/sensor/000000/00");
    assert_eq!(SubjectPath::of(123_456).as_bytes(), b"bench/sensor/001234/56");
    assert_eq!(SubjectPath::of(Subjects::MAX - 1).as_bytes(), b"bench/sensor/999999/99");
}

#[test]
fn a_uniform_distribution_chooses_all_about_equally_often() {
    let counts = frequencies("uniform", 100, 100_000);
    assert_eq!(counts.len(), 100);
    assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
}

#[test]
fn a_hot_subject_gets_its_share() {
    let counts = frequencies("hot:0.5", 1000, 100_000);
    assert!((49_000..51_000).contains(&counts[&0]), "{}", counts[&0]);
    assert!(counts.iter().filter(|(subject, _)| **subject != 0).all(|(_, count)| *count < 150));
}

/// With theta 1 the subject of rank k is chosen 1 / k as often as that of rank 1, which is
/// 100 000 / (1 + 1/2 + … + 1/1000) = 13 359 times.
#[test]
fn a_zipf_distribution_falls_as_it_should() {
    let mut counts: Vec<u32> = frequencies("zipf:1", 1000, 100_000).into_values().collect();
    counts.sort_unstable_by(|one, other| other.cmp(one));
    for (rank, expected) in [(1, 13_359.0), (2, 6_680.0), (10, 1_336.0)] {
        let count = f64::from(counts[rank - 1]);
        assert!((count / expected - 1.0).abs() < 0.1, "rank {rank}: {count} times, not about {expected}");
    }
}

#[test]
fn ranks_are_dealt_out_to_all_subjects() {
    let counts = frequencies("zipf:0.1", 12, 10_000);
    assert_eq!(counts.len(), 12);
}

#[test]
fn a_mix_has_its_proportions() {
    let mix: Mix = "assert=90,query=9,subtree=1".parse().expect("a mix");
    let mut choices = mix.choices(5);
    let mut counts: HashMap<Operation, u32> = HashMap::new();
    (0..100_000).for_each(|_| *counts.entry(choices.choose()).or_default() += 1);
    assert!((89_000..91_000).contains(&counts[&Operation::Assert]), "{counts:?}");
    assert!((8_600..9_400).contains(&counts[&Operation::Query]), "{counts:?}");
    assert!((850..1_150).contains(&counts[&Operation::Subtree]), "{counts:?}");
}

#[test]
fn texts_that_are_no_mix_or_distribution_are_refused() {
    let mix = |text: &str| text.parse::<Mix>().map_err(|error| error.to_string());
    assert!(mix("assert").is_err_and(|error| error.contains("OPERATION=WEIGHT")));
    assert!(mix("empty=1").is_err_and(|error| error.contains("no operation")));
    assert!(mix("assert=1,assert=2").is_err_and(|error| error.contains("twice")));
    assert!(mix("assert=0").is_err_and(|error| error.contains("above 0")));
    assert_eq!(mix("batch=2,assert=0").map(|mix| mix.to_string()), Ok("batch=2".to_owned()));
    for text in ["", "zipf", "zipf:0", "zipf:-1", "zipf:inf", "hot:1.1", "hot:x", "uniform:1"] {
        assert!(text.parse::<Distribution>().is_err(), "{text}");
    }
}

#[test]
fn a_workload_out_of_bounds_is_refused() {
    assert_eq!(workload().check(), Ok(()));
    let small = Workload { claim_bytes: Claims::BYTES_MIN - 1, ..workload() };
    assert_eq!(small.check(), Err(WorkloadError::ClaimBytes(Claims::BYTES_MIN - 1)));
    assert_eq!(Workload { subjects: 0, ..workload() }.check(), Err(WorkloadError::Subjects(0)));
    assert_eq!(Workload { batch_claims: 0, ..workload() }.check(), Err(WorkloadError::EmptyBatch));
}
