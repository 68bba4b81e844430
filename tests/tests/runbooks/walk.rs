//! A walk through a page: what it prints is typed on a host, section by section.

use std::path::{Path, PathBuf};

use stemedb_tests::machine::Host;

use crate::document::{Block, Document, Exchange, Kind};
use crate::exceptions;
use crate::shell::quoted;
use crate::shown;

/// What stands between the outputs of two commands, with the status of the first behind it.
const END_OF_OUTPUT: char = '\u{1e}';

/// How long the commands of a block may take, in seconds. Nothing is measured by it.
const BLOCK_SECONDS_MAX: u32 = 600;

/// A page that is gone through on a host. What was not done by the end, fails.
pub(crate) struct Walk<'h> {
    document: Document,
    host: &'h Host,
    /// Where commands are typed.
    directory: PathBuf,
    /// Whether they are typed at a terminal.
    at_terminal: bool,
    /// By block, whether it was done.
    done: Vec<bool>,
    /// Commands that are meant to fail, as they begin, and how, if that is known.
    failing: Vec<(&'static str, Option<i32>)>,
}

impl<'h> Walk<'h> {
    /// Begins a walk. Commands are typed in the home of an operator who is not root.
    pub(crate) fn through(path: &'static str, host: &'h Host) -> Walk<'h> {
        let document = Document::read(path);
        let done = document.blocks.iter().map(|block| block.kind == Kind::Drawing).collect();
        Walk {
            document,
            host,
            directory: PathBuf::from(host.operators_home()),
            at_terminal: false,
            done,
            failing: Vec::new(),
        }
    }

    /// From here on, commands are typed in this directory.
    pub(crate) fn in_directory(&mut self, directory: impl AsRef<Path>) {
        self.directory = directory.as_ref().to_owned();
    }

    /// The next command that begins like this ends with this status, as the page says or as it must.
    pub(crate) fn ends_with(&mut self, status: i32, command: &'static str) {
        self.failing.push((command, Some(status)));
    }

    /// The next command that begins like this may end as it likes.
    pub(crate) fn may_fail(&mut self, command: &'static str) {
        self.failing.push((command, None));
    }

    /// Types all commands of a section that were not typed yet. Gives what they printed.
    pub(crate) fn types(&mut self, section: &str) -> String {
        let mut printed = String::new();
        let mut any = false;
        while let Some(number) = self.next_in(section, |kind| matches!(kind, Kind::Commands | Kind::Session))
        {
            printed += &self.run(number);
            any = true;
        }
        assert!(any, "{}: no commands are left in the section {section:?}", self.document.path);
        printed
    }

    /// Types the commands of the next block of a section. Gives what they printed.
    pub(crate) fn types_next(&mut self, section: &str) -> String {
        let number = self.next_in(section, |kind| matches!(kind, Kind::Commands | Kind::Session));
        let number = number.unwrap_or_else(|| {
            panic!("{}: no commands are left in the section {section:?}", self.document.path)
        });
        self.run(number)
    }

    /// The same, for a command that wants a terminal.
    pub(crate) fn types_next_at_terminal(&mut self, section: &str) -> String {
        self.at_terminal = true;
        let printed = self.types_next(section);
        self.at_terminal = false;
        printed
    }

    /// Says that the next commands of a section are not typed, since this machine lacks what they are about.
    pub(crate) fn skips(&mut self, section: &str, lack: &str) {
        let number = self.next_in(section, |kind| matches!(kind, Kind::Commands | Kind::Session));
        let number = number.unwrap_or_else(|| {
            panic!("{}: no commands are left in the section {section:?}", self.document.path)
        });
        stemedb_tests::skip(format_args!("{}: {lack}", self.place(&self.document.blocks[number])));
        self.done[number] = true;
    }

    /// The next settings of a section, to be put where the page says.
    pub(crate) fn settings(&mut self, section: &str) -> String {
        let number = self.next_in(section, |kind| kind == Kind::Settings);
        let number = number.unwrap_or_else(|| {
            panic!("{}: no settings are left in the section {section:?}", self.document.path)
        });
        self.done[number] = true;
        self.document.blocks[number].text.clone()
    }

    /// Ends the walk: all blocks must have been done or be among the exceptions, and the server must have logged every line
    /// that the page shows of its log.
    pub(crate) fn ends(mut self) {
        assert!(self.failing.is_empty(), "never typed: {:?}", self.failing);
        let log = self.host.log();
        for (number, block) in
            self.document.blocks.iter().enumerate().filter(|(_, block)| block.kind == Kind::Log)
        {
            self.done[number] = true;
            for line in block.text.lines() {
                let is_logged = log.lines().any(|logged| shown::line_matches(line, logged));
                assert!(is_logged, "{}: the server has not logged {line:?} but\n{log}", self.place(block));
            }
        }
        for (block, done) in self.document.blocks.iter().zip(&self.done) {
            let excepted = exceptions::has(self.document.path, block);
            let place = self.place(block);
            assert!(*done || excepted, "{place}: nobody has tried\n{}", block.text);
            assert!(!*done || !excepted, "{place}: it is tried; take it out of the exceptions");
        }
    }

    fn place(&self, block: &Block) -> String {
        format!("{}, line {}", self.document.path, block.line)
    }

    fn next_in(&self, section: &str, is_wanted: impl Fn(Kind) -> bool) -> Option<usize> {
        let blocks = self.document.blocks.iter().enumerate();
        let mut wanted = blocks.filter(|(number, block)| {
            let is_open = !self.done[*number] && !exceptions::has(self.document.path, block);
            is_open && block.section == section && is_wanted(block.kind)
        });
        wanted.next().map(|(number, _)| number)
    }

    /// Types the commands of a block, one after another in one shell, and looks at how each ends and at what it prints.
    fn run(&mut self, number: usize) -> String {
        self.done[number] = true;
        let block = self.document.blocks[number].clone();
        let exchanges = block.exchanges();
        let typed: String = exchanges
            .iter()
            .map(|Exchange { typed, .. }| format!("{{\n{typed}\n}}\nprintf '\\036%s\\036' \"$?\"\n"))
            .collect();
        let script = format!("exec 2>&1\n{typed}");
        let mut line = format!("timeout {BLOCK_SECONDS_MAX} bash -o pipefail -c {}", quoted(&script));
        if self.at_terminal {
            line = format!("script --quiet --return --command {} /dev/null", quoted(&line));
        }
        let output = self.host.output_for_operator(&self.directory, &line);
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut parts = output.split(END_OF_OUTPUT);
        let mut all = String::new();
        for Exchange { typed, printed: shown } in exchanges {
            let place = self.place(&block);
            let (printed, status) = (parts.next().unwrap_or_default(), parts.next());
            let status =
                status.unwrap_or_else(|| panic!("{place}: {typed} has not ended but said\n{printed}"));
            let is_expected = self.status_of(&typed).is_none_or(|expected| status == expected.to_string());
            assert!(is_expected, "{place}: {typed} ends with {status}\n{printed}\n{}", self.host.log());
            let is_as_shown = block.kind != Kind::Session || shown::matches(&shown, printed);
            assert!(is_as_shown, "{place}: {typed} is shown to print\n{shown}but prints\n{printed}");
            all += printed;
        }
        all
    }

    /// How a command is to end, if that is known.
    fn status_of(&mut self, typed: &str) -> Option<i32> {
        match self.failing.iter().position(|(command, _)| typed.starts_with(command)) {
            Some(number) => self.failing.remove(number).1,
            None => Some(0),
        }
    }
}
