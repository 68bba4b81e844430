//! One value of a document.

use simd_json::{Node, StaticNode};

use super::document::Document;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number of any size.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The kind with its article, for messages: `a number`, `an object`.
    pub fn with_article(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// One value of a [`Document`]: its decoded content, and its text as it was written.
///
/// `'d` is the borrow of the document; strings and texts live for `'a` and may outlive it.
#[derive(Clone, Copy)]
pub struct Value<'d, 'a> {
    document: &'d Document<'a>,
    node: usize,
    structural: usize,
}

impl<'d, 'a> Value<'d, 'a> {
    pub(super) fn at(document: &'d Document<'a>, node: usize, structural: usize) -> Value<'d, 'a> {
        Value { document, node, structural }
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.document.node(self.node) {
            Node::String(_) => Kind::String,
            Node::Object { .. } => Kind::Object,
            Node::Array { .. } => Kind::Array,
            Node::Static(StaticNode::Null) => Kind::Null,
            Node::Static(StaticNode::Bool(_)) => Kind::Boolean,
            Node::Static(_) => Kind::Number,
        }
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The truth value of a boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.document.node(self.node) {
            Node::Static(StaticNode::Bool(value)) => Some(value),
            _ => None,
        }
    }

    /// The content of a string, escapes decoded.
    pub fn as_str(self) -> Option<&'a str> {
        match self.document.node(self.node) {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number nearest to a number's text; infinite where the text is beyond the range of an f64.
    pub fn as_f64(self) -> Option<f64> {
        (self.kind() == Kind::Number)
            .then(|| self.text().parse().expect("Rust's grammar of floats includes that of JSON numbers"))
    }

    /// The value as it stands in the body, without the whitespace around it.
    pub fn text(self) -> &'a str {
        let start = self.document.offset(self.structural);
        let (_, next) = self.end();
        let end = match self.document.node(self.node) {
            Node::Object { .. } | Node::Array { .. } => self.document.offset(next - 1) + 1,
            Node::String(_) | Node::Static(_) => self.document.offset(next),
        };
        let bytes = self.document.body[start..end].trim_ascii_end();
        std::str::from_utf8(bytes).expect("the parser has checked that the body is UTF-8")
    }

    /// The members of an object, in the order of the text.
    pub fn members(self) -> Option<Members<'d, 'a>> {
        match self.document.node(self.node) {
            Node::Object { len, .. } => Some(Members { rest: self.first_inside(), remaining: len }),
            _ => None,
        }
    }

    /// The elements of an array, in the order of the text.
    pub fn elements(self) -> Option<Elements<'d, 'a>> {
        match self.document.node(self.node) {
            Node::Array { len, .. } => Some(Elements { rest: self.first_inside(), remaining: len }),
            _ => None,
        }
    }

    fn first_inside(self) -> Value<'d, 'a> {
        Value::at(self.document, self.node + 1, self.structural + 1)
    }

    /// The indexes of the node and the structural behind the value.
    fn end(self) -> (usize, usize) {
        let (Node::Object { count, .. } | Node::Array { count, .. }) = self.document.node(self.node) else {
            return (self.node + 1, self.structural + 1);
        };
        let mut depth = 0;
        for (passed, offset) in self.document.structurals[self.structural..].iter().enumerate() {
            match self.document.body[*offset as usize] {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return (self.node + 1 + count, self.structural + passed + 1);
            }
        }
        unreachable!("the parser has checked that what opens at structural {} closes", self.structural)
    }
}

/// The members of an object: key and value.
#[derive(Clone)]
pub struct Members<'d, 'a> {
    /// Stands on the next key, where one remains.
    rest: Value<'d, 'a>,
    remaining: usize,
}

impl<'d, 'a> Iterator for Members<'d, 'a> {
    type Item = (&'a str, Value<'d, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let key = self.rest.as_str().expect("the parser has checked that keys are strings");
        // The colon is a structural and has no node; so is the comma behind the value.
        let value = Value::at(self.rest.document, self.rest.node + 1, self.rest.structural + 2);
        let (node, structural) = value.end();
        self.rest = Value::at(self.rest.document, node, structural + 1);
        Some((key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Members<'_, '_> {}

/// The elements of an array.
#[derive(Clone)]
pub struct Elements<'d, 'a> {
    /// Stands on the next element, where one remains.
    rest: Value<'d, 'a>,
    remaining: usize,
}

impl<'d, 'a> Iterator for Elements<'d, 'a> {
    type Item = Value<'d, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let value = self.rest;
        let (node, structural) = value.end();
        self.rest = Value::at(value.document, node, structural + 1);
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Elements<'_, '_> {}

#[cfg(test)]
mod tests {
    use super::super::{Reader, Value};

    fn with_root(body: &str, check: impl Fn(Value<'_, '_>)) {
        let mut reader = Reader::new(1 << 20);
        check(reader.parse(body.as_bytes()).expect("valid JSON").root());
    }

    #[test]
    fn strings_are_decoded_and_texts_are_as_written() {
        let body =
            " { \"a\\n\\u00e9\" : \"x\\ty\" , \"b\":[ 1 ,{\"c\" : null } ]\t, \"n\" : 9007199254740993 } ";
        with_root(body, |root| {
            let members: Vec<_> = root.members().expect("an object").collect();
            let keys: Vec<_> = members.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, ["a\né", "b", "n"]);
            let texts: Vec<_> = members.iter().map(|(_, value)| value.text()).collect();
            assert_eq!(texts, ["\"x\\ty\"", "[ 1 ,{\"c\" : null } ]", "9007199254740993"]);
            assert_eq!(members[0].1.as_str(), Some("x\ty"));
            let elements: Vec<_> = members[1].1.elements().expect("an array").map(|e| e.text()).collect();
            assert_eq!(elements, ["1", "{\"c\" : null }"]);
            assert_eq!(root.text(), body.trim());
        });
    }

    #[test]
    fn empty_containers_have_no_members_and_end_where_they_end() {
        with_root("[{},[],{ },[ ], [[],{}] ,0]", |root| {
            let texts: Vec<_> = root.elements().expect("an array").map(|element| element.text()).collect();
            assert_eq!(texts, ["{}", "[]", "{ }", "[ ]", "[[],{}]", "0"]);
            assert_eq!(root.elements().expect("an array").len(), 6);
            let first = root.elements().and_then(|mut elements| elements.next()).expect("six elements");
            assert_eq!(first.members().expect("an object").count(), 0);
        });
    }

    #[test]
    fn scalars_stand_at_the_top_too() {
        with_root(" true ", |root| assert_eq!((root.as_bool(), root.text()), (Some(true), "true")));
        with_root("null", |root| assert!(root.is_null()));
        with_root("-1.5e3 ", |root| assert_eq!((root.as_f64(), root.text()), (Some(-1500.0), "-1.5e3")));
        with_root("[1e400]", |root| {
            let number = root.elements().and_then(|mut elements| elements.next()).expect("one element");
            assert_eq!((number.as_f64(), number.text()), (Some(f64::INFINITY), "1e400"));
        });
        with_root("\"\"", |root| assert_eq!((root.as_str(), root.text()), (Some(""), "\"\"")));
    }

    #[test]
    fn strings_outlive_the_document() {
        let mut reader = Reader::new(100);
        let text = {
            let document = reader.parse(b"\"\\u0041b\"").expect("a string");
            document.root().as_str()
        };
        assert_eq!(text, Some("Ab"));
    }
}
