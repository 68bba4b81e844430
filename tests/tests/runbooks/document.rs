//! A page of the documentation, as its sections and the fenced blocks in them.

use std::fs;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// A page.
pub(crate) struct Document {
    /// Its path in the repository.
    pub(crate) path: &'static str,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The heading that it stands below.
    pub(crate) section: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The line of the page on which it begins.
    pub(crate) line: usize,
}

/// What a block shows, which is the word behind its fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `sh`: commands to be typed, each of which succeeds.
    Commands,
    /// `console`: commands behind `$`, each with what it prints.
    Session,
    /// `log`: lines that the server logs.
    Log,
    /// `ini`: settings to be put into a file.
    Settings,
    /// `text`: a drawing, which says nothing that could be run.
    Drawing,
}

impl Kind {
    const ALL: [(&'static str, Kind); 5] = [
        ("sh", Kind::Commands),
        ("console", Kind::Session),
        ("log", Kind::Log),
        ("ini", Kind::Settings),
        ("text", Kind::Drawing),
    ];

    fn from_fence(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find_map(|(name, kind)| (name == word).then_some(kind))
    }
}

impl Document {
    /// Reads a page of the repository. A block that does not say what it shows fails.
    pub(crate) fn read(path: &'static str) -> Document {
        let file = crate::repository().join(path);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        Document::parse(path, &text)
    }

    fn parse(path: &'static str, text: &str) -> Document {
        let mut section = String::new();
        let mut blocks: Vec<Block> = Vec::new();
        let (mut in_heading, mut in_block) = (false, false);
        for (event, range) in Parser::new(text).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => {
                    (in_heading, section) = (true, String::new());
                }
                Event::End(TagEnd::Heading(_)) => in_heading = false,
                Event::Text(part) | Event::Code(part) if in_heading => section.push_str(&part),
                Event::Start(Tag::CodeBlock(fence)) => {
                    let line = text[..range.start].matches('\n').count() + 1;
                    let word = match &fence {
                        CodeBlockKind::Fenced(word) => word,
                        CodeBlockKind::Indented => panic!("{path}, line {line}: a block without a fence"),
                    };
                    let kind = Kind::from_fence(word).unwrap_or_else(|| {
                        let known = Kind::ALL.map(|(name, _)| name);
                        panic!(
                            "{path}, line {line}: expected one of {known:?} behind the fence, found `{word}`"
                        )
                    });
                    blocks.push(Block { section: section.clone(), kind, text: String::new(), line });
                    in_block = true;
                }
                Event::End(TagEnd::CodeBlock) => in_block = false,
                Event::Text(part) if in_block => {
                    blocks.last_mut().expect("one was begun").text.push_str(&part);
                }
                _ => {}
            }
        }
        Document { path, blocks }
    }
}

/// A command of a session, and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) typed: String,
    pub(crate) printed: String,
}

impl Block {
    /// The commands of a block with what they print, or nothing if that is not shown.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        match self.kind {
            Kind::Commands => {
                let commands = crate::shell::commands(&self.text).into_iter();
                commands.map(|typed| Exchange { typed, printed: String::new() }).collect()
            }
            Kind::Session => self.session(),
            Kind::Log | Kind::Settings | Kind::Drawing => Vec::new(),
        }
    }

    fn session(&self) -> Vec<Exchange> {
        let mut exchanges: Vec<Exchange> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), exchanges.last_mut()) {
                (Some(typed), _) => {
                    exchanges.push(Exchange { typed: typed.to_owned(), printed: String::new() });
                }
                (None, Some(last)) => last.printed += &format!("{line}\n"),
                (None, None) => panic!("line {}: a session begins with a command behind $", self.line),
            }
        }
        exchanges
    }
}

#[test]
fn a_page_is_read_as_its_sections_and_blocks() {
    let text = "# Page `one`\n\n```sh\nfirst\n```\n\n## Two\n\n1. Do\n\n   ```console\n   $ a \\\n   $ b\n   said\n     more\n   ```\n";
    let page = Document::parse("page.md", text);
    let shapes: Vec<_> =
        page.blocks.iter().map(|block| (&*block.section, block.kind, &*block.text)).collect();
    assert_eq!(
        shapes,
        [("Page one", Kind::Commands, "first\n"), ("Two", Kind::Session, "$ a \\\n$ b\nsaid\n  more\n")]
    );
    assert_eq!((page.blocks[0].line, page.blocks[1].line), (3, 11));
    let exchange = |typed: &str, printed: &str| Exchange { typed: typed.into(), printed: printed.into() };
    assert_eq!(page.blocks[1].exchanges(), [exchange("a \\", ""), exchange("b", "said\n  more\n")]);
}

#[test]
#[should_panic(expected = "page.md, line 1: expected one of")]
fn a_block_that_does_not_say_what_it_shows_fails() {
    Document::parse("page.md", "```\nfirst\n```\n");
}
