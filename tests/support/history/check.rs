//! Holding what a server lists against a history.

use std::collections::HashMap;

use super::record::Fate;
use super::{ClaimRecord, Cut, Group, Name, RetractionRecord, State, Tick, Violation};
use crate::Random;
use crate::claims::Row;

/// The claims of the history among the rows, and what is wrong with the rows as such.
pub(super) struct Found<'a> {
    pub(super) held: HashMap<Name, &'a Row>,
    pub(super) violations: Vec<Violation>,
}

/// Checks each row by itself: that its claim may be there, with these contents and this status.
pub(super) fn rows<'a>(contents: &Random, state: &State, rows: &'a [Row], cut: Cut) -> Found<'a> {
    let mut found = Found { held: HashMap::with_capacity(rows.len()), violations: Vec::new() };
    for row in rows {
        let known = Name::of_path(&row.concept_path)
            .and_then(|name| Some((name, state.claims.get(&name)?)))
            .filter(|(_, claim)| claim.sent <= cut.after);
        let Some((name, claim)) = known else {
            found.violations.push(Violation::Invented { path: row.concept_path.clone() });
            continue;
        };
        found.violations.extend(row_violation(contents, state, name, claim, row, cut));
        if found.held.insert(name, row).is_some() {
            found.violations.push(Violation::Twice { name });
        }
    }
    found
}

/// What is wrong with the row of a claim that was sent.
fn row_violation(
    contents: &Random,
    state: &State,
    name: Name,
    claim: &ClaimRecord,
    row: &Row,
    cut: Cut,
) -> Option<Violation> {
    if claim.is_refused() {
        return Some(Violation::Refused { name });
    }
    if !name.claim(contents).is_told_by(row) {
        return Some(Violation::Changed { name, row: format!("{row:?}") });
    }
    if let Some(known) = claim.hash.as_ref().filter(|known| **known != row.hash) {
        return Some(Violation::OtherHash { name, known: known.clone(), told: row.hash.clone() });
    }
    let was_retracted = claim.retracted.is_some_and(|tick| tick <= cut.before);
    let retractions = retractions_of(state, name);
    if is_retracted(row) {
        let may_be = retractions.iter().any(|one| one.may_have_happened(cut.after) && one.may_strike(claim));
        return (!was_retracted && !may_be).then_some(Violation::Unasked { name });
    }
    let must_be = retractions.iter().any(|one| one.has_happened(cut.before) && claim.is_before(one.sent));
    (was_retracted || must_be).then_some(Violation::Unretracted { name })
}

/// Those of `names` that were certain at `before` and are not held.
pub(super) fn missing<'a>(
    state: &State,
    names: impl Iterator<Item = &'a Name>,
    held: &HashMap<Name, &Row>,
    before: Tick,
) -> Vec<Violation> {
    let is_certain = |name: &Name| {
        let certain = state.claims.get(name).and_then(|claim| claim.certain);
        certain.is_some_and(|certain| certain <= before)
    };
    let lost = names.filter(|name| is_certain(name) && !held.contains_key(name));
    lost.map(|name| Violation::Lost { name: *name }).collect()
}

/// Checks that each retraction has struck all that it must strike, or nothing if that is permitted.
pub(super) fn retractions(state: &State, held: &HashMap<Name, &Row>, cut: Cut) -> Vec<Violation> {
    let members = by_group(held);
    let mut violations = Vec::new();
    for (group, retractions) in &state.retractions {
        let Some(members) = members.get(group) else { continue };
        for (number, retraction) in retractions.iter().enumerate() {
            if !retraction.may_have_happened(cut.after) {
                continue;
            }
            let struck = struck(state, members, held, &retractions[..number], retraction, cut);
            match struck {
                Struck { retracted: Some(retracted), active: Some(active) } => {
                    violations.push(Violation::HalfRetraction { group: *group, retracted, active });
                }
                Struck { retracted: None, active: Some(_) } if retraction.has_happened(cut.before) => {
                    violations.push(Violation::LostRetraction { group: *group });
                }
                Struck { .. } => {}
            }
        }
    }
    violations
}

/// Of the claims that a retraction must strike all at once, one that is retracted and one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Struck {
    retracted: Option<Name>,
    active: Option<Name>,
}

/// Looks at the claims that were certain before `retraction` was sent. Those that an `earlier` one may have struck tell
/// nothing of it when they are retracted.
fn struck(
    state: &State,
    members: &[Name],
    held: &HashMap<Name, &Row>,
    earlier: &[RetractionRecord],
    retraction: &RetractionRecord,
    cut: Cut,
) -> Struck {
    let before: Vec<(Name, &ClaimRecord)> = members
        .iter()
        .map(|name| (*name, &state.claims[name]))
        .filter(|(_, claim)| claim.is_before(retraction.sent))
        .collect();
    let by_earlier = |claim: &ClaimRecord| {
        earlier.iter().any(|one| one.may_have_happened(cut.after) && one.may_strike(claim))
    };
    let mut retracted = before.iter().filter(|(name, claim)| is_retracted(held[name]) && !by_earlier(claim));
    let mut active = before.iter().filter(|(name, _)| !is_retracted(held[name]));
    Struck {
        retracted: retracted.next().map(|(name, _)| *name),
        active: active.next().map(|(name, _)| *name),
    }
}

/// Settles what was open: by `rows`, with which nothing is wrong.
pub(super) fn settle(state: &mut State, rows: &[Row], now: Tick) {
    let held: HashMap<Name, &Row> =
        rows.iter().filter_map(|row| Some((Name::of_path(&row.concept_path)?, row))).collect();
    settle_retractions(state, &held, now);
    let mut absent = Vec::new();
    for (name, claim) in &mut state.claims {
        match held.get(name) {
            Some(row) => {
                state.tally.unanswered_there += u64::from(claim.certain.is_none());
                claim.show(row, now);
                if !is_retracted(row) {
                    claim.active = Some(now);
                }
            }
            None => {
                state.tally.unanswered_absent += u64::from(!claim.is_refused());
                absent.push(*name);
            }
        }
    }
    absent.iter().for_each(|name| drop(state.claims.remove(name)));
    absent.sort_unstable();
    state.absent.extend(absent);
}

/// Settles the retractions that a crash has left without an answer. Of a group there is one at most, the last.
fn settle_retractions(state: &mut State, held: &HashMap<Name, &Row>, now: Tick) {
    let members = by_group(held);
    let open = state.retractions.iter().filter_map(|(group, retractions)| {
        let (last, earlier) = retractions.split_last()?;
        (last.fate == Fate::Open).then_some((*group, last, earlier))
    });
    let cut = Cut { before: now, after: now };
    let happened: Vec<(Group, bool)> = open
        .map(|(group, last, earlier)| {
            let of_group = members.get(&group).map_or(&[][..], Vec::as_slice);
            (group, has_struck(state, of_group, held, earlier, last, cut))
        })
        .collect();
    for (group, happened) in happened {
        let last =
            state.retractions.get_mut(&group).and_then(|all| all.last_mut()).expect("it was found open");
        (last.fate, last.answered) = match happened {
            true => (Fate::Happened, Some(now)),
            false => (Fate::Never, None),
        };
        state.tally.retractions_completed += u64::from(happened);
        state.tally.retractions_never += u64::from(!happened);
    }
}

/// Whether an unanswered retraction has happened. Where no claim had to be struck, one that may have been tells it.
fn has_struck(
    state: &State,
    of_group: &[Name],
    held: &HashMap<Name, &Row>,
    earlier: &[RetractionRecord],
    last: &RetractionRecord,
    cut: Cut,
) -> bool {
    match struck(state, of_group, held, earlier, last, cut) {
        Struck { active: Some(_), .. } => false,
        Struck { retracted: Some(_), .. } => true,
        Struck { .. } => of_group.iter().any(|name| {
            let claim = &state.claims[name];
            let by_earlier =
                earlier.iter().any(|one| one.may_have_happened(cut.after) && one.may_strike(claim));
            is_retracted(held[name]) && !by_earlier
        }),
    }
}

fn by_group(held: &HashMap<Name, &Row>) -> HashMap<Group, Vec<Name>> {
    let mut groups: HashMap<Group, Vec<Name>> = HashMap::new();
    for name in held.keys() {
        if let Some(group) = name.group() {
            groups.entry(group).or_default().push(*name);
        }
    }
    groups.values_mut().for_each(|names| names.sort_unstable());
    groups
}

fn retractions_of(state: &State, name: Name) -> &[RetractionRecord] {
    name.group().and_then(|group| state.retractions.get(&group)).map_or(&[], Vec::as_slice)
}

fn is_retracted(row: &Row) -> bool {
    row.status == "retracted"
}
