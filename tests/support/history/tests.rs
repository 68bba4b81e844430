//! Goal: the checker finds each kind of broken promise, and finds nothing where all were kept.
//!
//! Method: made-up histories of a few claims and retractions, with listings that a good and a bad server would give.

use super::*;

const GROUP: Group = Group { round: 1, number: 1 };

fn history() -> History {
    History::new(Random::new(7))
}

fn name(number: u64) -> Name {
    Name { round: 1, writer: 2, number, group: 0, value_bytes_max: 20 }
}

fn grouped(number: u64) -> Name {
    Name { group: GROUP.number, ..name(number) }
}

fn hash(name: Name) -> String {
    format!("{:064x}", name.number)
}

/// The row of a claim as a good server tells it.
fn row(history: &History, name: Name, status: &str) -> Row {
    let claim = history.claim(name);
    Row {
        hash: hash(name),
        concept_path: claim.path,
        predicate: claim.predicate,
        value: claim.value,
        confidence: claim.confidence,
        timestamp: claim.timestamp_us as f64 / 1e6,
        source: claim.source,
        status: status.to_owned(),
    }
}

fn acknowledge(history: &History, name: Name) {
    history.sent(&[name]);
    history.acknowledged(name, Some(&hash(name)));
}

/// Three claims of the group, acknowledged.
fn with_group(history: &History) -> [Name; 3] {
    let names = [grouped(1), grouped(2), grouped(3)];
    names.iter().for_each(|name| acknowledge(history, *name));
    names
}

fn listing(history: &History, names: &[Name], statuses: [&str; 3]) -> Vec<Row> {
    names.iter().zip(statuses).map(|(name, status)| row(history, *name, status)).collect()
}

#[test]
fn what_was_acknowledged_and_is_there_is_right() {
    let history = history();
    acknowledge(&history, name(1));
    history.sent(&[name(2), name(3), name(4)]);
    history.refused(name(4));
    // Of the two that were not answered, one is there.
    let rows = [row(&history, name(1), "active"), row(&history, name(2), "active")];
    assert_eq!(history.check_and_settle(&rows), []);
    let tally = history.tally();
    assert_eq!((tally.unanswered_there, tally.unanswered_absent), (1, 1));
    assert_eq!(history.take_absent(9), [name(3), name(4)]);
}

#[test]
fn a_lost_claim_is_found() {
    let history = history();
    acknowledge(&history, name(1));
    assert_eq!(history.check_and_settle(&[]), [Violation::Lost { name: name(1) }]);
}

#[test]
fn a_claim_that_a_query_has_shown_is_missed() {
    let history = history();
    history.sent(&[name(1)]);
    history.seen(&[row(&history, name(1), "active")], &[], history.now());
    assert_eq!(history.check_and_settle(&[]), [Violation::Lost { name: name(1) }]);
}

#[test]
fn an_acknowledged_claim_that_a_query_does_not_show_is_missed() {
    let history = history();
    acknowledge(&history, name(1));
    history.sent(&[name(2)]);
    let asked = history.now();
    acknowledge(&history, name(3));
    history.seen(&[], &[name(1), name(2), name(3)], asked);
    let rows = [row(&history, name(1), "active"), row(&history, name(3), "active")];
    assert_eq!(history.check_and_settle(&rows), [Violation::Lost { name: name(1) }]);
}

#[test]
fn an_invented_claim_is_found() {
    let history = history();
    let rows = [row(&history, name(1), "active")];
    assert_eq!(history.check_and_settle(&rows), [Violation::Invented { path: name(1).path() }]);
}

#[test]
fn a_claim_that_comes_back_after_it_was_absent_is_invented() {
    let history = history();
    history.sent(&[name(1)]);
    assert_eq!(history.check_and_settle(&[]), []);
    let rows = [row(&history, name(1), "active")];
    assert_eq!(history.check_and_settle(&rows), [Violation::Invented { path: name(1).path() }]);
    history.sent(&[name(1)]);
    assert_eq!(history.check_and_settle(&rows), [], "it was sent again");
}

#[test]
fn a_refused_claim_that_is_there_is_found() {
    let history = history();
    history.sent(&[name(1)]);
    history.refused(name(1));
    let rows = [row(&history, name(1), "active")];
    assert_eq!(history.check_and_settle(&rows), [Violation::Refused { name: name(1) }]);
    assert_eq!(history.check_and_settle(&[]), []);
    assert_eq!(history.tally().unanswered_absent, 0, "it was answered");
    assert_eq!(history.check_and_settle(&rows), [Violation::Invented { path: name(1).path() }]);
    history.sent(&[name(1)]);
    assert_eq!(history.check_and_settle(&rows), [], "it was sent again");
}

#[test]
fn a_claim_that_was_refused_less_often_than_it_was_sent_may_be_there() {
    for is_there in [false, true] {
        let history = history();
        history.sent(&[name(1)]);
        history.sent(&[name(1)]);
        history.refused(name(1));
        let rows = [row(&history, name(1), "active")];
        let rows = if is_there { &rows[..] } else { &[] };
        assert_eq!(history.check_and_settle(rows), [], "there: {is_there}");
    }
    let history = history();
    acknowledge(&history, name(1));
    history.sent(&[name(1)]);
    history.refused(name(1));
    assert_eq!(history.check_and_settle(&[]), [Violation::Lost { name: name(1) }], "it was taken before");
}

#[test]
fn other_contents_are_found() {
    let history = history();
    acknowledge(&history, name(1));
    let mut changed = row(&history, name(1), "active");
    changed.confidence += 0.001;
    let found = history.check_and_settle(&[changed]);
    assert!(matches!(found[..], [Violation::Changed { name: found, .. }] if found == name(1)), "{found:?}");
}

#[test]
fn another_hash_and_a_second_copy_are_found() {
    let history = history();
    acknowledge(&history, name(1));
    let right = row(&history, name(1), "active");
    let other = Row { hash: hash(name(9)), ..right.clone() };
    let found = history.check_and_settle(&[right, other]);
    let other_hash = Violation::OtherHash { name: name(1), known: hash(name(1)), told: hash(name(9)) };
    assert_eq!(found, [other_hash, Violation::Twice { name: name(1) }]);
}

#[test]
fn an_unanswered_retraction_happens_or_does_not() {
    for status in ["active", "retracted"] {
        let history = history();
        let names = with_group(&history);
        history.retraction_sent(GROUP);
        // Sent while the retraction was under way: it may strike this one or not.
        acknowledge(&history, grouped(4));
        let mut rows = listing(&history, &names, [status; 3]);
        rows.push(row(&history, grouped(4), "active"));
        assert_eq!(history.check_and_settle(&rows), [], "{status}");
        assert_eq!(history.tally().retractions_completed, u64::from(status == "retracted"));
        assert_eq!(history.check_and_settle(&rows), [], "{status}, again");
        let turned = if status == "active" { "retracted" } else { "active" };
        let rows = listing(&history, &names, [turned; 3]);
        assert!(
            history.check_and_settle(&rows).len() >= 3,
            "what was settled as {status} cannot be {turned}"
        );
    }
}

#[test]
fn half_a_retraction_is_found() {
    for is_answered in [false, true] {
        let history = history();
        let names = with_group(&history);
        let retraction = history.retraction_sent(GROUP);
        if is_answered {
            history.retraction_acknowledged(retraction);
        }
        let rows = listing(&history, &names, ["retracted", "active", "retracted"]);
        let half = Violation::HalfRetraction { group: GROUP, retracted: names[0], active: names[1] };
        assert!(history.check_and_settle(&rows).contains(&half), "answered: {is_answered}");
    }
}

#[test]
fn a_lost_retraction_is_found() {
    let history = history();
    let names = with_group(&history);
    let retraction = history.retraction_sent(GROUP);
    history.retraction_acknowledged(retraction);
    let rows = listing(&history, &names, ["active"; 3]);
    assert!(history.check_and_settle(&rows).contains(&Violation::LostRetraction { group: GROUP }));
}

#[test]
fn a_refused_retraction_that_happened_is_found() {
    let history = history();
    let names = with_group(&history);
    let retraction = history.retraction_sent(GROUP);
    history.retraction_refused(retraction);
    let rows = listing(&history, &names, ["retracted"; 3]);
    assert_eq!(history.check_and_settle(&rows), names.map(|name| Violation::Unasked { name }));
    let rows = listing(&history, &names, ["active"; 3]);
    assert_eq!(history.check_and_settle(&rows), []);
}

#[test]
fn a_retraction_that_nobody_asked_for_is_found() {
    let history = history();
    let names = with_group(&history);
    let rows = listing(&history, &names, ["active", "active", "retracted"]);
    assert_eq!(history.check_and_settle(&rows), [Violation::Unasked { name: names[2] }]);
}

#[test]
fn a_retraction_does_not_strike_what_was_sent_after_its_answer() {
    let history = history();
    let names = with_group(&history);
    let retraction = history.retraction_sent(GROUP);
    history.retraction_acknowledged(retraction);
    acknowledge(&history, grouped(4));
    let mut rows = listing(&history, &names, ["retracted"; 3]);
    rows.push(row(&history, grouped(4), "retracted"));
    assert_eq!(history.check_and_settle(&rows), [Violation::Unasked { name: grouped(4) }]);
}

#[test]
fn a_second_retraction_is_told_from_the_first() {
    let history = history();
    let names = with_group(&history);
    let retraction = history.retraction_sent(GROUP);
    history.retraction_acknowledged(retraction);
    acknowledge(&history, grouped(4));
    history.retraction_sent(GROUP);
    let mut rows = listing(&history, &names, ["retracted"; 3]);
    rows.push(row(&history, grouped(4), "active"));
    assert_eq!(history.check_and_settle(&rows), [], "the second never happened");
    assert_eq!(history.check_and_settle(&rows), [], "and the first still has");
    assert_eq!(history.tally().retractions_never, 1);
}

#[test]
fn a_copy_of_the_past_is_held_against_its_time() {
    let history = history();
    acknowledge(&history, name(1));
    history.sent(&[name(2)]);
    let before = history.now();
    history.acknowledged(name(2), None);
    let after = history.now();
    acknowledge(&history, name(3));
    let cut = Cut { before, after };
    let rows = [1, 2, 3].map(|number| row(&history, name(number), "active"));
    assert_eq!(history.check(&rows[..1], cut), [], "the second was not answered yet");
    assert_eq!(history.check(&rows[..2], cut), [], "the second had been sent");
    assert_eq!(history.check(&rows[..], cut), [Violation::Invented { path: name(3).path() }]);
    assert_eq!(history.check(&[], cut), [Violation::Lost { name: name(1) }]);
    assert_eq!(history.check_and_settle(&rows), [], "the present has all three");
}

#[test]
fn names_are_read_back_from_their_paths() {
    assert_eq!(Name::of_path(&grouped(3).path()), Some(grouped(3)));
    for path in ["", "history/1/2/3/4", "history/1/2/3/4/5/6", "history/1/2/3/4/05", "other/1/2/3/4/5"] {
        assert_eq!(Name::of_path(path), None, "{path}");
    }
}
