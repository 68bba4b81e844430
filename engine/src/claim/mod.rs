//! Claims: what an agent says about a subject, in the one form that everything else agrees on.
//!
//! Every type here is valid once it exists: the constructors check, and nothing behind them checks again.
//! A claim parsed from a request and a claim decoded from the log have the same type, and every claim has exactly one
//! [canonical encoding](canonical); its BLAKE3 hash names the claim everywhere.

mod agent;
#[cfg(test)]
pub(crate) mod arbitrary;
pub mod assertion;
pub mod canonical;
mod confidence;
mod epoch;
mod error;
mod hash;
pub mod hex;
mod json;
mod lifecycle;
mod metadata;
mod path;
mod predicate;
pub mod retraction;
pub mod signature;
mod source_class;
mod timestamp;
mod value;
#[cfg(test)]
mod vectors;

pub use agent::{Agent, AgentName};
pub use assertion::Assertion;
pub use canonical::DecodeError;
pub use confidence::Confidence;
pub use epoch::EpochId;
pub use error::{ClaimError, Field, Problem};
pub use hash::{ClaimHash, DerivedFrom};
pub use json::Json;
pub use lifecycle::Lifecycle;
pub use metadata::Metadata;
pub use path::ConceptPath;
pub use predicate::Predicate;
pub use retraction::{Reason, Retraction, RetractionId};
pub use signature::ClaimSignature;
pub use source_class::SourceClass;
pub use timestamp::Timestamp;
pub use value::{Number, Text, Value, ValueType};

/// A claim: `subject` has, for `predicate`, this `value`, says `agent`, with this much confidence.
///
/// Signatures are not part of a claim: they are made over its hash and travel beside it, in an [`Assertion`].
/// Any value of this type can be encoded, since each field's type carries its own bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// What the claim is about.
    pub subject: ConceptPath<'a>,
    /// Which property of the subject the claim gives.
    pub predicate: Predicate<'a>,
    /// The property's value, as this claim has it.
    pub value: Value<'a>,
    /// How sure the agent is.
    pub confidence: Confidence,
    /// When the claim was made, by the agent's clock or, where the agent gave no time, by the server's.
    pub timestamp: Timestamp,
    /// The evidence the claim rests on.
    pub source: Option<ConceptPath<'a>>,
    /// What kind of source that is.
    pub source_class: SourceClass,
    /// Where the claim stands in its review.
    pub lifecycle: Lifecycle,
    /// The claim that this one follows, for instance in a lifecycle transition. Need not be stored here.
    pub parent: Option<ClaimHash>,
    /// The claims that this one was derived from, in the agent's order. Need not be stored here.
    pub derived_from: DerivedFrom,
    /// The epoch the claim belongs to.
    pub epoch: Option<EpochId<'a>>,
    /// Who makes the claim.
    pub agent: Option<Agent<'a>>,
    /// A hash of the source document, made by the agent and never interpreted here.
    pub source_hash: Option<[u8; 32]>,
    /// Whatever else the agent wants kept with the claim.
    pub metadata: Option<Metadata<'a>>,
}

impl<'a> Claim<'a> {
    /// A claim with the contract's defaults: confidence 1, approved, the source class of its subject's scheme, and
    /// none of the optional fields.
    pub fn new(
        subject: ConceptPath<'a>,
        predicate: Predicate<'a>,
        value: Value<'a>,
        timestamp: Timestamp,
    ) -> Claim<'a> {
        Claim {
            subject,
            predicate,
            value,
            confidence: Confidence::CERTAIN,
            timestamp,
            source: None,
            source_class: SourceClass::default_for(&subject),
            lifecycle: Lifecycle::Approved,
            parent: None,
            derived_from: DerivedFrom::default(),
            epoch: None,
            agent: None,
            source_hash: None,
            metadata: None,
        }
    }
}
