//! A claim as the index shows it.

use super::body::{Body, RawValue, SharedIds};
use super::long::{Checkpoints, LongParts, LongPlace};
use super::lookup::EpochNumber;
use super::row::Row;
use super::{ClaimId, Index};
use crate::claim::{
    Agent, AgentName, Claim, ClaimHash, ConceptPath, Confidence, EpochId, Lifecycle, Metadata, Predicate,
    SourceClass, Timestamp, Value, ValueType,
};
use crate::order::{ListKey, WriteOrder};

/// A claim in an index, put together as it is asked for and borrowed from the index.
#[derive(Clone, Copy)]
pub struct ClaimView<'a> {
    index: &'a Index,
    row: &'a Row,
    body: Body<'a>,
    /// What was read from a table.
    fetched: Option<&'a LongParts>,
}

impl<'a> ClaimView<'a> {
    pub(super) fn new(index: &'a Index, id: ClaimId) -> ClaimView<'a> {
        let row = &index.rows[id.0];
        ClaimView { index, row, body: Body::at(index.bodies.from(row.body)), fetched: None }
    }

    /// In which checkpoints' tables the value or the metadata of the claim is, if that is not in memory. Then
    /// [`claim`](Self::claim), [`value`](Self::value) and [`value_utf8`](Self::value_utf8) have to be given what is
    /// [there](Self::with).
    pub fn stored(&self) -> Option<Checkpoints> {
        match self.index.long.place(self.body.long?) {
            LongPlace::Stored(checkpoints) => Some(*checkpoints),
            LongPlace::Memory(_) => None,
        }
    }

    /// The number of the long parts, if there are some.
    pub(super) fn long_number(&self) -> Option<u32> {
        self.body.long
    }

    /// The claim but for what only its body holds: another value, and neither metadata nor what it derives from.
    pub(super) fn without_content(&self) -> Claim<'a> {
        const CHECKED: &str = "was checked before the claim was inserted";
        let Index { predicates, sources, epochs, .. } = self.index;
        let ids = self.body.ids;
        let predicate = Predicate::new(text(predicates.string(self.series().1))).expect(CHECKED);
        let timestamp = Timestamp::new(self.key().timestamp).expect(CHECKED);
        Claim {
            source: ids.source.map(|source| ConceptPath::new(sources.path(source)).expect(CHECKED)),
            epoch: ids.epoch.map(|epoch| EpochId::new(text(epochs.string(epoch))).expect(CHECKED)),
            agent: self.agent(),
            ..Claim::new(self.subject(), predicate, Value::Boolean(false), timestamp)
        }
    }

    /// Appends the claim's body as an index has it that knows it by these numbers.
    pub(super) fn encode_body_with(&self, ids: SharedIds, long: u32, out: &mut Vec<u8>) {
        self.body.encode_with(ids, long, out);
    }

    /// About how many bytes of the claim are long.
    pub fn long_bytes(&self) -> usize {
        let metadata_bytes = if self.body.metadata_is_long { Metadata::BYTES_MAX } else { 0 };
        self.raw_value().long_bytes() + metadata_bytes
    }

    /// The same claim, with what a table has of it.
    pub fn with(self, parts: &'a LongParts) -> ClaimView<'a> {
        ClaimView { fetched: Some(parts), ..self }
    }

    /// The long parts of a claim that has some.
    ///
    /// # Panics
    ///
    /// If they are in a table, and were not given.
    fn long(&self) -> &'a LongParts {
        match (self.fetched, self.body.long.map(|long| self.index.long.place(long))) {
            (_, Some(LongPlace::Memory(parts))) | (Some(parts), _) => parts,
            _ => panic!("the long parts of claim {} were not read before they were asked for", self.hash()),
        }
    }

    /// The whole claim, as it was inserted.
    pub fn claim(&self) -> Claim<'a> {
        const CHECKED: &str = "was checked before the claim was inserted";
        let Index { predicates, sources, epochs, .. } = self.index;
        let rare = self.body.rare_fields(|| self.long().metadata());
        let ids = self.body.ids;
        Claim {
            subject: self.subject(),
            predicate: Predicate::new(text(predicates.string(self.series().1))).expect(CHECKED),
            value: self.value(),
            confidence: self.confidence(),
            timestamp: Timestamp::new(self.key().timestamp).expect(CHECKED),
            source: ids.source.map(|source| ConceptPath::new(sources.path(source)).expect(CHECKED)),
            source_class: self.source_class(),
            lifecycle: self.lifecycle(),
            parent: rare.parent,
            derived_from: rare.derived_from,
            epoch: ids.epoch.map(|epoch| EpochId::new(text(epochs.string(epoch))).expect(CHECKED)),
            agent: self.agent(),
            source_hash: rare.source_hash,
            metadata: rare.metadata,
        }
    }

    /// The claim's hash.
    pub fn hash(&self) -> ClaimHash {
        ClaimHash(self.row.hash)
    }

    /// When the claim was written.
    pub fn order(&self) -> WriteOrder {
        self.key().order
    }

    /// Where the claim stands in a list.
    pub fn key(&self) -> ListKey {
        self.row.key()
    }

    /// Whether the claim was retracted.
    pub fn retracted(&self) -> bool {
        self.row.is_retracted()
    }

    /// What the claim is about.
    pub fn subject(&self) -> ConceptPath<'a> {
        let path = self.index.subjects.path(self.series().0);
        ConceptPath::new(path).expect("was checked before the claim was inserted")
    }

    /// The text of what the claim is about, as bytes: for those who only pass it on and need no proof that it is UTF-8.
    pub fn subject_utf8(&self) -> &'a [u8] {
        self.index.subjects.paths().string(self.series().0)
    }

    /// The text of the claim's predicate, as [`ClaimView::subject_utf8`].
    pub fn predicate_utf8(&self) -> &'a [u8] {
        self.index.predicates.string(self.series().1)
    }

    /// The text of the claim's source, as [`ClaimView::subject_utf8`].
    pub fn source_utf8(&self) -> Option<&'a [u8]> {
        self.body.ids.source.map(|source| self.index.sources.paths().string(source))
    }

    /// The text of the claim's epoch, as [`ClaimView::subject_utf8`].
    pub fn epoch_utf8(&self) -> Option<&'a [u8]> {
        self.body.ids.epoch.map(|epoch| self.index.epochs.string(epoch))
    }

    /// Who made the claim.
    pub fn agent(&self) -> Option<Agent<'a>> {
        self.body.ids.agent.map(|agent| decode_agent(self.index.agents.string(agent)))
    }

    /// The type of the claim's value, and its text as [`ClaimView::subject_utf8`]; none for numbers and booleans.
    pub fn value_utf8(&self) -> (ValueType, Option<&'a [u8]>) {
        self.body.raw_value().utf8(|| self.long().value())
    }

    /// The claim's value.
    pub fn value(&self) -> Value<'a> {
        self.body.value(|| self.long().value())
    }

    /// How sure the claim's agent was.
    pub fn confidence(&self) -> Confidence {
        self.body.confidence
    }

    /// What kind of source the claim rests on.
    pub fn source_class(&self) -> SourceClass {
        self.body.source_class
    }

    /// Where the claim stands in its review.
    pub fn lifecycle(&self) -> Lifecycle {
        self.body.lifecycle
    }

    /// The claim's value, as it is compared and hashed.
    pub(crate) fn raw_value(&self) -> RawValue<'a> {
        self.body.raw_value()
    }

    /// The epoch the claim belongs to, by its number in the index.
    pub(crate) fn epoch(&self) -> Option<EpochNumber> {
        self.body.ids.epoch.map(EpochNumber)
    }

    /// The numbers of the claim's subject and predicate.
    fn series(&self) -> (u32, u32) {
        let series = &self.index.series[self.row.series];
        (series.subject, series.predicate)
    }
}

/// The most bytes by which an agent is interned.
pub(super) const AGENT_BYTES_MAX: usize = 1 + AgentName::BYTES_MAX;

/// Appends the bytes by which an agent is interned.
pub(super) fn encode_agent(agent: &Agent<'_>, out: &mut Vec<u8>) {
    match agent {
        Agent::Key(key) => {
            out.push(0);
            out.extend_from_slice(key);
        }
        Agent::Name(name) => {
            out.push(1);
            out.extend_from_slice(name.as_str().as_bytes());
        }
    }
}

fn decode_agent(bytes: &[u8]) -> Agent<'_> {
    match bytes {
        [0, key @ ..] => Agent::Key(key.try_into().expect("an agent's key was interned whole")),
        [1, name @ ..] => {
            Agent::Name(AgentName::new(text(name)).expect("was checked before it was interned"))
        }
        _ => panic!("an agent was interned as neither key nor name"),
    }
}

fn text(interned: &[u8]) -> &str {
    str::from_utf8(interned).expect("interned from a string")
}
