//! The example converter from Debian's package indexes keeps its word: its own tests pass.

use std::process::Command;

use stemedb_tests::skip;

#[test]
fn the_converter_passes_its_own_tests() {
    let python = Command::new("python3").arg("--version").output();
    if python.is_err() {
        return skip("no python3 on this machine, and nothing but the example needs it");
    }
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/test_debian_claims.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 answered --version just now");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
