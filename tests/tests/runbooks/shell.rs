//! Blocks of commands, as bash reads them.

use std::process::{Command, Stdio};

/// The commands of a block, one after another as they would be typed. What bash does not understand fails.
pub(crate) fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut begun = String::new();
    for line in text.lines() {
        if begun.is_empty() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        begun += line;
        begun.push('\n');
        if is_complete(&begun) {
            commands.push(std::mem::take(&mut begun).trim_end().to_owned());
        }
    }
    assert!(begun.is_empty(), "bash does not understand this, or misses its end:\n{begun}");
    commands
}

/// Whether bash would run this, and not wait for more.
fn is_complete(command: &str) -> bool {
    if command.trim_end().ends_with(['\\', '|']) || command.trim_end().ends_with("&&") {
        return false;
    }
    let read = Command::new("bash").args(["-n", "-c", command]).stdin(Stdio::null()).output();
    let read = read.expect("bash is there");
    // A here-document without its end is a warning only.
    read.status.success() && read.stderr.is_empty()
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn a_block_is_read_as_its_commands() {
    let text =
        "# Words.\none && \\\n  two\n\nfor x in 1 2; do\n  three\ndone\ncat <<E\n# four\nE\nfive 'a\nb'\n";
    let expected =
        ["one && \\\n  two", "for x in 1 2; do\n  three\ndone", "cat <<E\n# four\nE", "five 'a\nb'"];
    assert_eq!(commands(text), expected);
}

#[test]
#[should_panic(expected = "misses its end")]
fn what_is_no_command_fails() {
    commands("one\nif two\n");
}
