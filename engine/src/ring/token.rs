//! What a completion's `user_data` says: which entry of the in-flight table it settles, or that it is not one.

/// The identity of a completion, packed into the 64 bits that the kernel carries from submission to completion.
///
/// ```text
/// bits 63..56  kind
/// operation    bits 55..32 index into the in-flight table, bits 31..0 generation of that entry
/// message      bits 31..0 upper half of the message's data; the lower half travels in the result
/// control      nothing: a cancellation, whose outcome the cancelled operation tells itself
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// An entry of the in-flight table.
    Operation { index: u32, generation: u32 },
    /// Data that another ring sent.
    Message { data_high: u32 },
    /// A request whose outcome nobody needs.
    Control,
}

const KIND_SHIFT: u32 = 56;
const KIND_OPERATION: u64 = 0;
const KIND_MESSAGE: u64 = 1;
const KIND_CONTROL: u64 = 2;
const INDEX_SHIFT: u32 = 32;

/// How many entries an in-flight table can have: the index has 24 bits.
pub(super) const OPERATIONS_MAX: u32 = 1 << 24;

impl Token {
    /// The token as the kernel carries it.
    pub(super) fn to_bits(self) -> u64 {
        match self {
            Token::Operation { index, generation } => {
                assert!(index < OPERATIONS_MAX, "index {index} does not fit a token");
                KIND_OPERATION << KIND_SHIFT | u64::from(index) << INDEX_SHIFT | u64::from(generation)
            }
            Token::Message { data_high } => KIND_MESSAGE << KIND_SHIFT | u64::from(data_high),
            Token::Control => KIND_CONTROL << KIND_SHIFT,
        }
    }

    /// The token that the kernel brought back.
    pub(super) fn from_bits(bits: u64) -> Token {
        match bits >> KIND_SHIFT {
            KIND_OPERATION => Token::Operation {
                index: (bits >> INDEX_SHIFT) as u32 & (OPERATIONS_MAX - 1),
                generation: bits as u32,
            },
            KIND_MESSAGE => Token::Message { data_high: bits as u32 },
            KIND_CONTROL => Token::Control,
            kind => panic!("a completion carries the unknown token {bits:#018x} of kind {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_survives_the_way_through_the_kernel(
            index in 0..OPERATIONS_MAX,
            generation: u32,
            data_high: u32,
        ) {
            for token in [
                Token::Operation { index, generation },
                Token::Message { data_high },
                Token::Control,
            ] {
                prop_assert_eq!(Token::from_bits(token.to_bits()), token);
            }
        }
    }
}
