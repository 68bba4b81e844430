//! What can be wrong with what a server holds.

use std::fmt;

use super::{Group, Name};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A claim that was acknowledged or shown is not there.
    Lost {
        /// Which.
        name: Name,
    },
    /// Something is there that nobody had sent by then, or that was known not to be there.
    Invented {
        /// What it is about.
        path: String,
    },
    /// A claim is there that was refused.
    Refused {
        /// Which.
        name: Name,
    },
    /// A claim is there with other contents.
    Changed {
        /// Which.
        name: Name,
        /// What is there.
        row: String,
    },
    /// A claim is there more than once.
    Twice {
        /// Which.
        name: Name,
    },
    /// A claim had one hash and now has another.
    OtherHash {
        /// Which.
        name: Name,
        /// The hash that was told first.
        known: String,
        /// The other.
        told: String,
    },
    /// Of the claims that a retraction must strike all at once, some are struck.
    HalfRetraction {
        /// Of what.
        group: Group,
        /// A claim that is retracted.
        retracted: Name,
        /// One that is not.
        active: Name,
    },
    /// A retraction that was acknowledged has struck none of its claims.
    LostRetraction {
        /// Of what.
        group: Group,
    },
    /// A claim was shown as retracted and is active again.
    Unretracted {
        /// Which.
        name: Name,
    },
    /// A claim is retracted, and no retraction can have struck it.
    Unasked {
        /// Which.
        name: Name,
    },
    /// A number that the server tells is not that of the claims it lists.
    Count {
        /// Where it tells it.
        at: String,
        /// What it tells.
        told: u64,
        /// How many it lists.
        listed: u64,
    },
    /// An answer that should not have been given.
    Unexpected {
        /// To what, and which.
        what: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Lost { name } => {
                write!(f, "{} was acknowledged or shown, and is not there", name.path())
            }
            Violation::Invented { path } => {
                write!(f, "{path} is there, and had not been sent or was absent before")
            }
            Violation::Refused { name } => write!(f, "{} is there, and was refused", name.path()),
            Violation::Changed { name, row } => write!(f, "{} has other contents: {row}", name.path()),
            Violation::Twice { name } => write!(f, "{} is there more than once", name.path()),
            Violation::OtherHash { name, known, told } => {
                write!(f, "{} had the hash {known} and now has {told}", name.path())
            }
            Violation::HalfRetraction { group, retracted, active } => write!(
                f,
                "{} is retracted by half: {} is, {} is not",
                group.path(),
                retracted.path(),
                active.path()
            ),
            Violation::LostRetraction { group } => {
                write!(f, "the retraction of {} was acknowledged, and is not there", group.path())
            }
            Violation::Unretracted { name } => {
                write!(f, "{} was retracted, and is active again", name.path())
            }
            Violation::Unasked { name } => {
                write!(f, "{} is retracted, and no retraction can have struck it", name.path())
            }
            Violation::Count { at, told, listed } => {
                write!(f, "{at} is {told}, but {listed} claims are listed")
            }
            Violation::Unexpected { what } => f.write_str(what),
        }
    }
}
