//! etcd: puts over gRPC, its own protocol, with HTTP/2 and protobuf written by hand.

use std::error::Error;

use super::hpack::{self, Statuses};
use super::http2::{Connection, Event};
use super::rows::Rows;
use super::{Client, Operation, Progress, Request};

// Entries of the static table, RFC 7541, appendix A.
const METHOD_POST: u8 = 0x83;
const SCHEME_HTTP: u8 = 0x86;
const AUTHORITY: u8 = 1;
const PATH: u8 = 4;
const CONTENT_TYPE: u8 = 31;

/// `PutRequest`: `bytes key = 1`, `bytes value = 2`.
const KEY_TAG: u8 = 1 << 3 | 2;
const VALUE_TAG: u8 = 2 << 3 | 2;

/// A message in gRPC begins with a byte that says whether it is compressed, and its length.
const MESSAGE_HEAD_BYTES: usize = 5;

/// A connection that puts keys, one call after the other.
#[derive(Debug)]
pub struct Etcd {
    rows: Rows,
    connection: Connection,
    fields: Vec<u8>,
    /// The call's message.
    message: Vec<u8>,
    /// What was seen of the answer so far.
    answer: Answer,
}

#[derive(Debug, Default)]
struct Answer {
    is_begun: bool,
    body_bytes: usize,
}

impl Etcd {
    /// A connection that stores `rows`.
    pub fn new(rows: Rows) -> Etcd {
        let mut fields = vec![METHOD_POST, SCHEME_HTTP];
        hpack::field_indexed(&mut fields, PATH, "/etcdserverpb.KV/Put");
        hpack::field_indexed(&mut fields, AUTHORITY, "127.0.0.1");
        hpack::field_indexed(&mut fields, CONTENT_TYPE, "application/grpc");
        hpack::field_named(&mut fields, "te", "trailers");
        let (connection, answer) = (Connection::new(), Answer::default());
        Etcd { rows, connection, fields, message: Vec::new(), answer }
    }

    fn take_fields(&mut self, block: &[u8], is_end: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Statuses { is_ok, grpc } = hpack::statuses(block)?;
        let is_head = !self.answer.is_begun;
        if is_head && !is_ok {
            return Err("etcd answered with another HTTP status than 200".into());
        }
        self.answer.is_begun = true;
        match (grpc, is_end) {
            (None, false) if is_head => Ok(()),
            (Some(b"0"), true) if self.answer.body_bytes > MESSAGE_HEAD_BYTES => Ok(()),
            (status, _) => {
                let status = status.map_or("none".into(), String::from_utf8_lossy);
                let bytes = self.answer.body_bytes;
                Err(format!("etcd answered grpc-status {status} after a body of {bytes} bytes").into())
            }
        }
    }
}

impl Client for Etcd {
    fn greet(&mut self, out: &mut Vec<u8>) -> bool {
        self.connection.begin(out);
        true
    }

    fn request(&mut self, out: &mut Vec<u8>) -> Request {
        let row = self.rows.next();
        self.message.clear();
        self.message.extend_from_slice(&[0; MESSAGE_HEAD_BYTES]);
        for (tag, bytes) in [(KEY_TAG, row.subject.as_bytes()), (VALUE_TAG, row.body)] {
            self.message.push(tag);
            varint(&mut self.message, bytes.len());
            self.message.extend_from_slice(bytes);
        }
        let bytes = (self.message.len() - MESSAGE_HEAD_BYTES) as u32;
        self.message[1..MESSAGE_HEAD_BYTES].copy_from_slice(&bytes.to_be_bytes());
        self.answer = Answer::default();
        self.connection.open_stream(&self.fields, &self.message, out);
        Request { operation: Operation::Assert, units: 1 }
    }

    fn answer(
        &mut self,
        received: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let Some((bytes, event)) = self.connection.read(received, out)? else {
            return Ok(Progress::Incomplete);
        };
        match event {
            Event::None => Ok(Progress::Skipped(bytes)),
            // Only the greeting has settings to be taken.
            Event::Settled => Ok(Progress::Answered(bytes)),
            Event::Fields { block, is_end } => {
                self.take_fields(block, is_end)?;
                Ok(if is_end { Progress::Answered(bytes) } else { Progress::Skipped(bytes) })
            }
            Event::Data { is_end: true, .. } => Err("etcd ended an answer without a grpc-status".into()),
            Event::Data { bytes: body, is_end: false } => {
                self.answer.body_bytes += body.len();
                Ok(Progress::Skipped(bytes))
            }
        }
    }
}

/// Appends a number in the encoding of protobuf.
fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{RunId, Workload};

    fn asked() -> Etcd {
        let mut client = Etcd::new(Rows::new(&Workload::new(RunId::new(1)), 0));
        client.request(&mut Vec::new());
        client
    }

    fn answered(client: &mut Etcd, frames: &[&[u8]]) -> Result<Progress, Box<dyn Error + Send + Sync>> {
        let (last, before) = frames.split_last().expect("there are frames");
        for frame in before {
            assert_eq!(client.answer(frame, &mut Vec::new())?, Progress::Skipped(frame.len()));
        }
        client.answer(last, &mut Vec::new())
    }

    const HEAD: &[u8] =
        b"\0\0\x10\x01\x04\0\0\0\x01\x20\x88\x0f\x10\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64";
    const BODY: &[u8] = b"\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x0a\0";
    const TRAILERS: &[u8] = b"\0\0\x0c\x01\x05\0\0\0\x01\0\x88\x9a\xca\xc8\xb2\x12\x34\xda\x8f\x01\x30";

    #[test]
    fn a_put_is_a_call() {
        let mut out = Vec::new();
        Etcd::new(Rows::new(&Workload::new(RunId::new(1)), 0)).request(&mut out);
        let fields = usize::from(out[2]);
        let data = &out[9 + fields..];
        assert!(data.starts_with(b"\0\0\xe8\0\x01\0\0\0\x01\0\0\0\0\xe3\x0a\x16bench/sensor/"), "{data:?}");
        assert_eq!(&data[9 + 5 + 24..][..3], b"\x12\xc8\x01", "200 bytes");
        assert_eq!(data.len(), 9 + 5 + 24 + 3 + 200);
    }

    #[test]
    fn an_answer_ends_with_its_status() {
        let progress = answered(&mut asked(), &[HEAD, BODY, TRAILERS]).expect("right");
        assert_eq!(progress, Progress::Answered(TRAILERS.len()));
    }

    #[test]
    fn only_a_whole_answer_with_status_0_is_right() {
        assert!(answered(&mut asked(), &[HEAD, TRAILERS]).is_err(), "no body");
        assert!(answered(&mut asked(), &[TRAILERS]).is_err(), "no head");
        let mut failed = TRAILERS.to_vec();
        *failed.last_mut().expect("a status") = b'8';
        let error = answered(&mut asked(), &[HEAD, BODY, &failed]).expect_err("failed");
        assert!(error.to_string().contains("grpc-status 8"), "{error}");
        let mut ended = BODY.to_vec();
        ended[4] = 1;
        assert!(answered(&mut asked(), &[HEAD, &ended]).is_err(), "no status");
    }
}
