//! Request targets: the path, and the parameters of the query.

use std::borrow::Cow;

/// The parameters of a query, in the order in which they were sent.
///
/// They are separated by `&`; a name ends at the first `=`; `%41` and `+` (a space) are decoded in names and
/// values; empty parts (`a=1&&b=2`) are passed over. A name without `=` has an empty value.
#[derive(Debug, Clone)]
pub struct QueryPairs<'a> {
    rest: &'a str,
}

impl<'a> QueryPairs<'a> {
    /// The parameters of `query`, whose percent-encodings have been checked.
    pub(super) fn new(query: &'a str) -> QueryPairs<'a> {
        QueryPairs { rest: query }
    }
}

impl<'a> Iterator for QueryPairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (part, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if !part.is_empty() {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                return Some((decode(name), decode(value)));
            }
        }
        None
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    todo!()
}
