//! A vector that grows by chunks and never moves what it holds.

/// A vector of `CHUNK`-element chunks: pushing allocates one chunk at most and moves no element.
#[derive(Debug)]
pub(super) struct ChunkedVec<T, const CHUNK: usize> {
    /// Every chunk but the last is full; each has its whole capacity from the start.
    chunks: Vec<Vec<T>>,
}

impl<T, const CHUNK: usize> ChunkedVec<T, CHUNK> {
    pub(super) fn new() -> ChunkedVec<T, CHUNK> {
        const { assert!(CHUNK.is_power_of_two()) };
        ChunkedVec { chunks: Vec::new() }
    }

    /// Appends `element` and answers its index.
    pub(super) fn push(&mut self, element: T) -> u32 {
        let index = u32::try_from(self.len()).expect("callers keep the elements within what a u32 can index");
        if (index as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks[index as usize / CHUNK].push(element);
        index
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Bytes allocated: whole chunks, used or not, and the list of them.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>() + self.chunks.capacity() * size_of::<Vec<T>>()
    }

    /// The most that [`Self::bytes`] can grow by so many pushes.
    pub(super) fn growth_bytes_max(&self, pushes: usize) -> usize {
        let chunks = pushes.div_ceil(CHUNK);
        // The list of chunks doubles when it is full, from four on.
        let list = self.chunks.capacity() + 2 * chunks + 4;
        chunks * CHUNK * size_of::<T>() + list * size_of::<Vec<T>>()
    }
}

impl<T, const CHUNK: usize> std::ops::Index<u32> for ChunkedVec<T, CHUNK> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

impl<T, const CHUNK: usize> std::ops::IndexMut<u32> for ChunkedVec<T, CHUNK> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_where_they_were_put() {
        let mut numbers = ChunkedVec::<u64, 4>::new();
        assert_eq!((numbers.len(), numbers.bytes()), (0, 0));
        let first = {
            numbers.push(0);
            &raw const numbers[0]
        };
        for number in 1..1_000 {
            let most = numbers.bytes() + numbers.growth_bytes_max(1);
            assert_eq!(numbers.push(number), number as u32);
            assert!(numbers.bytes() <= most);
        }
        numbers[500] += 1_000;
        assert_eq!(first, &raw const numbers[0]);
        assert_eq!(numbers.len(), 1_000);
        assert!((0..1_000).all(|at| numbers[at] == u64::from(at) + if at == 500 { 1_000 } else { 0 }));
        assert!(numbers.bytes() >= 8_000);
    }
}
