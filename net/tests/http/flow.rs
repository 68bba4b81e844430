//! The same bytes in any pieces are the same requests and get the same answers, and any bytes are survived.

use proptest::collection::vec;
use proptest::prelude::*;
use stemedb_net::http::Limits;

use crate::script::{Happened, Manners, Script, text_head, text_response};

/// Bounds so low that the messages below run into them.
fn limits() -> Limits {
    Limits {
        head_bytes_max: 400,
        target_bytes_max: 60,
        body_bytes_max: 40,
        input_bytes_max: 400,
        ..Limits::default()
    }
}

/// Parts of messages, good and bad, of which streams of bytes are made.
const PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v1/query?a=%41+b HTTP/1.1\r\nHost: x\r\nX-Request-Id: me\r\n\r\n",
    "HEAD /v1/health HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n0123456789012345678901234567890123456789",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n",
    "a;b=\"c d\"\r\n0123456789\r\n",
    "0\r\n\r\n",
    "0\r\nTrailer: x\r\n\r\n",
    "29\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "\r\n",
    "GET / HTTP/1.1\r\n",
    "Host: x\r\n",
    "Content-Length: 7\r\n",
    "A: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
    "GET /0123456789012345678901234567890123456789012345678901234567890123456789",
    " folded\r\n",
    "\n",
    "\r",
    "\0",
    "x",
];

fn manners() -> impl Strategy<Value = Manners> {
    prop_oneof![Just(Manners::Echo), Just(Manners::Stream), Just(Manners::Hasty)]
}

/// A stream of parts with some bytes changed.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let parts = vec(prop::sample::select(PARTS), 1..8);
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (parts, changes).prop_map(|(parts, changes)| {
        let mut bytes = parts.concat().into_bytes();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// All that comes of `bytes` when they arrive in pieces that end at `cuts`.
fn outcome(manners: Manners, bytes: &[u8], cuts: &[usize]) -> (Vec<Happened>, String, bool) {
    let mut script = Script::with_limits(manners, limits());
    let mut start = 0;
    for &cut in cuts {
        script.receive(&bytes[start..cut]);
        start = cut;
    }
    script.receive(&bytes[start..]);
    let shut_down = script.connection.take_shutdown();
    script.receive_eof();
    assert!(script.connection.should_close(), "all was answered");
    (script.happened, String::from_utf8_lossy(&script.sent).into_owned(), shut_down)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_make_no_difference(
        manners in manners(),
        bytes in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let whole = outcome(manners, &bytes, &[]);
        let every_byte: Vec<usize> = (0..bytes.len()).collect();
        // An early answer ends the connection where a body in chunks has not come to its end: the less has come, the earlier.
        let is_chunked = bytes.windows(7).any(|name| name.eq_ignore_ascii_case(b"chunked"));
        let may_end_early = manners == Manners::Hasty && is_chunked;
        for cuts in [cuts, every_byte] {
            let in_pieces = outcome(manners, &bytes, &cuts);
            if may_end_early {
                prop_assert!(whole.0.starts_with(&in_pieces.0), "{:?}, whole {:?}", in_pieces, whole);
            } else {
                prop_assert_eq!(&in_pieces, &whole);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(manners in manners(), pieces in vec(vec(any::<u8>(), 0..100), 0..10)) {
        let mut script = Script::new(manners);
        for piece in pieces {
            script.receive(piece);
        }
        script.receive_eof();
        prop_assert!(script.connection.should_close());
    }

    #[test]
    fn answers_leave_in_order_however_they_come_and_go(
        answers in vec((any::<u32>(), 0..2_000_usize, any::<bool>()), 1..64),
        large in any::<prop::sample::Index>(),
        sends in vec(1..5_000_usize, 1..50),
    ) {
        let mut script = Script::new(Manners::Silent);
        script.receive("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(answers.len()));
        let bodies: Vec<String> = answers
            .iter()
            .enumerate()
            .map(|(index, &(_, bytes, _))| if index == large.index(answers.len()) { bytes + 50_000 } else { bytes })
            .map(|bytes| "x".repeat(bytes))
            .collect();
        let mut order: Vec<usize> = (0..answers.len()).collect();
        order.sort_by_key(|&index| answers[index].0);

        let mut sends = sends.iter().cycle();
        let mut sending: Option<(Vec<u8>, usize)> = None;
        for index in order {
            let body = &bodies[index];
            let id = script.requests[index];
            let answered = match answers[index].2 {
                true => script.connection.respond_owned(id, &text_head(), body.clone().into_bytes()),
                false => script.connection.respond(id, &text_head(), body.as_bytes()),
            };
            prop_assert!(answered);
            if sending.is_none() {
                sending = script.connection.take_output(0).map(|buffer| (buffer, 0));
            }
            if let Some((buffer, done)) = sending.take() {
                prop_assert!(script.connection.take_output(0).is_none(), "one send at a time");
                let bytes = (*sends.next().expect("a cycle")).min(buffer.len() - done);
                script.sent.extend_from_slice(&buffer[done..done + bytes]);
                script.connection.sent(bytes, 0);
                if done + bytes == buffer.len() {
                    script.connection.recycle(buffer);
                } else {
                    sending = Some((buffer, done + bytes));
                }
            }
        }
        if let Some((buffer, done)) = sending {
            script.sent.extend_from_slice(&buffer[done..]);
            script.connection.sent(buffer.len() - done, 0);
        }
        script.run();
        let expected: String =
            bodies.iter().enumerate().map(|(number, body)| text_response(number as u64, body)).collect();
        prop_assert_eq!(script.sent_text(), expected);
    }
}
