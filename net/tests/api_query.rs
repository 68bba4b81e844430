//! Queries as clients send them, and the pages that answer them.

use std::collections::HashMap;

use serde_json::Value as Json;
use stemedb_engine::claim::{
    Agent, AgentName, Claim, ClaimHash, ConceptPath, Confidence, DerivedFrom, EpochId, Lifecycle, Metadata,
    Predicate, SourceClass, Timestamp, Value,
};
use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::lens::Lens;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::query::{Execution, LifecycleFilter, Query, Step, SubjectFilter};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{
    ApiError, Claims, ErrorCode, PAGE_BYTES_MAX, Rows, query_of_body, query_of_parameters, write_assertion,
    write_page,
};
use stemedb_net::json::Reader;

const NOW: UnixMicros = UnixMicros(1_754_000_000_000_000);

fn of_body(body: &str) -> Result<Query, ApiError> {
    query_of_body(&mut Reader::new(1 << 20), body.as_bytes(), NOW)
}

fn of_parameters(parameters: &[(&str, &str)]) -> Result<Query, ApiError> {
    query_of_parameters(parameters.iter().copied(), NOW)
}

#[test]
fn only_the_path_is_required() {
    let expected = Query::new(SubjectFilter::Exact("test/health".into()));
    assert_eq!(expected.limit, 100);
    assert_eq!(of_body(r#"{"concept_path":"test/health"}"#), Ok(expected.clone()));
    assert_eq!(of_body(r#"{"subject":"test/health","lens":null,"limit":null}"#), Ok(expected.clone()));
    assert_eq!(of_parameters(&[("subject", "test/health")]), Ok(expected));
}

#[test]
fn body_and_parameters_say_the_same() {
    let cursor = format!("01{}{}{}", "00".repeat(7) + "05", "00".repeat(7) + "06", "07".repeat(32));
    let body = format!(
        r#"{{"concept_path":"a/b/*","predicate":"p","lens":"consensus","limit":7,"cursor":"{cursor}","as_of":1753000000.5,
            "lifecycle":"any","epoch":"e","source_class":"clinical","min_confidence":0.25,"include_retracted":true,
            "decay":true}}"#
    );
    let query = of_body(&body).expect("a query");
    assert_eq!(query.subject, SubjectFilter::Subtree("a/b".into()));
    assert_eq!((query.predicate.as_deref(), query.epoch.as_deref()), (Some("p"), Some("e")));
    assert_eq!((query.lens, query.limit), (Some(Lens::Consensus), 7));
    let after = query.after.expect("a cursor");
    assert_eq!((after.timestamp, after.order, after.hash), (UnixMicros(5), WriteOrder::new(0, 6), [7; 32]));
    assert_eq!(query.as_of, Some(UnixMicros(1_753_000_000_500_000)));
    assert_eq!(query.lifecycle, LifecycleFilter::Any);
    assert_eq!((query.source_class, query.min_confidence), (Some(SourceClass::Clinical), 0.25));
    assert!(query.include_retracted);
    // What was known then has the age that it had then.
    assert_eq!(query.decay_at, query.as_of);

    let parameters = [
        ("concept_path", "a/b/*"),
        ("predicate", "p"),
        ("lens", "consensus"),
        ("limit", "7"),
        ("cursor", &cursor),
        ("as_of", "1753000000.5"),
        ("lifecycle", "any"),
        ("epoch", "e"),
        ("source_class", "1"),
        ("min_confidence", "0.25"),
        ("include_retracted", "true"),
        ("decay", "true"),
    ];
    assert_eq!(of_parameters(&parameters), Ok(query));
    let decayed = of_parameters(&[("subject", "a"), ("decay", "true")]).expect("a query");
    assert_eq!(decayed.decay_at, Some(NOW));
    let fresh = of_parameters(&[("subject", "a"), ("decay", "false")]).expect("a query");
    assert_eq!(fresh.decay_at, None);
}

#[test]
fn a_star_at_the_end_is_a_subtree() {
    let subtree = |path: &str| SubjectFilter::Subtree(path.into());
    let exact = |path: &str| SubjectFilter::Exact(path.into());
    for (path, filter) in [
        ("a/*", subtree("a")),
        ("a/b/*", subtree("a/b")),
        ("/*", subtree("")),
        ("*", subtree("")),
        ("a*", exact("a*")),
        ("a/*/b", exact("a/*/b")),
        ("a/", exact("a/")),
    ] {
        assert_eq!(of_parameters(&[("concept_path", path)]).expect("a query").subject, filter, "{path}");
    }
    let longest = "x".repeat(512) + "/*";
    assert!(of_parameters(&[("concept_path", &longest)]).is_ok());
    let error = of_parameters(&[("concept_path", &("x".to_owned() + &longest))]).expect_err("too long");
    assert_eq!(error.code, ErrorCode::InvalidConceptPath);
}

#[test]
fn what_is_wrong_with_a_query_is_said() {
    for (name, wrong_parameter, wrong_json, code) in [
        ("predicate", "", "1", ErrorCode::InvalidPredicate),
        ("lens", "newest", "1", ErrorCode::UnknownLens),
        ("lens", "authority", "\"epoch_aware\"", ErrorCode::LensNotImplemented),
        ("lens", "trust_aware_authority", "\"tier_authority\"", ErrorCode::LensNotImplemented),
        ("lens", "vote_aware_consensus", "\"vote_aware_consensus\"", ErrorCode::LensNotImplemented),
        ("limit", "0", "10001", ErrorCode::InvalidLimit),
        ("limit", "-1", "1.5", ErrorCode::InvalidLimit),
        ("limit", "all", "\"7\"", ErrorCode::InvalidLimit),
        ("cursor", "00", "1", ErrorCode::InvalidCursor),
        ("as_of", "-1", "\"now\"", ErrorCode::InvalidAsOf),
        ("as_of", "yesterday", "-1", ErrorCode::InvalidAsOf),
        ("lifecycle", "Approved", "2", ErrorCode::InvalidLifecycle),
        ("epoch", "", "7", ErrorCode::InvalidEpoch),
        ("source_class", "6", "1.0", ErrorCode::InvalidSourceClass),
        ("source_class", "best", "true", ErrorCode::InvalidSourceClass),
        ("min_confidence", "1.01", "-0.1", ErrorCode::InvalidMinConfidence),
        ("min_confidence", "nan", "1e400", ErrorCode::InvalidMinConfidence),
        ("include_retracted", "yes", "1", ErrorCode::InvalidIncludeRetracted),
        ("decay", "", "\"true\"", ErrorCode::InvalidDecay),
    ] {
        let errors = [
            of_parameters(&[("subject", "a"), (name, wrong_parameter)]).expect_err("wrong"),
            of_body(&format!(r#"{{"subject":"a","{name}":{wrong_json}}}"#)).expect_err("wrong"),
        ];
        for error in errors {
            assert_eq!((error.code, error.field.as_deref()), (code, Some(name)), "{error}");
            assert!(error.message.starts_with(name), "{error}");
        }
    }
    assert_eq!(of_parameters(&[]).expect_err("no path").code, ErrorCode::MissingField);
    assert_eq!(of_body("{}").expect_err("no path").code, ErrorCode::MissingField);
    assert_eq!(of_body("[]").expect_err("no object").code, ErrorCode::NotAnObject);
    assert_eq!(of_body("").expect_err("no JSON").code, ErrorCode::InvalidJson);
    let twice = of_parameters(&[("subject", "a"), ("limit", "1"), ("limit", "1")]).expect_err("twice");
    assert_eq!(twice.code, ErrorCode::DuplicateField);
    let twice = of_parameters(&[("subject", "a"), ("concept_path", "a")]).expect_err("twice");
    assert_eq!((twice.code, twice.field.as_deref()), (ErrorCode::DuplicateField, Some("concept_path")));
    let unknown = of_parameters(&[("subject", "a"), ("order", "asc")]).expect_err("unknown");
    assert_eq!((unknown.code, unknown.field.as_deref()), (ErrorCode::UnknownField, Some("order")));
}

/// Indexes as the cores of one server have them.
struct Cores {
    indexes: Vec<Index>,
    lsn: u64,
}

impl Cores {
    fn new(cores: usize) -> Cores {
        let index = |_| Index::new(IndexConfig { bytes_max: 1 << 30, hash_seed: 7 });
        Cores { indexes: (0..cores).map(index).collect(), lsn: 0 }
    }

    /// Inserts into the core that the subject's length picks.
    fn insert(&mut self, claim: &Claim<'_>) -> ClaimHash {
        let mut canonical = Vec::new();
        claim.encode_canonical(&mut canonical);
        let hash = ClaimHash::of_canonical(&canonical);
        self.lsn += 1;
        let core = claim.subject.as_str().len() % self.indexes.len();
        self.indexes[core].insert(&hash, claim, WriteOrder::new(1, self.lsn)).expect("room");
        hash
    }

    fn rows(&self, query: &Query) -> Vec<Rows> {
        let rows_of = |index| {
            let mut execution = Execution::new(query, index);
            while execution.step(index, 100) == Step::More {}
            let mut rows = Rows::with_room(0, true);
            let _all = execution
                .into_hits()
                .iter()
                .all(|hit| rows.push(&Claims { index, fetched: &HashMap::new() }, hit));
            rows
        };
        self.indexes.iter().map(rows_of).collect()
    }

    fn page_text(&self, query: &Query) -> String {
        let mut out = Vec::new();
        write_page(&mut out, &self.rows(query), query.limit, query.lens);
        String::from_utf8(out).expect("answers are UTF-8")
    }

    fn page(&self, query: &Query) -> Json {
        serde_json::from_str(&self.page_text(query)).expect("answers are JSON")
    }

    /// Follows the cursors to the end and returns all rows.
    fn all_pages(&self, query: &Query) -> Vec<Json> {
        let mut query = query.clone();
        let mut rows = Vec::new();
        loop {
            let page = self.page(&query);
            let assertions = page["assertions"].as_array().expect("a list");
            assert_eq!(page["count"], assertions.len());
            assert!(assertions.len() <= query.limit);
            rows.extend(assertions.iter().cloned());
            let Some(cursor) = page["cursor"].as_str() else { return rows };
            assert!(!assertions.is_empty(), "a page with a cursor moves on");
            let parameters = [("subject", "x"), ("cursor", cursor)];
            query.after = of_parameters(&parameters).expect("a cursor that was handed out").after;
        }
    }
}

fn claim<'a>(subject: &'a str, value: Value<'a>, timestamp_s: i64) -> Claim<'a> {
    let timestamp = Timestamp::new(UnixMicros(timestamp_s * 1_000_000)).expect("past 1970");
    let subject = ConceptPath::new(subject).expect("a path");
    Claim::new(subject, Predicate::new("p").expect("a predicate"), value, timestamp)
}

#[test]
fn an_empty_answer_is_an_answer() {
    let mut query = Query::new(SubjectFilter::Exact("nothing".into()));
    let cores = Cores::new(2);
    assert_eq!(cores.page_text(&query), r#"{"assertions":[],"count":0,"lens":null}"#);
    query.lens = Some(Lens::Recency);
    assert_eq!(
        cores.page_text(&query),
        r#"{"assertions":[],"count":0,"lens":"recency","resolution":{"candidates":0,"distinct_values":0}}"#
    );
}

#[test]
fn a_row_says_all_that_the_contract_lists() {
    let mut cores = Cores::new(1);
    let mut full = claim("a/\"b\"", Value::text("x\ny").expect("a text"), 1_754_000_000);
    full.confidence = Confidence::new(0.95).expect("a fraction");
    full.source = Some(ConceptPath::new("source/fda").expect("a path"));
    full.source_class = SourceClass::Regulatory;
    full.lifecycle = Lifecycle::Approved;
    full.agent = Some(Agent::Name(AgentName::new("importer").expect("a name")));
    full.epoch = Some(EpochId::new("e1").expect("an epoch"));
    full.parent = Some(ClaimHash([1; 32]));
    full.derived_from = DerivedFrom::new(vec![ClaimHash([2; 32]), ClaimHash([3; 32])]).expect("few");
    full.source_hash = Some([4; 32]);
    full.metadata = Some(Metadata::new(r#"{"k":[1,1e400]}"#).expect("an object"));
    let hash = cores.insert(&full);

    let mut query = Query::new(SubjectFilter::Exact("a/\"b\"".into()));
    let members = format!(
        concat!(
            r#""hash":"{}","concept_path":"a/\"b\"","predicate":"p","value":"x\ny","type":"Text","confidence":0.95,"#,
            r#"{{}}"timestamp":1754000000,"source":"source/fda","source_class":"regulatory","lifecycle":"approved","#,
            r#""agent_id":"importer","epoch":"e1""#
        ),
        hash
    );
    let plain = members.replace("{}", "");
    let expected = format!(r#"{{"assertions":[{{{plain},"status":"active"}}],"count":1,"lens":null}}"#);
    assert_eq!(cores.page_text(&query), expected);

    query.decay_at = Some(UnixMicros(NOW.0 + 1));
    let decayed = members.replace("{}", r#""effective_confidence":0.95,"#);
    let expected = format!(r#"{{"assertions":[{{{decayed},"status":"active"}}],"count":1,"lens":null}}"#);
    assert_eq!(cores.page_text(&query), expected);

    let mut out = Vec::new();
    write_assertion(&mut out, &cores.indexes[0].claim(&hash).expect("the claim"));
    let (one, two, three, four) = ("01".repeat(32), "02".repeat(32), "03".repeat(32), "04".repeat(32));
    assert_eq!(
        String::from_utf8(out).expect("UTF-8"),
        format!(
            concat!(
                r#"{{{},"parent_hash":"{}","derived_from":["{}","{}"],"source_hash":"{}","#,
                r#""metadata":{{"k":[1,1e400]}},"status":"active"}}"#
            ),
            plain, one, two, three, four
        )
    );

    cores.indexes[0].retract("source", 0..1024, WriteOrder::new(2, 0));
    query.include_retracted = true;
    assert_eq!(cores.page(&query)["assertions"][0]["status"], "retracted");
}

#[test]
fn values_of_every_type_are_bare_and_named() {
    for (value, bare, name) in [
        (Value::text("t").expect("a text"), "\"t\"", "Text"),
        (Value::number(96.7).expect("a number"), "96.7", "Number"),
        (Value::Boolean(true), "true", "Boolean"),
        (Value::reference("a/b").expect("a path"), "\"a/b\"", "Reference"),
        (Value::json("9007199254740993").expect("JSON"), "9007199254740993", "Json"),
        (Value::json("{\"b\":[1e400]}").expect("JSON"), "{\"b\":[1e400]}", "Json"),
    ] {
        let mut cores = Cores::new(1);
        cores.insert(&claim("s", value, 1));
        let page = cores.page_text(&Query::new(SubjectFilter::Exact("s".into())));
        assert!(page.contains(&format!(r#""value":{bare},"type":"{name}""#)), "{page}");
    }
}

/// 200 claims about 20 subjects, of which every tenth shares its time with others.
fn many(cores: usize) -> (Cores, Vec<String>) {
    let mut server = Cores::new(cores);
    let mut keys = Vec::new();
    for number in 0..200_u64 {
        let subject = format!("s/{}", "x".repeat(1 + number as usize % 20));
        let timestamp_s = if number % 10 == 0 { 50 } else { 1000 - number as i64 };
        let value = Value::number(number as f64).expect("a number");
        let hash = server.insert(&claim(&subject, value, timestamp_s));
        keys.push((-timestamp_s, -(number as i64), hash.to_string()));
    }
    keys.sort();
    (server, keys.into_iter().map(|(_, _, hash)| hash).collect())
}

#[test]
fn pages_over_all_cores_are_one_list() {
    for cores in [1, 3] {
        let (server, expected) = many(cores);
        for limit in [1, 7, 100, 199, 200, 201] {
            let mut query = Query::new(SubjectFilter::Subtree("s".into()));
            query.limit = limit;
            let rows = server.all_pages(&query);
            let hashes: Vec<_> = rows.iter().map(|row| row["hash"].as_str().expect("a hash")).collect();
            assert!(hashes == expected, "{cores} cores, {limit} a page");
        }
    }
}

#[test]
fn a_page_tells_of_more_only_if_there_is_more() {
    let (server, _) = many(3);
    let mut query = Query::new(SubjectFilter::Subtree("s".into()));
    for (limit, has_more) in [(199, true), (200, false), (201, false)] {
        query.limit = limit;
        assert_eq!(server.page(&query).get("cursor").is_some(), has_more, "{limit}");
    }
}

#[test]
fn winners_carry_how_they_won() {
    let mut cores = Cores::new(3);
    for (number, value) in [(1, 5.0), (2, 5.0), (3, 8.0)] {
        cores.insert(&claim("a", Value::number(value).expect("a number"), number));
    }
    cores.insert(&claim("a/b", Value::Boolean(true), 9));
    let mut query = Query::new(SubjectFilter::Exact("a".into()));
    query.lens = Some(Lens::Consensus);
    let page = cores.page(&query);
    assert_eq!((&page["lens"], &page["count"]), (&"consensus".into(), &1.into()));
    let winner = &page["assertions"][0];
    assert_eq!((&winner["value"], &winner["timestamp"]), (&5.into(), &2.into()));
    assert_eq!(winner["resolution"]["supporting"], 2);
    let runner_up = &page["resolution"]["runner_up"];
    assert_eq!((&runner_up["value"], &runner_up["type"]), (&8.into(), &"Number".into()));
    assert_eq!((&runner_up["timestamp"], &runner_up["supporting"]), (&3.into(), &1.into()));
    assert_eq!(&winner["resolution"]["runner_up"], runner_up);
    assert_eq!(
        (&page["resolution"]["candidates"], &page["resolution"]["distinct_values"]),
        (&3.into(), &2.into())
    );

    // Several winners: the sums above, each one's own beside it.
    query.subject = SubjectFilter::Subtree("a".into());
    let page = cores.page(&query);
    assert_eq!(page["count"], 2);
    assert_eq!(page["resolution"], serde_json::json!({"candidates": 4, "distinct_values": 3}));
    assert_eq!(page["assertions"][0]["resolution"]["candidates"], 1);
    assert_eq!(page["assertions"][1]["resolution"]["candidates"], 3);
    query.limit = 1;
    assert_eq!(cores.all_pages(&query).len(), 2);
}

#[test]
fn a_page_of_large_values_ends_early_and_loses_nothing() {
    let mut cores = Cores::new(3);
    let large = "x".repeat(60_000);
    let mut expected = Vec::new();
    for number in 0..150_i64 {
        let subject = format!("s/{}", "x".repeat(1 + number as usize % 2));
        let value = if number % 5 == 0 { "small" } else { &large };
        expected.push(
            cores.insert(&claim(&subject, Value::text(value).expect("a text"), 1000 - number)).to_string(),
        );
    }
    let mut query = Query::new(SubjectFilter::Subtree("s".into()));
    query.limit = 1000;
    let text = cores.page_text(&query);
    assert!((PAGE_BYTES_MAX / 2..PAGE_BYTES_MAX + 70_000).contains(&text.len()), "{}", text.len());
    let rows = cores.all_pages(&query);
    let hashes: Vec<_> = rows.iter().map(|row| row["hash"].as_str().expect("a hash")).collect();
    assert!(hashes == expected);
}
