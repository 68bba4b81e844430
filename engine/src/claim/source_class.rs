//! Source classes: what kind of source a claim rests on, from the strictest to the loosest.

use super::error::{ClaimError, Field, Problem};
use super::path::ConceptPath;

/// The kind of source behind a claim. The order is that of the tiers: the first weighs most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SourceClass {
    /// Regulators and standards bodies.
    Regulatory = 0,
    /// Controlled trials and reviewed papers.
    Clinical = 1,
    /// Observed, not controlled.
    Observational = 2,
    /// Somebody who should know.
    Expert = 3,
    /// Many who might know.
    Community = 4,
    /// Somebody said so.
    Anecdotal = 5,
}

impl SourceClass {
    /// All classes, by number.
    pub const ALL: [SourceClass; 6] = [
        SourceClass::Regulatory,
        SourceClass::Clinical,
        SourceClass::Observational,
        SourceClass::Expert,
        SourceClass::Community,
        SourceClass::Anecdotal,
    ];

    /// The class that a subject's scheme implies; [`SourceClass::Expert`] where it implies none.
    pub fn default_for(subject: &ConceptPath<'_>) -> SourceClass {
        // No scheme of ours has a colon in it, so the first one of the path decides.
        let Some((scheme, rest)) = subject.as_str().split_once(':') else { return SourceClass::Expert };
        if !rest.starts_with("//") {
            return SourceClass::Expert;
        }
        match scheme {
            "rfc" | "fda" | "ietf" => SourceClass::Regulatory,
            "peer" | "pubmed" => SourceClass::Clinical,
            "code" | "wiki" => SourceClass::Expert,
            "community" => SourceClass::Community,
            "blog" | "anon" => SourceClass::Anecdotal,
            _ => SourceClass::Expert,
        }
    }

    /// The class with this number, `0..=5`.
    pub fn from_number(number: u8) -> Result<SourceClass, ClaimError> {
        let unknown = || Problem::UnknownNumber { number, max: 5 }.of(Field::SourceClass);
        Self::ALL.get(usize::from(number)).copied().ok_or_else(unknown)
    }

    /// The class with this name, as [`SourceClass::name`] gives it.
    pub fn from_name(name: &str) -> Result<SourceClass, ClaimError> {
        const EXPECTED: &str = "regulatory, clinical, observational, expert, community, anecdotal";
        let unknown = || Problem::unknown_name(EXPECTED, name).of(Field::SourceClass);
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(unknown)
    }

    /// The class's number, `0..=5`.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The class's name, snake_case.
    pub fn name(self) -> &'static str {
        match self {
            SourceClass::Regulatory => "regulatory",
            SourceClass::Clinical => "clinical",
            SourceClass::Observational => "observational",
            SourceClass::Expert => "expert",
            SourceClass::Community => "community",
            SourceClass::Anecdotal => "anecdotal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for (number, class) in (0..).zip(SourceClass::ALL) {
            assert_eq!(class.number(), number);
            assert_eq!(SourceClass::from_number(number), Ok(class));
            assert_eq!(SourceClass::from_name(class.name()), Ok(class));
        }
        for number in 6..=u8::MAX {
            assert!(SourceClass::from_number(number).is_err());
        }
        for name in ["", "Expert", "expert ", "experts"] {
            assert!(SourceClass::from_name(name).is_err());
        }
    }

    #[test]
    fn schemes_imply_classes() {
        let default_for = |text| SourceClass::default_for(&ConceptPath::new(text).expect("a valid path"));
        for (text, class) in [
            ("rfc://7519/alg", SourceClass::Regulatory),
            ("fda://ozempic", SourceClass::Regulatory),
            ("ietf://", SourceClass::Regulatory),
            ("peer://a", SourceClass::Clinical),
            ("pubmed://a", SourceClass::Clinical),
            ("code://a", SourceClass::Expert),
            ("wiki://a", SourceClass::Expert),
            ("community://a", SourceClass::Community),
            ("blog://a", SourceClass::Anecdotal),
            ("anon://a", SourceClass::Anecdotal),
            ("debian/bash", SourceClass::Expert),
            ("rfc:/7519", SourceClass::Expert),
            ("x/rfc://7519", SourceClass::Expert),
            ("://a", SourceClass::Expert),
        ] {
            assert_eq!(default_for(text), class, "{text}");
        }
    }
}
