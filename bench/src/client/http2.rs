//! As much of HTTP/2 (RFC 9113) as one call after another on a connection takes, without I/O.

use std::collections::BTreeMap;

use thiserror::Error;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// RFC 9113, section 6.5.2: what every receiver takes.
const FRAME_BYTES_MAX: usize = 16_384;

/// RFC 9113, section 6.9.2: what each side may send before the other says more.
const WINDOW_BYTES: i64 = 65_535;

/// How much is received before the sender is told that it may send as much again.
const WINDOW_UPDATE_BYTES: usize = WINDOW_BYTES as usize / 4;

const FRAME_HEAD_BYTES: usize = 9;

// Section 6: the kinds of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

// Section 6.5.2: settings.
const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The client's side of a connection, with at most one stream open.
#[derive(Debug)]
pub(super) struct Connection {
    /// Number of the stream that is open, or was open last.
    stream: u32,
    is_open: bool,
    /// What the stream has yet to send, when a window is shut.
    unsent: Vec<u8>,
    stream_window: i64,
    connection_window: i64,
    /// What a new stream may send.
    initial_window: i64,
    /// What was received since the sender was last told that it may send more.
    received_bytes: usize,
}

/// What the server sent, as far as the caller has to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// Nothing: the connection's own business.
    None,
    /// The server has taken our settings.
    Settled,
    /// Fields of the open stream: the head, or the trailers.
    Fields { block: &'a [u8], is_end: bool },
    /// A part of the open stream's body.
    Data { bytes: &'a [u8], is_end: bool },
}

/// Why a connection cannot go on.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Http2Error {
    #[error("the server closed the {0} with HTTP/2 error code {1}")]
    Closed(&'static str, u32),
    #[error("a frame of kind {0} with flags {1:#x} on stream {2} is not expected here")]
    Unexpected(u8, u8, u32),
    #[error("a frame of kind {0} has {1} bytes, which it cannot have")]
    Length(u8, usize),
}

impl Connection {
    pub(super) fn new() -> Connection {
        Connection {
            stream: 0,
            is_open: false,
            unsent: Vec::new(),
            stream_window: 0,
            connection_window: WINDOW_BYTES,
            initial_window: WINDOW_BYTES,
            received_bytes: 0,
        }
    }

    /// Appends what a client says first. The server may not compress fields by what it sent before, so that each block can be
    /// read for itself; that is certain once [`Event::Settled`] came.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PREFACE);
        let mut settings = Vec::new();
        for (setting, value) in [(HEADER_TABLE_SIZE, 0u32), (ENABLE_PUSH, 0)] {
            settings.extend_from_slice(&setting.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frame(out, SETTINGS, 0, 0, &settings);
    }

    /// Opens a stream with these fields and this body, and closes our side of it.
    pub(super) fn open_stream(&mut self, fields: &[u8], body: &[u8], out: &mut Vec<u8>) {
        assert!(!self.is_open && self.unsent.is_empty(), "one call at a time");
        assert!(!body.is_empty(), "a call has a body");
        // Section 5.1.1: a client's streams have odd numbers, ascending.
        self.stream = if self.stream == 0 { 1 } else { self.stream + 2 };
        self.is_open = true;
        self.stream_window = self.initial_window;
        frame(out, HEADERS, END_HEADERS, self.stream, fields);
        self.unsent.extend_from_slice(body);
        self.flush(out);
    }

    /// The first frame in `received`, if it is there as a whole: its length, and what it means. Appends what it wants answered.
    pub(super) fn read<'a>(
        &mut self,
        received: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Event<'a>)>, Http2Error> {
        let Some((head, rest)) = received.split_first_chunk::<FRAME_HEAD_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
        if length > FRAME_BYTES_MAX {
            return Err(Http2Error::Length(kind, length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let unexpected = Http2Error::Unexpected(kind, flags, stream);
        let is_own = self.is_open && stream == self.stream;
        let is_end = flags & END_STREAM != 0;
        let event = match kind {
            DATA if is_own && flags & !END_STREAM == 0 => {
                self.received(length, out);
                Event::Data { bytes: payload, is_end }
            }
            // A block in several frames, padded or with a priority is not what this server sends.
            HEADERS if is_own && flags & !END_STREAM == END_HEADERS => {
                Event::Fields { block: payload, is_end }
            }
            SETTINGS if stream == 0 && flags == ACK && length == 0 => Event::Settled,
            SETTINGS if stream == 0 && flags == 0 => {
                self.take_settings(payload)?;
                frame(out, SETTINGS, ACK, 0, &[]);
                self.flush(out);
                Event::None
            }
            PING if length != 8 => return Err(Http2Error::Length(kind, length)),
            PING if stream == 0 => {
                if flags & ACK == 0 {
                    frame(out, PING, ACK, 0, payload);
                }
                Event::None
            }
            WINDOW_UPDATE => {
                let more = payload.try_into().map_err(|_| Http2Error::Length(kind, length))?;
                let more = i64::from(u32::from_be_bytes(more) & (u32::MAX >> 1));
                match stream {
                    0 => self.connection_window += more,
                    _ if is_own => self.stream_window += more,
                    // Section 5.1: it may come for a stream that is closed, and means nothing then.
                    _ => (),
                }
                self.flush(out);
                Event::None
            }
            RST_STREAM if is_own => return Err(Http2Error::Closed("stream", error_code(kind, payload, 0)?)),
            GOAWAY => return Err(Http2Error::Closed("connection", error_code(kind, payload, 4)?)),
            _ => return Err(unexpected),
        };
        if let Event::Fields { is_end: true, .. } | Event::Data { is_end: true, .. } = event {
            if !self.unsent.is_empty() {
                return Err(unexpected);
            }
            self.is_open = false;
        }
        Ok(Some((FRAME_HEAD_BYTES + length, event)))
    }

    /// Sends what the windows let through.
    fn flush(&mut self, out: &mut Vec<u8>) {
        while !self.unsent.is_empty() {
            let window = self.stream_window.min(self.connection_window).min(FRAME_BYTES_MAX as i64);
            let bytes = window.clamp(0, self.unsent.len() as i64);
            if bytes == 0 {
                return;
            }
            self.stream_window -= bytes;
            self.connection_window -= bytes;
            let rest = self.unsent.split_off(bytes as usize);
            let flags = if rest.is_empty() { END_STREAM } else { 0 };
            frame(out, DATA, flags, self.stream, &self.unsent);
            self.unsent = rest;
        }
    }

    fn received(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.received_bytes += bytes;
        if self.received_bytes >= WINDOW_UPDATE_BYTES {
            frame(out, WINDOW_UPDATE, 0, 0, &(self.received_bytes as u32).to_be_bytes());
            self.received_bytes = 0;
        }
    }

    fn take_settings(&mut self, payload: &[u8]) -> Result<(), Http2Error> {
        let (settings, []) = payload.as_chunks::<6>() else {
            return Err(Http2Error::Length(SETTINGS, payload.len()));
        };
        let settings: BTreeMap<u16, u32> = settings
            .iter()
            .map(|[a, b, value @ ..]| (u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value)))
            .collect();
        if let Some(window) = settings.get(&INITIAL_WINDOW_SIZE) {
            // Section 6.9.2: it changes the windows of open streams, too, and may make them negative.
            self.stream_window += i64::from(*window) - self.initial_window;
            self.initial_window = i64::from(*window);
        }
        Ok(())
    }
}

/// Appends a frame.
fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The error code that begins at `place`.
fn error_code(kind: u8, payload: &[u8], place: usize) -> Result<u32, Http2Error> {
    let code = payload.get(place..).and_then(|rest| rest.first_chunk::<4>());
    code.map(|code| u32::from_be_bytes(*code)).ok_or(Http2Error::Length(kind, payload.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Connection {
        let mut connection = Connection::new();
        connection.open_stream(&[0x83], b"body", &mut Vec::new());
        connection
    }

    #[test]
    fn a_connection_begins_with_preface_and_settings() {
        let mut out = Vec::new();
        Connection::new().begin(&mut out);
        let settings = b"\0\0\x0c\x04\0\0\0\0\0\0\x01\0\0\0\0\0\x02\0\0\0\0";
        assert_eq!(out, [PREFACE, settings].concat());
    }

    #[test]
    fn a_call_is_two_frames() {
        let mut connection = Connection::new();
        let mut out = Vec::new();
        connection.open_stream(&[0x83], b"body", &mut out);
        assert_eq!(out, b"\0\0\x01\x01\x04\0\0\0\x01\x83\0\0\x04\0\x01\0\0\0\x01body");
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let mut connection = Connection::new();
        let mut out = Vec::new();
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0";
        assert_eq!(connection.read(settings, &mut out), Ok(Some((15, Event::None))));
        let ping = b"\0\0\x08\x06\0\0\0\0\0\x02\x04\x10\x10\x09\x0e\x07\x07";
        assert_eq!(connection.read(ping, &mut out), Ok(Some((17, Event::None))));
        assert_eq!(out, b"\0\0\0\x04\x01\0\0\0\0\0\0\x08\x06\x01\0\0\0\0\x02\x04\x10\x10\x09\x0e\x07\x07");
        let acknowledged = b"\0\0\0\x04\x01\0\0\0\0";
        assert_eq!(connection.read(acknowledged, &mut out), Ok(Some((9, Event::Settled))));
        assert_eq!(connection.read(&ping[..16], &mut out), Ok(None));
    }

    #[test]
    fn what_the_windows_hold_back_is_sent_when_they_open() {
        let mut connection = Connection::new();
        connection.connection_window = 3;
        let mut out = Vec::new();
        connection.open_stream(&[0x83], b"body", &mut out);
        assert_eq!(out, b"\0\0\x01\x01\x04\0\0\0\x01\x83\0\0\x03\0\0\0\0\0\x01bod");
        out.clear();
        // For the stream first, which changes nothing, then for the connection.
        for update in [b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x05", b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x05"] {
            assert_eq!(connection.read(update, &mut out), Ok(Some((13, Event::None))));
        }
        assert_eq!(out, b"\0\0\x01\0\x01\0\0\0\x01y");
        assert_eq!(connection.connection_window, 4);
    }

    #[test]
    fn a_smaller_window_of_streams_can_hold_all_back() {
        let mut connection = opened();
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
        connection.read(settings, &mut Vec::new()).expect("sound");
        assert_eq!(connection.stream_window, -4);
        let end = b"\0\0\0\0\x01\0\0\0\x01";
        connection.read(end, &mut Vec::new()).expect("sound");
        let mut out = Vec::new();
        connection.open_stream(&[0x83], b"body", &mut out);
        assert_eq!(out, b"\0\0\x01\x01\x04\0\0\0\x03\x83", "only the fields");
    }

    #[test]
    fn the_server_is_told_that_it_may_send_more() {
        let mut connection = opened();
        let mut out = Vec::new();
        let mut data = b"\0\x20\0\0\0\0\0\0\x01".to_vec();
        data.resize(FRAME_HEAD_BYTES + 8192, 7);
        for told in [false, true, false] {
            out.clear();
            let (bytes, _) = connection.read(&data, &mut out).expect("sound").expect("whole");
            assert_eq!((bytes, out.is_empty()), (data.len(), !told));
        }
    }

    #[test]
    fn what_ends_a_connection() {
        let mut out = Vec::new();
        let reset = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
        assert_eq!(opened().read(reset, &mut out), Err(Http2Error::Closed("stream", 8)));
        let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x0b";
        assert_eq!(opened().read(goaway, &mut out), Err(Http2Error::Closed("connection", 11)));
        let other_stream = b"\0\0\0\0\x01\0\0\0\x03";
        assert_eq!(opened().read(other_stream, &mut out), Err(Http2Error::Unexpected(0, 1, 3)));
        let continued = b"\0\0\0\x01\0\0\0\0\x01";
        assert_eq!(opened().read(continued, &mut out), Err(Http2Error::Unexpected(1, 0, 1)));
        let huge = b"\x01\0\0\0\0\0\0\0\x01";
        assert_eq!(opened().read(huge, &mut out), Err(Http2Error::Length(0, 65536)));
    }
}
