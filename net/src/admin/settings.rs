//! `stemedb-admin settings`, and the files that it reads: those of settings that systemd gives to units, such as
//! `/etc/stemedb/stemedb.env`. They are read as systemd reads them (systemd.exec(5), `EnvironmentFile=`), and never run as shell.

use std::fs;
use std::io::{Write as _, stdout};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::Chars;

use super::error::AdminError;

/// What `settings` is asked to read.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsOptions {
    /// The file, as EnvironmentFile= of a unit names it
    file: PathBuf,
}

/// Prints a line `NAME=VALUE` for each setting, with `\n` for the end of a line in a value and `\\` for a backslash, as `printf %b` reads it.
pub(super) fn run(options: &SettingsOptions) -> Result<ExitCode, AdminError> {
    let mut out = stdout().lock();
    for (name, value) in read(&options.file)? {
        writeln!(out, "{name}={}", value.replace('\\', r"\\").replace('\n', r"\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a file sets, each name once.
pub(super) fn read(file: &Path) -> Result<Vec<(String, String)>, AdminError> {
    let bytes = fs::read(file).map_err(|source| AdminError::File { path: file.to_owned(), source })?;
    // Comments may be written in anything.
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// What a text sets, each name once: of a name that is set again, the last value counts.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        if is_blank(first) || is_line_end(first) {
            continue;
        }
        if matches!(first, '#' | ';') {
            characters.by_ref().find(|&character| is_line_end(character));
            continue;
        }
        let Some(name) = name(first, &mut characters) else { continue };
        let value = value(&mut characters);
        if is_name(&name) {
            settings.retain(|(other, _)| *other != name);
            settings.push((name, value));
        }
    }
    settings
}

/// Reads up to the equals sign; `None` if the line has none.
fn name(first: char, characters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut name = String::from(first);
    loop {
        match characters.next()? {
            '=' => break,
            character if is_line_end(character) => return None,
            character => name.push(character),
        }
    }
    name.truncate(name.trim_end_matches(is_blank).len());
    Some(name)
}

/// Reads a value and the end of its line: quoted parts, one after the other, and then what is not quoted.
fn value(characters: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(&next) = characters.peek() {
        match next {
            '\'' => {
                characters.next();
                value.extend(characters.by_ref().take_while(|&character| character != '\''));
            }
            '"' => {
                characters.next();
                double_quoted(&mut value, characters);
            }
            next if is_line_end(next) => {
                characters.next();
                break;
            }
            next if is_blank(next) => {
                characters.next();
            }
            _ => {
                unquoted(&mut value, characters);
                break;
            }
        }
    }
    value
}

/// Reads what follows a double quote, up to the next one.
fn double_quoted(value: &mut String, characters: &mut Peekable<Chars<'_>>) {
    while let Some(character) = characters.next() {
        match character {
            '"' => return,
            '\\' => match characters.next() {
                Some('\n') | None => {}
                Some(escaped @ ('"' | '\\' | '`' | '$')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
}

/// Reads to the end of the line, without the blanks there. A backslash takes the next character as it is; a line that ends with one goes on.
fn unquoted(value: &mut String, characters: &mut Peekable<Chars<'_>>) {
    let mut kept = value.len();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                value.extend(characters.next().filter(|&escaped| !is_line_end(escaped)));
                kept = value.len();
            }
            end if is_line_end(end) => break,
            blank if is_blank(blank) => value.push(blank),
            other => {
                value.push(other);
                kept = value.len();
            }
        }
    }
    value.truncate(kept);
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

/// Whether the environment may have a variable of this name. systemd leaves out all others.
fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_settings_is_read_as_systemd_reads_it() {
        let text = "\
# A comment = of one line \\
; and another=one
PLAIN=365
  BLANKS  =  \t two  words \t
EMPTY=
NO_EQUALS_SIGN
export SHELL=is not this
9DIGIT=first
SINGLE='$(touch x) \"\\ # '
DOUBLE=\"a\\\"b\\\\c\\$d\\`e\\f\\
g\"
LINES='one
two'
PARTS='a'\"b\"  c d'e' # f
CONTINUED=one\\
two\\ \\ \t
SHELL=$HOME `pwd` $(pwd) \\$5
TWICE=1
TWICE=2
LAST=end";
        let expected = [
            ("PLAIN", "365"),
            ("BLANKS", "two  words"),
            ("EMPTY", ""),
            ("SINGLE", "$(touch x) \"\\ # "),
            ("DOUBLE", "a\"b\\c$d`e\\fg"),
            ("LINES", "one\ntwo"),
            ("PARTS", "abc d'e' # f"),
            ("CONTINUED", "onetwo  "),
            ("SHELL", "$HOME `pwd` $(pwd) $5"),
            ("TWICE", "2"),
            ("LAST", "end"),
        ];
        let found = parse(text);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(parse("OPEN=\"a\nb"), [("OPEN".to_owned(), "a\nb".to_owned())]);
    }
}
