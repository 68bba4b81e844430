//! Names from which all of a claim follows.

use crate::Random;
use crate::claims::TestClaim;

/// Which claim: its text is the subject of the claim, and determines the claim's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The round in which it was first sent.
    pub round: u64,
    /// The connection that first sent it.
    pub writer: u64,
    /// Which one of that connection.
    pub number: u64,
    /// Which group of its round it is in: 0 for none.
    pub group: u64,
    /// The most bytes of its value.
    pub value_bytes_max: u64,
}

/// Claims that name sources below one path, by which they are retracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// The round of its claims.
    pub round: u64,
    /// Which one of the round, from 1.
    pub number: u64,
}

impl Name {
    /// The subject.
    pub fn path(self) -> String {
        let Name { round, writer, number, group, value_bytes_max } = self;
        format!("history/{round}/{writer}/{number}/{group}/{value_bytes_max}")
    }

    /// The name whose subject this is.
    pub fn of_path(path: &str) -> Option<Name> {
        let mut parts = path.strip_prefix("history/")?.split('/').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        let name = Name {
            round: next()?,
            writer: next()?,
            number: next()?,
            group: next()?,
            value_bytes_max: next()?,
        };
        (parts.next().is_none() && name.path() == path).then_some(name)
    }

    /// The group that it is in.
    pub fn group(self) -> Option<Group> {
        (self.group > 0).then_some(Group { round: self.round, number: self.group })
    }

    /// The claim of this name: different in every field from the others of the history.
    pub(super) fn claim(self, contents: &Random) -> TestClaim {
        let mut random = contents.fork(self.round).fork(self.writer).fork(self.number);
        let value_bytes = random.within(0..=self.value_bytes_max);
        let mut claim = TestClaim::new(self.path(), "reading", random.text(value_bytes as usize));
        claim.confidence = random.within(0..=1000) as f64 / 1000.0;
        claim.timestamp_us += random.within(0..=50_000_000_000_000);
        claim.source = match self.group() {
            Some(group) => Some(format!("{}/page/{}", group.path(), random.within(0..=9))),
            None => random.once_in(3).then(|| format!("source/{}", random.within(0..=9))),
        };
        claim
    }
}

impl Group {
    /// The path by which its claims are retracted.
    pub fn path(self) -> String {
        format!("evidence/{}/{}", self.round, self.number)
    }
}
