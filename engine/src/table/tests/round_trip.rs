//! What goes into a table comes out of it.

use super::*;

#[test]
fn what_goes_in_comes_out_in_order() {
    let storage = MemoryTables::new();
    let claims: Vec<_> = (0..3000)
        .map(|n| ClaimRecord::new(n + 1, &format!("s/{}", n % 70), "p", (n as i64 * 7) % 40, Some("src/x")))
        .collect();
    let retractions = [RetractionRecord::new(1001, "s/3"), RetractionRecord::new(2001, "s/3")];
    let facts = build(&storage, TableNumber::FIRST, &claims, &retractions, 5000).unwrap();
    let content = content(&storage, TableNumber::FIRST).unwrap();
    assert_eq!((facts.entries, facts.retractions), (3000, 2));
    let retracted = claims.iter().filter(|claim| claim.subject == "s/3" && claim.order.lsn() < 2001).count();
    assert_eq!(facts.retracted, retracted as u64);
    assert_eq!(content.claims.len(), 3000);
}
