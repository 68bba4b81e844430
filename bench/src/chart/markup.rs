//! Elements of SVG and HTML, written so that they are always closed and their text always escaped.

use std::fmt::{self, Display, Write};

/// XML that grows by whole elements.
#[derive(Debug, Default)]
pub struct Markup {
    out: String,
}

/// An attribute of an element: its name, and its value, which is escaped.
pub type Attribute<'a> = (&'a str, &'a dyn Display);

impl Markup {
    /// Nothing yet.
    pub fn new() -> Markup {
        Markup::default()
    }

    /// An element with what `content` writes into it.
    pub fn element(&mut self, name: &str, attributes: &[Attribute<'_>], content: impl FnOnce(&mut Markup)) {
        self.start(name, attributes);
        self.out.push('>');
        content(self);
        self.write(format_args!("</{name}>"));
    }

    /// An element with nothing in it.
    pub fn empty(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.start(name, attributes);
        self.out.push_str("/>");
    }

    /// An element with text in it, which is escaped.
    pub fn text(&mut self, name: &str, attributes: &[Attribute<'_>], text: impl Display) {
        self.element(name, attributes, |markup| markup.words(text));
    }

    /// Text, which is escaped.
    pub fn words(&mut self, text: impl Display) {
        write!(Escaped(&mut self.out), "{text}").expect("writing to memory does not fail");
    }

    /// Markup that is well-formed already.
    pub fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// The end of a line: for those who read the source.
    pub fn line(&mut self) {
        self.out.push('\n');
    }

    /// All that was written.
    pub fn finish(self) -> String {
        self.out
    }

    fn start(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.write(format_args!("<{name}"));
        for (name, value) in attributes {
            self.write(format_args!(" {name}=\""));
            self.words(value);
            self.out.push('"');
        }
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing to memory does not fail");
    }
}

/// A length or place in the units of a drawing, with two decimals at most.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Px(pub f64);

impl Display for Px {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(self.0.is_finite(), "a place in a drawing is a number, not {}", self.0);
        let hundredths = (self.0 * 100.0).round();
        // The sum turns a negative zero into a plain one.
        write!(formatter, "{}", hundredths / 100.0 + 0.0)
    }
}

/// Escapes what passes through for use as text and as an attribute between double quotes.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\t' | '\n' => self.0.push(character),
                // XML 1.0, section 2.2: these cannot be written in any way, not even as references.
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(markup: Markup) -> (String, String) {
        let text = markup.finish();
        let document = roxmltree::Document::parse(&text).expect("well-formed");
        let root = document.root_element();
        let attribute = root.attribute("title").unwrap_or_default().to_owned();
        (attribute, root.text().unwrap_or_default().to_owned())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let evil = "</text><script>alert('1')</script> & \"quoted\" ]]> <!-- µs ≤ 5";
        let mut markup = Markup::new();
        markup.text("text", &[("title", &evil)], evil);
        assert_eq!(parsed(markup), (evil.to_owned(), evil.to_owned()));
    }

    #[test]
    fn what_xml_cannot_say_is_replaced() {
        let mut markup = Markup::new();
        markup.text("text", &[("title", &"a\0b")], "\x1b[1mbold\x07\u{ffff}");
        assert_eq!(parsed(markup), ("a\u{fffd}b".to_owned(), "\u{fffd}[1mbold\u{fffd}\u{fffd}".to_owned()));
    }

    #[test]
    fn elements_nest() {
        let mut markup = Markup::new();
        markup.element("g", &[], |markup| {
            markup.empty("line", &[("x1", &Px(1.0)), ("x2", &Px(2.345_678))]);
            markup.text("text", &[], "t");
        });
        assert_eq!(markup.finish(), "<g><line x1=\"1\" x2=\"2.35\"/><text>t</text></g>");
    }

    #[test]
    fn places_are_short() {
        let written = [0.0, -0.001, 12.0, 1.0 / 3.0, -7.125].map(|place| Px(place).to_string());
        assert_eq!(written, ["0", "0", "12", "0.33", "-7.13"]);
    }
}
