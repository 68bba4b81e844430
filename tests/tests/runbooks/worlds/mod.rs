//! The worlds of the pages: each brings a machine into the trouble that its page is about, and walks through it.

mod full;
mod recovery;
mod tls;
mod wont_start;

use stemedb_tests::machine::Host;

/// Stores so many claims, each about a subject of its own below `path`.
fn store(host: &Host, path: &str, claims: u32) {
    let claim = format!(
        r#"{{\"concept_path\":\"{path}/%d\",\"predicate\":\"is\",\"value\":%d,\"timestamp\":1700000000}}\n"#
    );
    host.typed(&format!("seq {claims} | awk '{{ printf \"{claim}\", $1, $1 }}' | stemedb-admin import -"));
}

/// Types what must fail.
fn fails(host: &Host, line: &str) {
    let output = host.output(line);
    assert!(!output.status.success(), "{line} has not failed:\n{}", String::from_utf8_lossy(&output.stdout));
}

/// How many claims the server says that it has.
fn assertion_count(host: &Host) -> u64 {
    let count = host.typed("curl http://localhost:18180/v1/health | jq .assertion_count");
    count.trim().parse().unwrap_or_else(|_| panic!("{count:?} is no count"))
}
