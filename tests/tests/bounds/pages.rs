//! The bounds of an answer: 10 000 claims, and 1 MiB and what the last claim has beyond.

use serde_json::json;
use stemedb_tests::claims::TestClaim;

use crate::{Served, large_claim};

const PAGE_BYTES_MAX: usize = 1 << 20;

/// Reads pages to the end. Gives the claims and the bytes of each.
fn pages(served: &mut Served, path: &str, limit: usize) -> Vec<(usize, usize)> {
    let mut pages = Vec::new();
    let mut query = json!({"concept_path": path, "limit": limit});
    loop {
        let response = served.client.post("/v1/query", query.to_string()).expect("an answer");
        let page = response.ok();
        let claims = page["assertions"].as_array().expect("a list").len();
        assert_eq!(page["count"], claims);
        pages.push((claims, response.body.len()));
        match page.get("cursor") {
            Some(cursor) => query["cursor"] = cursor.clone(),
            None => return pages,
        }
    }
}

#[test]
fn a_page_ends_at_a_mebibyte_and_nothing_is_lost() {
    /// A value of 64 KiB whose every byte takes six in JSON, and what else a claim says.
    const CLAIM_BYTES_MAX: usize = 6 * (64 << 10) + 8192;
    let mut served = Served::with(&[]);
    let lines: String = (0..40).map(|number| large_claim(&format!("p/{number}"), 64 << 10) + "\n").collect();
    assert_eq!(served.takes("/v1/assert/batch", lines)["accepted"], 40);
    // One row, however long it is, is never cut.
    let escaped = TestClaim::new("p/escaped", "is", "\u{1}".repeat(64 << 10)).json();
    assert_eq!(served.takes("/v1/assert", escaped)["status"], "created");
    let pages = pages(&mut served, "p/*", 10_000);
    assert!(pages.len() >= 3, "{pages:?}");
    assert_eq!(pages.iter().map(|(claims, _)| claims).sum::<usize>(), 41);
    for (claims, bytes) in pages {
        assert!(claims > 0 && bytes <= PAGE_BYTES_MAX + CLAIM_BYTES_MAX, "{claims} claims in {bytes} bytes");
    }
    served.server.stop();
}

#[test]
fn a_page_has_as_many_claims_as_were_asked_for_and_no_more() {
    const CLAIMS: usize = 10_050;
    let mut served = Served::with(&[]);
    let lines: String =
        (0..CLAIMS).map(|number| TestClaim::new("n", "p", number as u64).json() + "\n").collect();
    assert_eq!(served.takes("/v1/assert/batch", lines)["accepted"], CLAIMS);
    for limit in [1000, 10_000] {
        let pages = pages(&mut served, "n", limit);
        assert_eq!(pages.iter().map(|(claims, _)| claims).sum::<usize>(), CLAIMS);
        for (claims, bytes) in pages {
            assert!(claims <= limit && bytes <= PAGE_BYTES_MAX + 1024, "{claims} claims in {bytes} bytes");
        }
    }
    served.refuses(
        "/v1/query",
        json!({"concept_path": "n", "limit": 10_001}).to_string(),
        400,
        "invalid_limit",
    );
    served.refuses("/v1/query", json!({"concept_path": "n", "limit": 0}).to_string(), 400, "invalid_limit");
    served.server.stop();
}
