//! Some of many things that are wrong, by name, and how many there are.

use std::fmt;

/// How many are named.
const NAMED_MAX: usize = 10;

/// Things that are wrong.
#[derive(Debug, Default)]
pub(super) struct Named {
    count: u64,
    first: Vec<String>,
}

impl Named {
    /// One more.
    pub(super) fn add(&mut self, text: String) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(text);
        }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.join("; "))?;
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        let mut named = Named::default();
        assert!(named.is_empty());
        (0..10).for_each(|number| named.add(number.to_string()));
        assert_eq!(named.to_string(), "0; 1; 2; 3; 4; 5; 6; 7; 8; 9");
        named.add("10".to_owned());
        assert!(named.to_string().ends_with("8; 9; and 1 more"), "{named}");
    }
}
