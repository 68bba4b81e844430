//! An input read as a program.

/// The input, read as choices; zeros when it has ended, so that every input is a whole program.
pub(crate) struct Program<'i> {
    pub(crate) rest: &'i [u8],
}

impl<'i> Program<'i> {
    /// A program that begins with the first byte of `input`.
    pub(crate) fn new(input: &'i [u8]) -> Program<'i> {
        Program { rest: input }
    }

    /// Up to so many bytes, fewer at the end.
    pub(crate) fn take(&mut self, bytes: usize) -> &'i [u8] {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number up to 65 535.
    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }
}

/// The pieces into which a seed cuts a stream, each of 1 to 97 bytes; 0 cuts it into single bytes.
pub(crate) struct Pieces<'s> {
    rest: &'s [u8],
    seed: usize,
    number: usize,
}

impl<'s> Pieces<'s> {
    pub(crate) fn new(stream: &'s [u8], seed: u8) -> Pieces<'s> {
        Pieces { rest: stream, seed: usize::from(seed), number: 0 }
    }
}

impl<'s> Iterator for Pieces<'s> {
    type Item = &'s [u8];

    fn next(&mut self) -> Option<&'s [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let bytes = (1 + self.seed * self.number % 97).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Some(piece)
    }
}

/// The next state of the generator of Knuth's MMIX, whose upper bits are good enough here.
pub(crate) fn next_random(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// The numbers below `count`, in an order that follows from `seed`.
pub(crate) fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut state = seed;
    for last in (1..count).rev() {
        state = next_random(state);
        numbers.swap(last, (state >> 33) as usize % (last + 1));
    }
    numbers
}
