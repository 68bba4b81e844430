//! Goal: damage to what was acknowledged is never served and never dropped in silence, and what was never finished
//! does not keep a server from starting.
//!
//! Method: a log of two lanes, several segments and two generations, with every claim in it acknowledged, is damaged
//! in one place after another, and mended again each time: a byte of a frame or of a header is changed, a file is
//! taken away. The server must refuse to start, say where the damage is, and leave every file as it was; in the end,
//! when all is mended, it must start. Then the very end of a log, behind which nothing was written, is cut or scrambled, as a crash in the middle of a write leaves it: the
//! server must start, say what it dropped, and hold everything before.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use stemedb_engine::checkpoint::{DirManifest, Manifest};
use stemedb_engine::log::BLOCK_BYTES;
use stemedb_engine::log::frame::{FRAME_HEADER_BYTES, FrameKind};
use stemedb_engine::table::DirTables;
use stemedb_tests::claims::TestClaim;
use stemedb_tests::data::differences;
use stemedb_tests::wal::{self, FoundFrame, Segment};
use stemedb_tests::{Data, Random, Server, Start, listing};

/// Damaged places tried, of frames that later ones cover.
const PLACES: usize = 16;

/// Claims in a log that is to be damaged, and bytes of the value of each: more than a segment of each lane holds.
const CLAIMS: u64 = 360;
const VALUE_BYTES: usize = 16_000;

/// Of the claims, those of the second generation.
const FEW: u64 = 20;

const MAGIC: &str = "WAL magic byte validation failed";
const CHECKSUM: &str = "Checksum mismatch in WAL segment";

/// What an error about damage tells to read.
const RUNBOOK: &str = "docs/operations/recovery.md";

#[test]
fn a_changed_byte_in_an_acknowledged_frame_is_refused() {
    let mut random = Random::for_test("damage to frames");
    let data = acknowledged_log(&mut random);
    let segments = wal::segments(&data.wal());
    // The last frame of each lane is the marker that a clean stop has written: nothing covers it.
    let covered: Vec<(&Segment, &FoundFrame)> = segments
        .iter()
        .flat_map(|segment| segment.frames.iter().map(move |frame| (segment, frame)))
        .filter(|(segment, frame)| {
            frame.header.kind != FrameKind::Marker || frame.range().end < segment.end()
        })
        .collect();
    let of_kind =
        |kind| covered.iter().filter(move |(_, frame)| frame.header.kind == kind).collect::<Vec<_>>();
    let (records, seals) = (of_kind(FrameKind::Records), of_kind(FrameKind::Seal));
    assert!(seals.len() >= 2, "the log has segments that were filled, in {segments:?}");

    for place in 0..PLACES {
        let among = if place % 8 == 0 { &seals } else { &records };
        let (segment, frame) = among[random.within(0..=among.len() as u64 - 1) as usize];
        // Anywhere behind magic and length, whose damage shows in other ways: in a field, a record or the padding.
        let at = match place % 4 {
            0 => random.within(4..=59),
            _ => random.within(FRAME_HEADER_BYTES as u64..=frame.header.frame_bytes() as u64 - 1),
        };
        must_refuse_change(&data, segment, frame.offset, at, &mut random, CHECKSUM);
    }
    for (segment, frame) in [records[0], records[records.len() / 2], seals[0]] {
        let at = random.within(0..=3);
        must_refuse_change(&data, segment, frame.offset, at, &mut random, MAGIC);
        // The length: what is wrong then depends on it, where it is wrong does not.
        let at = random.within(60..=63);
        must_refuse_change(&data, segment, frame.offset, at, &mut random, "");
    }
    must_start(&data);
}

#[test]
fn a_changed_header_of_a_segment_is_refused() {
    let mut random = Random::for_test("damage to headers");
    let data = acknowledged_log(&mut random);
    let segments = wal::segments(&data.wal());
    let begun: Vec<&Segment> = segments.iter().filter(|segment| segment.header.is_some()).collect();
    let last_of_lane_0 = begun.iter().rposition(|segment| segment.id.lane.0 == 0).expect("there is a lane 0");
    for segment in [begun[0], begun[1], begun[last_of_lane_0], begun[begun.len() - 1]] {
        let at = random.within(0..=7);
        must_refuse_change(&data, segment, 0, at, &mut random, MAGIC);
        for at in [random.within(8..=11), random.within(12..=BLOCK_BYTES as u64 - 1)] {
            must_refuse_change(&data, segment, 0, at, &mut random, CHECKSUM);
        }
        overwrite(&data, segment, 0, &[0; BLOCK_BYTES]);
        must_refuse(&data, &[MAGIC, &place(&data, segment, 0), RUNBOOK]);
        overwrite(&data, segment, 0, &segment.bytes[..BLOCK_BYTES]);
    }
    must_start(&data);
}

#[test]
fn a_missing_segment_or_lane_is_refused() {
    let mut random = Random::for_test("missing segments");
    let data = acknowledged_log(&mut random);
    let segments = wal::segments(&data.wal());
    for lane in [0, 1] {
        let of_lane: Vec<&Segment> =
            segments.iter().filter(|segment| segment.id.lane.0 == lane && segment.header.is_some()).collect();
        assert!(of_lane.len() >= 3, "lane {lane} has {} segments", of_lane.len());
        let last = of_lane.len() - 1;
        for missing in [0, 1, last] {
            let segment = of_lane[missing];
            take_away(&data, &[segment]);
            let missing = format!("{} is missing", data.wal().join(segment.name()).display());
            must_refuse(&data, &[&missing, RUNBOOK]);
            bring_back(&data, &[segment]);
        }
        let all: Vec<&Segment> = segments.iter().filter(|segment| segment.id.lane.0 == lane).collect();
        take_away(&data, &all);
        // Whichever of its segments another lane testifies to.
        must_refuse(&data, &[&format!("segment-{lane:02}-"), "is missing", RUNBOOK]);
        bring_back(&data, &all);
    }
    must_start(&data);
}

#[test]
fn a_changed_byte_in_a_table_or_the_manifest_is_refused_and_so_is_a_missing_table() {
    let mut random = Random::for_test("damage to tables");
    let data = Data::new();
    let mut claims = 0;
    let tables = loop {
        let server = Start::on(&data).cores(2).serve();
        let lines = (claims..claims + CLAIMS).map(|number| {
            TestClaim::new(format!("damage/{number}"), "is", random.text(VALUE_BYTES)).json() + "\n"
        });
        server.client().post("/v1/assert/batch", lines.collect::<String>()).expect("an answer").ok();
        claims += CLAIMS;
        server.stop();
        // The checkpoint of what the first server has left in the log comes after the start of the second, at the latest.
        let tables = files_of_tables(&data);
        if !tables.is_empty() {
            break tables;
        }
    };
    for name in tables.iter().chain([&"MANIFEST".to_owned()]) {
        let path = data.db().join(name);
        let bytes = fs::read(&path).expect("it is there");
        for _ in 0..4 {
            let mut changed = bytes.clone();
            changed[random.within(0..=bytes.len() as u64 - 1) as usize] ^= 1;
            fs::write(&path, &changed).expect("writable");
            must_refuse(&data, &[&path.display().to_string(), RUNBOOK]);
        }
        fs::write(&path, &bytes).expect("writable");
    }
    let aside = data.root().join(&tables[0]);
    fs::rename(data.db().join(&tables[0]), &aside).expect("it is there");
    must_refuse(&data, &[&tables[0], "is missing", RUNBOOK]);
    fs::rename(&aside, data.db().join(&tables[0])).expect("it is there");
    let server = Start::on(&data).serve();
    assert_eq!(server.assertion_count(), claims);
    server.stop();
}

/// The tables that the manifest lists, by name.
fn files_of_tables(data: &Data) -> Vec<String> {
    let manifest = Manifest::open(&DirManifest::new(&data.db()), &DirTables::new(&data.db()));
    let tables = manifest.expect("it is sound").tables;
    tables.iter().map(|table| table.facts.number.to_string()).collect()
}

/// What a crash may leave of the frame that was being written when it came.
#[derive(Debug, Clone, Copy)]
enum Tail {
    /// Nothing.
    Zeros,
    /// The first block.
    FirstBlock,
    /// All but the first block.
    AllButFirstBlock,
    /// Something else.
    Noise,
    /// One byte is another.
    ChangedByte,
    /// The file ends in the middle.
    CutFile,
}

#[test]
fn an_unfinished_commit_at_the_end_is_dropped_with_a_word() {
    let mut random = Random::for_test("unfinished commits");
    let (data, last) = log_with_uncovered_end(&mut random);
    for tail in
        [Tail::Zeros, Tail::FirstBlock, Tail::AllButFirstBlock, Tail::Noise, Tail::ChangedByte, Tail::CutFile]
    {
        let copy = data.copy();
        leave(tail, &copy, &last, &mut random);
        let frame = last.frames.last().expect("the log ends in a frame");
        // However often it crashes before it has written anything itself.
        for attempt in 1..=3 {
            let server = Start::on(&copy).serve();
            check_before_end(&server);
            let said = server.text();
            let dropped = said.lines().find(|line| line.contains("Dropped"));
            match tail {
                Tail::Zeros => assert_eq!(dropped, None, "{tail:?}"),
                _ if attempt > 1 => {
                    assert_eq!(dropped, None, "{tail:?}: the end is settled by the first start")
                }
                _ => {
                    let line = dropped.unwrap_or_else(|| panic!("{tail:?}: nothing said:\n{said}"));
                    assert!(line.contains(&last.name()), "{tail:?}: {line}");
                    assert!(line.contains(&format!("at offset {}", frame.offset)), "{tail:?}: {line}");
                }
            }
            server.kill();
        }
    }
    // The commit itself, whole, is there: nothing was acknowledged, nothing has to be dropped.
    let server = Start::on(&data).serve();
    let rows = listing::all(&mut server.client(), "unfinished/*");
    assert_eq!(rows.len(), 1);
    server.stop();
}

/// Claims that were acknowledged before the commit that was not finished.
const BEFORE_END: u64 = 5;

/// Writes a log whose last frame, of several blocks, nothing testifies to. Gives its last segment, too.
///
/// A lane that falls idle writes a marker, which testifies. If the server was slow to die, that has come; then it is
/// tried again, on what there was before: a claim that is testified to is not to be there.
fn log_with_uncovered_end(random: &mut Random) -> (Data, Segment) {
    const ATTEMPTS: usize = 20;
    let before = Data::new();
    let server = Start::on(&before).serve();
    let mut client = server.client();
    for number in 0..BEFORE_END {
        client.post("/v1/assert", TestClaim::new("before", "is", number).json()).expect("an answer").ok();
    }
    server.kill();
    for attempt in 0..ATTEMPTS {
        let data = before.copy();
        let server = Start::on(&data).serve();
        let claim = TestClaim::new("unfinished/claim", "is", random.text(3 * BLOCK_BYTES));
        server.client().post("/v1/assert", claim.json()).expect("an answer").ok();
        server.kill();
        let last = wal::segments(&data.wal()).into_iter().rfind(|segment| segment.header.is_some());
        let last = last.expect("a segment was begun");
        let frame = last.frames.last().expect("a frame was written");
        if frame.header.kind == FrameKind::Records
            && frame.header.records == 1
            && frame.range().len() > BLOCK_BYTES
        {
            return (data, last);
        }
        println!("attempt {attempt}: a marker came before the end");
    }
    panic!("no luck in {ATTEMPTS} attempts");
}

fn check_before_end(server: &Server) {
    let rows = listing::all(&mut server.client(), "/*");
    assert_eq!(rows.iter().filter(|row| row.concept_path == "before").count() as u64, BEFORE_END);
    assert_eq!(rows.len() as u64, BEFORE_END, "nothing is there of the commit that was not finished");
    assert_eq!(server.assertion_count(), BEFORE_END);
}

fn leave(tail: Tail, data: &Data, last: &Segment, random: &mut Random) {
    let range = last.frames.last().expect("the log ends in a frame").range();
    let mut bytes = last.bytes[range.clone()].to_vec();
    match tail {
        Tail::Zeros => bytes.fill(0),
        Tail::FirstBlock => bytes[BLOCK_BYTES..].fill(0),
        Tail::AllButFirstBlock => bytes[..BLOCK_BYTES].fill(0),
        Tail::Noise => bytes.fill_with(|| random.next_u64() as u8),
        Tail::ChangedByte => return change_byte(data, last, range.start + 5000, random),
        Tail::CutFile => {
            let file =
                fs::OpenOptions::new().write(true).open(data.wal().join(last.name())).expect("it is there");
            return file.set_len(range.start as u64 + 5000).expect("writable");
        }
    }
    overwrite(data, last, range.start, &bytes);
}

/// Writes a log of two lanes and two generations, in the first of which both lanes fill segments, and stops in the
/// orderly way.
fn acknowledged_log(random: &mut Random) -> Data {
    let data = Data::new();
    // No manifest can be written there, so that nothing leaves the log, which is to be damaged everywhere.
    fs::create_dir_all(data.db().join("MANIFEST.prepare")).expect("writable");
    for (part, claims) in [CLAIMS - FEW, FEW].into_iter().enumerate() {
        let server = Start::on(&data).cores(2).serve();
        let lines: String = (0..claims)
            .map(|number| {
                let claim = TestClaim::new(format!("damage/{part}/{number}"), "is", random.text(VALUE_BYTES));
                claim.json() + "\n"
            })
            .collect();
        let answer = server.client().post("/v1/assert/batch", lines).expect("an answer").ok();
        assert_eq!(answer["accepted"], claims);
        server.stop();
    }
    data
}

/// Changes the byte at `at` in the frame or header at `offset`. The server must refuse to start for `cause`. Then
/// changes the byte back.
fn must_refuse_change(
    data: &Data,
    segment: &Segment,
    offset: usize,
    at: u64,
    random: &mut Random,
    cause: &str,
) {
    let at = offset + at as usize;
    change_byte(data, segment, at, random);
    must_refuse(data, &[cause, &place(data, segment, offset), RUNBOOK]);
    overwrite(data, segment, at, &segment.bytes[at..=at]);
}

/// How an error names a place.
fn place(data: &Data, segment: &Segment, offset: usize) -> String {
    format!("at offset {offset} of {}", data.wal().join(segment.name()).display())
}

/// The server must not start on `data`, give an error with all these parts, and change nothing.
fn must_refuse(data: &Data, parts: &[&str]) {
    let before = data.snapshot();
    let refused = Start::on(data).cores(2).refused();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text);
    let error = refused.text.lines().find(|line| line.contains("ERROR")).unwrap_or_default();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in the error of\n{}", refused.text);
    }
    assert_eq!(differences(&before, &data.snapshot()), [] as [String; 0], "{}", refused.text);
}

/// The server must start, with all claims.
fn must_start(data: &Data) {
    let server = Start::on(data).serve();
    assert_eq!(server.assertion_count(), CLAIMS);
    server.stop();
}

/// Changes one byte of a segment to any other.
fn change_byte(data: &Data, segment: &Segment, offset: usize, random: &mut Random) {
    let byte = segment.bytes[offset] ^ random.within(1..=255) as u8;
    overwrite(data, segment, offset, &[byte]);
}

fn overwrite(data: &Data, segment: &Segment, offset: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(data.wal().join(segment.name())).expect("it is there");
    file.write_all_at(bytes, offset as u64).expect("writable");
}

/// Moves segments out of the log's directory.
fn take_away(data: &Data, segments: &[&Segment]) {
    for segment in segments {
        fs::rename(data.wal().join(segment.name()), data.root().join(segment.name())).expect("it is there");
    }
}

/// Moves segments back.
fn bring_back(data: &Data, segments: &[&Segment]) {
    for segment in segments {
        fs::rename(data.root().join(segment.name()), data.wal().join(segment.name())).expect("it is there");
    }
}
