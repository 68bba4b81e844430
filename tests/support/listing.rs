//! Everything that a query finds, page by page.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Client;
use crate::claims::Row;

/// Claims asked for at a time: the most that a page may hold.
const LIMIT: u64 = 10_000;

#[derive(Debug, Deserialize)]
struct Page {
    assertions: Vec<Row>,
    count: usize,
    cursor: Option<String>,
}

/// All claims about `path`, which may end in `/*`, in the order of the pages: newest first, each once.
pub fn all(client: &mut Client, path: &str) -> Vec<Row> {
    all_of(client, json!({"concept_path": path, "limit": LIMIT}))
}

/// All claims about `path`, retracted ones included.
pub fn all_with_retracted(client: &mut Client, path: &str) -> Vec<Row> {
    all_of(client, json!({"concept_path": path, "limit": LIMIT, "include_retracted": true}))
}

/// All that `query` finds, from its first page to its last.
pub fn all_of(client: &mut Client, mut query: Value) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let response = client.post("/v1/query", query.to_string()).expect("a running server answers");
        assert_eq!(response.status, 200, "{response:?}");
        let page: Page = serde_json::from_slice(&response.body).expect("a page of claims");
        assert_eq!(page.count, page.assertions.len(), "the count is that of the page");
        rows.extend(page.assertions);
        match page.cursor {
            Some(cursor) => query["cursor"] = json!(cursor),
            None => break,
        }
    }
    assert!(rows.is_sorted_by(|one, next| one.timestamp >= next.timestamp), "newest come first");
    let hashes: HashSet<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    assert_eq!(hashes.len(), rows.len(), "a claim is listed once");
    rows
}
