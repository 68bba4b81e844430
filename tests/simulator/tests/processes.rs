//! Goal: a seed says all of a world: nothing of the process that runs it gets in, no address, no hash of its own, no clock. Method: the
//! program runs a seed in two processes, and both print the same sum of all events.

use std::process::Command;

#[test]
fn two_processes_show_the_same_world() {
    for arguments in [&["--seed", "3", "--trace"][..], &["--seed", "4", "--trace", "--tls"]] {
        let [one, other] = [(); 2].map(|()| events(arguments));
        assert!(one.lines().any(|line| line.contains("the sum of all events is ")), "{one}");
        let differ = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert!(one == other, "the first events that differ: {differ:?}");
    }
}

/// What the program says of a seed, up to the sum of its events: how long it took follows.
fn events(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stemedb-simulator")).args(arguments).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let sum = text.find("the sum of all events is ").expect("it prints the sum");
    let end = text[sum..].find('\n').map_or(text.len(), |end| sum + end);
    text[..end].to_owned()
}
