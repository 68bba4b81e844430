//! Cuts newline-delimited JSON into batches of bounded size.

use std::io::{self, BufRead};
use std::ops::RangeInclusive;

use super::stamp::Stamp;
use super::summary::LineError;

/// The most claims of one request.
pub(super) const BATCH_LINES_MAX: usize = 10_000;

/// The most bytes of one request, unless a single line is longer.
pub(super) const BATCH_BYTES_MAX: usize = 4 << 20;

/// The longest line that is sent. No valid claim comes near: value and metadata together are at most 72 KiB, 432 KiB if
/// every byte of them is escaped.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// Some lines of the input, ready to be sent in one request.
pub(super) struct Batch {
    /// The lines to send, each with its timestamp and line feed.
    pub(super) body: Vec<u8>,
    /// For each line of the body, its number in the input, counted from 1.
    pub(super) line_numbers: Vec<u64>,
    /// Lines that are not worth sending.
    pub(super) rejected: Vec<LineError>,
    /// The lines of the input that this batch stands for, blank ones included.
    pub(super) input_lines: RangeInclusive<u64>,
    /// Bytes of the input that this batch stands for.
    pub(super) input_bytes: u64,
}

/// Reads an input and cuts it into batches.
pub(super) struct BatchReader<R> {
    input: R,
    stamp: Stamp,
    lines: u64,
    line: Vec<u8>,
}

impl<R: BufRead> BatchReader<R> {
    pub(super) fn new(input: R, stamp: Stamp) -> BatchReader<R> {
        BatchReader { input, stamp, lines: 0, line: Vec::new() }
    }

    /// The next batch; `None` at the end of the input.
    pub(super) fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let first = self.lines + 1;
        let mut batch = Batch {
            body: Vec::new(),
            line_numbers: Vec::new(),
            rejected: Vec::new(),
            input_lines: first..=first,
            input_bytes: 0,
        };
        while self.lines - (first - 1) < BATCH_LINES_MAX as u64 && batch.body.len() < BATCH_BYTES_MAX {
            let bytes = self.read_line()?;
            if bytes == 0 {
                break;
            }
            self.lines += 1;
            batch.input_bytes += bytes;
            self.add_line(&mut batch);
        }
        if batch.input_bytes == 0 {
            return Ok(None);
        }
        batch.input_lines = first..=self.lines;
        Ok(Some(batch))
    }

    fn add_line(&self, batch: &mut Batch) {
        let mut line = self.line.as_slice();
        if self.lines == 1 {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line); // A byte order mark, as some editors leave.
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let mut reject = |code: &str, message| {
            batch.rejected.push(LineError { line: self.lines, code: code.to_owned(), message });
        };
        if line.len() > LINE_BYTES_MAX {
            let message =
                format!("the line is longer than {LINE_BYTES_MAX} bytes, which no claim can be; not sent");
            return reject("line_too_long", message);
        }
        // A request that begins with such a line could be read as something else than lines: as an array, for instance.
        if line[0] != b'{' {
            let message =
                "a claim is a JSON object and begins with `{`, this line does not; not sent".to_owned();
            return reject("not_an_object", message);
        }
        self.stamp.append(line, &mut batch.body);
        batch.body.push(b'\n');
        batch.line_numbers.push(self.lines);
    }

    /// Reads one line into `self.line` and returns its length in the input; of a line that is too long, only as much is
    /// kept as shows that it is.
    fn read_line(&mut self) -> io::Result<u64> {
        self.line.clear();
        let mut bytes = 0;
        loop {
            let buffered = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffered => buffered?,
            };
            let end = buffered.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(buffered.len(), |end| end + 1);
            let room = (LINE_BYTES_MAX + 4096).saturating_sub(self.line.len());
            self.line.extend_from_slice(&buffered[..used.min(room)]);
            self.input.consume(used);
            bytes += used as u64;
            if end.is_some() || used == 0 {
                return Ok(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stemedb_engine::time::UnixMicros;

    use super::*;

    fn batches(input: &[u8]) -> Vec<Batch> {
        let mut reader = BatchReader::new(input, Stamp::new(UnixMicros(5_000_000)));
        std::iter::from_fn(|| reader.next_batch().unwrap()).collect()
    }

    #[test]
    fn blank_lines_are_not_sent_but_counted() {
        let batches = batches(b"\xEF\xBB\xBF\n\n{\"timestamp\":1}\r\n  \n{\"timestamp\":2}");
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].body, b"{\"timestamp\":1}\n{\"timestamp\":2}\n");
        assert_eq!(batches[0].line_numbers, [3, 5]);
        assert_eq!(batches[0].input_lines, 1..=5);
    }

    #[test]
    fn batches_are_bounded_and_cover_the_input_without_gap() {
        let line = format!("{{\"value\":\"{}\"}}\n", "x".repeat(1000));
        let input = line.repeat(9_000) + &"{}\n".repeat(25_000) + "\n\n";
        let batches = batches(input.as_bytes());
        let mut next_line = 1;
        for batch in &batches {
            assert!(batch.body.len() < BATCH_BYTES_MAX + line.len() + 100);
            assert!(batch.line_numbers.len() <= BATCH_LINES_MAX);
            assert_eq!(batch.body.iter().filter(|&&byte| byte == b'\n').count(), batch.line_numbers.len());
            assert_eq!(*batch.input_lines.start(), next_line);
            next_line = batch.input_lines.end() + 1;
        }
        assert_eq!(next_line - 1, 34_002);
        assert_eq!(batches.iter().map(|batch| batch.input_bytes).sum::<u64>(), input.len() as u64);
    }

    #[test]
    fn a_line_longer_than_any_claim_is_rejected_without_being_held() {
        let claim = r#"{"timestamp":1}"#;
        let input = format!("{claim}\n{}\n{claim}\n", "x".repeat(3 * LINE_BYTES_MAX));
        let batches = batches(input.as_bytes());
        assert_eq!(batches[0].body, format!("{claim}\n{claim}\n").as_bytes());
        assert_eq!(batches[0].line_numbers, [1, 3]);
        assert_eq!((batches[0].rejected[0].line, batches[0].rejected[0].code.as_str()), (2, "line_too_long"));
    }

    #[test]
    fn a_line_that_could_change_the_meaning_of_a_request_is_not_sent() {
        let batches = batches(b"[{}]\n1\n {\"timestamp\":1}\n");
        assert_eq!(batches[0].body, b"{\"timestamp\":1}\n");
        let rejected: Vec<_> =
            batches[0].rejected.iter().map(|error| (error.line, error.code.as_str())).collect();
        assert_eq!(rejected, [(1, "not_an_object"), (2, "not_an_object")]);
    }
}
