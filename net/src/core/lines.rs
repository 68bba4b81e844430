//! Splits a stream of bytes into lines without copying more than the line that is cut in two.

/// The lines of a stream that comes in pieces.
#[derive(Debug)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether the line being read is longer than `line_bytes_max`: the rest of it is skipped.
    overlong: bool,
    line_bytes_max: usize,
}

/// One line of a stream, without its line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a mut [u8]),
    /// Longer than allowed; its bytes are gone.
    Overlong,
}

impl Lines {
    pub(super) fn new(line_bytes_max: usize) -> Lines {
        Lines { partial: Vec::new(), overlong: false, line_bytes_max }
    }

    /// Gives each line that `bytes` completes to `each`, in order.
    pub(super) fn push(&mut self, bytes: &mut [u8], mut each: impl FnMut(Line<'_>)) {
        for piece in bytes.split_inclusive_mut(|byte| *byte == b'\n') {
            let Some((b'\n', line)) = piece.split_last_mut() else {
                self.keep(piece);
                return;
            };
            if self.overlong || self.partial.len() + line.len() > self.line_bytes_max {
                each(Line::Overlong);
            } else if self.partial.is_empty() {
                each(Line::Whole(line));
            } else {
                self.partial.extend_from_slice(line);
                each(Line::Whole(&mut self.partial));
            }
            self.partial.clear();
            self.overlong = false;
        }
    }

    /// Gives the last line to `each`, if the stream ended without a line feed.
    pub(super) fn finish(&mut self, each: impl FnOnce(Line<'_>)) {
        if self.overlong {
            each(Line::Overlong);
        } else if !self.partial.is_empty() {
            each(Line::Whole(&mut self.partial));
        }
        self.partial = Vec::new();
        self.overlong = false;
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.overlong || self.partial.len() + piece.len() > self.line_bytes_max {
            self.overlong = true;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: however a stream is cut, the same lines come out. Method: every cut of a small stream in two,
    //! and byte by byte, against the lines of the whole.

    use super::*;

    const LINE_BYTES_MAX: usize = 6;

    fn lines(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(LINE_BYTES_MAX);
        let mut seen = Vec::new();
        let mut note = |line: Line<'_>| {
            seen.push(match line {
                Line::Whole(bytes) => Some(bytes.to_vec()),
                Line::Overlong => None,
            });
        };
        for piece in pieces {
            lines.push(&mut piece.to_vec(), &mut note);
        }
        lines.finish(&mut note);
        seen
    }

    #[test]
    fn every_cut_gives_the_same_lines() {
        let stream: &[u8] = b"one\n\ntwelve\ntoolong\nfour\nlast";
        let expected = [
            Some(b"one".to_vec()),
            Some(vec![]),
            Some(b"twelve".to_vec()),
            None,
            Some(b"four".to_vec()),
            Some(b"last".to_vec()),
        ];
        assert_eq!(lines(&[stream]), expected);
        for cut in 0..=stream.len() {
            assert_eq!(lines(&[&stream[..cut], &stream[cut..]]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn an_unfinished_overlong_line_is_told_and_not_kept() {
        let mut lines = Lines::new(LINE_BYTES_MAX);
        for _ in 0..1000 {
            lines.push(&mut [b'x'; 5], |line| panic!("no line has ended, got {line:?}"));
            assert!(lines.partial.capacity() <= 2 * LINE_BYTES_MAX);
        }
        let mut told = false;
        lines.finish(|line| told = line == Line::Overlong);
        assert!(told);
    }

    #[test]
    fn a_stream_that_ends_with_a_line_feed_has_no_further_line() {
        assert_eq!(lines(&[b"one\n"]), [Some(b"one".to_vec())]);
        assert_eq!(lines(&[]), [] as [Option<Vec<u8>>; 0]);
    }
}
