//! Goal: the search ends at the highest rate that meets the objective, whatever the server does, and after a number of
//! tries that is known before. Method: servers whose knee is known.

use stemedb_bench::curve::{Ascended, Attempt, Figures, Knee};

use crate::synthetic::{ASCENT, OBJECTIVE, ascend, disturbed, queueing};

/// A server that is fast up to `knee_per_s` and slow beyond.
fn sharp(knee_per_s: f64) -> impl Fn(Attempt) -> Figures {
    let relaxed = queueing(1e9);
    move |attempt| {
        let mut figures = relaxed(attempt);
        if attempt.target_per_s > knee_per_s {
            figures.latency.p99_us = 1e6;
        }
        figures
    }
}

/// The knee's two sides.
fn sides(ascended: &Ascended) -> (f64, f64) {
    match ascended.knee {
        Knee::Between { rate_per_s, broken_per_s } => (rate_per_s, broken_per_s),
        knee => panic!("the knee was expected between two rates, found {knee:?}"),
    }
}

#[test]
fn a_sharp_knee_is_enclosed() {
    for knee_per_s in [10_000.0, 10_001.0, 56_789.0, 99_999.0, 199_000.0] {
        let (ascended, tried) = ascend(ASCENT, sharp(knee_per_s));
        let (good, bad) = sides(&ascended);
        assert!(good <= knee_per_s && knee_per_s < bad, "{knee_per_s}: {good} to {bad}");
        assert_eq!(bad - good, 10_000.0 / 16.0);
        assert!(tried.len() <= 20 + 4 + 1);
    }
}

#[test]
fn the_rates_climb_then_close_in_then_halve() {
    let (_, tried) = ascend(ASCENT, sharp(33_000.0));
    assert_eq!(tried, [10e3, 20e3, 30e3, 40e3, 35e3, 32.5e3, 33.75e3, 33.125e3, 16.25e3]);
}

#[test]
fn steps_come_by_rising_rate_with_all_their_tries() {
    let (ascended, tried) = ascend(ASCENT, sharp(33_000.0));
    assert_eq!(ascended.steps.len(), tried.len());
    assert!(ascended.steps.is_sorted_by(|one, next| one.target_per_s < next.target_per_s));
    assert!(ascended.steps.iter().all(|step| step.tries.len() == 3));
    assert!(ascended.steps.iter().all(|step| step.meets == (step.target_per_s <= 33_000.0)));
}

#[test]
fn half_of_the_knee_is_not_tried_twice() {
    let ascent = stemedb_bench::curve::Ascent {
        plan: stemedb_bench::curve::Plan { bisections: 0, ..ASCENT.plan },
        ..ASCENT
    };
    let (_, tried) = ascend(ascent, sharp(40_000.0));
    assert_eq!(tried, [10e3, 20e3, 30e3, 40e3, 50e3]);
}

#[test]
fn a_server_without_a_knee_ends_the_search_all_the_same() {
    let (ascended, tried) = ascend(ASCENT, sharp(f64::INFINITY));
    assert_eq!(ascended.knee, Knee::Beyond { rate_per_s: 200_000.0 });
    assert_eq!(tried.len(), 20, "half of the highest rate is among them");
}

#[test]
fn a_server_that_breaks_at_the_first_rate_is_tried_with_less() {
    let (ascended, tried) = ascend(ASCENT, sharp(2_600.0));
    assert_eq!(sides(&ascended), (2_500.0, 3_125.0));
    assert_eq!(tried, [10e3, 5e3, 2.5e3, 3.75e3, 3.125e3, 1.25e3]);
}

#[test]
fn a_broken_server_has_no_knee() {
    let (ascended, tried) = ascend(ASCENT, sharp(0.0));
    assert_eq!(ascended.knee, Knee::Below { broken_per_s: 625.0 });
    assert_eq!(tried.len(), 5);
}

#[test]
fn a_disturbed_try_moves_nothing() {
    let (calm, _) = ascend(ASCENT, queueing(91_000.0));
    let (disturbed, _) = ascend(ASCENT, disturbed(queueing(91_000.0)));
    assert_eq!(calm.knee, disturbed.knee);
    let (good, _) = sides(&calm);
    assert!((80_000.0..91_000.0).contains(&good), "{good}");
}

#[test]
fn two_disturbed_tries_of_three_break_a_step() {
    let server = queueing(1e9);
    let (ascended, _) = ascend(ASCENT, |attempt: Attempt| {
        let mut figures = server(attempt);
        if attempt.target_per_s > 50_000.0 && attempt.index > 0 {
            figures.latency.p99_us = OBJECTIVE.latency_us_max + 1.0;
        }
        figures
    });
    assert_eq!(sides(&ascended).0, 50_000.0);
}

#[test]
fn a_server_that_falls_behind_breaks_the_objective_even_if_it_is_fast() {
    let server = queueing(1e9);
    let (ascended, _) = ascend(ASCENT, |attempt: Attempt| Figures {
        achieved_per_s: attempt.target_per_s.min(49_500.0),
        ..server(attempt)
    });
    assert_eq!(sides(&ascended).0, 50_000.0, "49,500 are 99 % of it");
}

#[test]
fn what_remains_is_told_before_each_try() {
    let mut told = Vec::new();
    let server = sharp(10_000.0);
    let ascended = ASCENT.run(
        |attempt| {
            told.push(attempt.remaining_max);
            Ok::<_, ()>(server(attempt))
        },
        |_| {},
    );
    ascended.unwrap();
    assert_eq!(
        told[..6],
        [63, 62, 61, 60, 59, 58],
        "20 climbs and the half, each thrice; none is known to break yet"
    );
    assert_eq!(told[6..], [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn the_first_error_ends_it() {
    let mut attempts = 0;
    let ended = ASCENT.run(
        |attempt| {
            attempts += 1;
            if attempt.target_per_s > 15_000.0 { Err("gone") } else { Ok(sharp(1e9)(attempt)) }
        },
        |_| {},
    );
    assert_eq!((ended, attempts), (Err("gone"), 4));
}
