//! The server's description of itself against what the server does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value as Json, json};
use stemedb_engine::checkpoint::DamagedPlace;
use stemedb_engine::claim::{
    Claim, ClaimHash, ConceptPath, DerivedFrom, EpochId, Metadata, Predicate, SourceClass, Timestamp, Value,
};
use stemedb_engine::index::{Index, IndexConfig};
use stemedb_engine::lens::Lens;
use stemedb_engine::order::WriteOrder;
use stemedb_engine::query::{Execution, Query, Step, SubjectFilter};
use stemedb_engine::time::UnixMicros;
use stemedb_net::api::{
    self, ApiError, AssertContext, BatchSummary, ClaimReader, Claims, ErrorCode, Health, Method, ROUTES,
    RetractRequest, Rows,
};
use stemedb_net::json::Reader;

const NOW: UnixMicros = UnixMicros(1_754_000_000_000_000);

fn document() -> Json {
    serde_json::from_slice(api::OPENAPI_JSON).expect("the document is JSON")
}

/// Follows a `$ref`. Other members beside it are laid over what it refers to.
fn resolve(document: &Json, schema: &Json) -> Json {
    let Some(reference) = schema.get("$ref") else { return schema.clone() };
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a local reference");
    let target = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} refers to nothing"));
    let mut resolved = resolve(document, target);
    for (key, value) in schema.as_object().expect("a schema is an object") {
        if key != "$ref" {
            resolved[key] = value.clone();
        }
    }
    resolved
}

/// Checks `value` against the part of JSON Schema that the document uses. Panics over a keyword it does not know.
fn matches(document: &Json, schema: &Json, value: &Json) -> bool {
    let schema = resolve(document, schema);
    let all = |check: &dyn Fn(&Json) -> bool, list: &Json| list.as_array().expect("a list").iter().all(check);
    let count = |list: &Json| {
        list.as_array().expect("a list").iter().filter(|one| matches(document, one, value)).count()
    };
    let length = |text: &Json| text.as_str().map_or(0, |text| text.chars().count() as u64);
    schema.as_object().expect("a schema is an object").iter().all(|(keyword, argument)| {
        match keyword.as_str() {
            "description" | "examples" | "default" => true,
            "type" => match argument.as_str().expect("one type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "null" => value.is_null(),
                "number" => value.is_number(),
                "integer" => value.is_u64() || value.is_i64(),
                other => panic!("unknown type {other}"),
            },
            "const" => value == argument,
            "enum" => argument.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64() >= argument.as_f64(),
            "maximum" => value.as_f64() <= argument.as_f64(),
            "minLength" => length(value) >= argument.as_u64().expect("a length"),
            "maxLength" => length(value) <= argument.as_u64().expect("a length"),
            "maxItems" => value.as_array().map(|list| list.len() as u64) <= argument.as_u64(),
            "pattern" => {
                let digits = argument.as_str().and_then(|text| text.strip_prefix("^[0-9a-fA-F]{"));
                let digits = digits.and_then(|text| text.strip_suffix("}$")).expect("a pattern of digits");
                let text = value.as_str().expect("a string");
                text.len().to_string() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            "required" => all(&|name| value.get(name.as_str().expect("a name")).is_some(), argument),
            "properties" => {
                argument.as_object().expect("properties").iter().all(|(name, schema)| {
                    value.get(name).is_none_or(|member| matches(document, schema, member))
                })
            }
            "additionalProperties" => {
                assert_eq!(argument, &json!(false));
                let known = schema["properties"].as_object().expect("properties");
                value.as_object().is_some_and(|members| members.keys().all(|name| known.contains_key(name)))
            }
            "items" => {
                value.as_array().is_some_and(|list| list.iter().all(|item| matches(document, argument, item)))
            }
            "oneOf" => count(argument) == 1,
            "anyOf" => count(argument) >= 1,
            "allOf" => count(argument) == argument.as_array().expect("a list").len(),
            other => panic!("unknown keyword {other}"),
        }
    })
}

/// Checks an answer against the schema of this name, and that the schema knows every member, however deep.
fn assert_described(document: &Json, name: &str, answer: &[u8]) {
    let answer: Json = serde_json::from_slice(answer).expect("answers are JSON");
    let schema = json!({"$ref": format!("#/components/schemas/{name}")});
    assert!(matches(document, &schema, &answer), "{answer} is not a {name}");
    assert_known(document, &schema, &answer);
}

fn assert_known(document: &Json, schema: &Json, value: &Json) {
    let schema = resolve(document, schema);
    let Some(properties) = schema.get("properties") else {
        if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
            list.iter().for_each(|item| assert_known(document, items, item));
        }
        return;
    };
    for (name, member) in value.as_object().expect("an object") {
        let schema = properties.get(name).unwrap_or_else(|| panic!("{name} is not described in {schema}"));
        assert_known(document, schema, member);
    }
}

#[test]
fn paths_and_methods_are_those_of_the_routes() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .expect("methods")
                .keys()
                .map(move |method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    let served: BTreeSet<_> = ROUTES
        .iter()
        .flat_map(|route| {
            // HEAD goes without saying: it is described once, for all.
            let said = route.methods.iter().filter(|method| **method != Method::Head);
            said.map(|method| (route.pattern.to_owned(), method.name().to_owned()))
        })
        .collect();
    assert_eq!(described, served);
}

#[test]
fn every_reference_refers_to_something_and_every_part_is_referred_to() {
    fn collect(value: &Json, references: &mut BTreeSet<String>) {
        match value {
            Json::Object(members) => members.iter().for_each(|(key, member)| match member {
                Json::String(text) if key == "$ref" => drop(references.insert(text.clone())),
                _ => collect(member, references),
            }),
            Json::Array(list) => list.iter().for_each(|item| collect(item, references)),
            _ => {}
        }
    }
    let document = document();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    let parts: BTreeSet<_> = document["components"]
        .as_object()
        .expect("components")
        .iter()
        .flat_map(|(kind, parts)| {
            let names = parts.as_object().expect("parts").keys();
            names.map(move |name| format!("#/components/{kind}/{name}"))
        })
        .collect();
    assert_eq!(references, parts);
}

#[test]
fn operations_have_names_of_their_own_and_statuses_that_the_server_has() {
    let document = document();
    let mut names = BTreeSet::new();
    let mut statuses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for methods in document["paths"].as_object().expect("paths").values() {
        for operation in methods.as_object().expect("methods").values() {
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            for (status, response) in operation["responses"].as_object().expect("responses") {
                statuses.entry(name.clone()).or_default().insert(status.clone());
                assert!(resolve(&document, response)["description"].is_string());
            }
            assert!(names.insert(name));
        }
    }
    let known: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.status().code().to_string()).collect();
    for status in statuses.values().flatten() {
        assert!(["200", "201"].contains(&status.as_str()) || known.contains(status), "{status}");
    }
}

/// Whether the readers of requests accept the body.
fn is_accepted(schema: &str, body: &str) -> bool {
    match schema {
        "Claim" => {
            let context = AssertContext { now: NOW, future_us_max: 300_000_000, agent: None };
            ClaimReader::new(1 << 20).read(body.as_bytes(), &context).is_ok()
        }
        "Query" => api::query_of_body(&mut Reader::new(1 << 20), body.as_bytes(), NOW).is_ok(),
        "Retraction" => RetractRequest::read(&mut Reader::new(1 << 20), body.as_bytes()).is_ok(),
        other => panic!("{other} is no request"),
    }
}

#[test]
fn examples_of_requests_are_accepted() {
    let document = document();
    let mut examples = 0;
    for methods in document["paths"].as_object().expect("paths").values() {
        for operation in methods.as_object().expect("methods").values() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let Some(list) = content["examples"].as_object() else { continue };
            let reference = content["schema"]["$ref"].as_str().expect("a reference");
            let schema = reference.rsplit('/').next().expect("a name");
            for example in list.values() {
                let body = &example["value"];
                assert!(matches(&document, &content["schema"], body), "{body}");
                assert!(is_accepted(schema, &body.to_string()), "{body}");
                examples += 1;
            }
        }
    }
    assert!(examples >= 5);
}

#[test]
fn requests_are_accepted_as_they_are_described() {
    let document = document();
    let hash = "0a".repeat(32);
    let claim = [
        r#""subject":"a","predicate":"p","object":1"#.to_owned(),
        r#""concept_path":"a","predicate":"p","value":null"#.to_owned(),
        r#""subject":"a","concept_path":"a","predicate":"p","object":1"#.to_owned(),
        r#""subject":"a","predicate":"p""#.to_owned(),
        r#""subject":"","predicate":"p","object":1"#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"confidence":1.5"#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"confidence":"1""#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"timestamp":1753999999.5"#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"timestamp":-1"#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"source":"s","source_class":"clinical","lifecycle":"rejected""#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"source_class":6"#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"source_class":0,"epoch":"e""#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"lifecycle":"any""#.to_owned(),
        format!(r#""subject":"a","predicate":"p","object":1,"parent_hash":"{hash}","agent_id":"{hash}","source_hash":"{hash}""#),
        format!(r#""subject":"a","predicate":"p","object":1,"derived_from":["{hash}"],"metadata":{{}}"#),
        r#""subject":"a","predicate":"p","object":1,"derived_from":["0a"]"#.to_owned(),
        r#""subject":"a","predicate":"p","object":1,"metadata":[]"#.to_owned(),
        format!(
            r#""subject":"a","predicate":"p","object":1,"timestamp":1,"signatures":[{{"agent_id":"{hash}","signature":"{hash}{hash}","timestamp":1}}]"#
        ),
        format!(
            r#""subject":"a","predicate":"p","object":1,"timestamp":1,"signatures":[{{"agent_id":"{hash}","signature":"{hash}","timestamp":1}}]"#
        ),
        r#""subject":"a","predicate":"p","object":1,"extra":1"#.to_owned(),
    ];
    let query = [
        r#""subject":"a/*","predicate":"p","lens":"confidence","limit":10000,"as_of":0,"decay":true"#.to_owned(),
        format!(r#""concept_path":"a","cursor":"01{}{}","epoch":"e""#, "00".repeat(16), "00".repeat(32)),
        r#""concept_path":"a","lifecycle":"any","source_class":"expert","min_confidence":0,"include_retracted":false"#.to_owned(),
        r#""lens":"recency""#.to_owned(),
        r#""subject":"a","lens":"authority""#.to_owned(),
        r#""subject":"a","limit":0"#.to_owned(),
        r#""subject":"a","limit":10001"#.to_owned(),
        r#""subject":"a","min_confidence":2"#.to_owned(),
        r#""subject":"a","decay":1"#.to_owned(),
        r#""subject":"a","cursor":"00""#.to_owned(),
        r#""subject":"a","concept_path":"a""#.to_owned(),
        r#""subject":"a","then":"recency""#.to_owned(),
    ];
    let retraction = [
        r#""concept_path":"a","reason":"r""#.to_owned(),
        r#""subject":"a","reason":"r","cascade":false"#.to_owned(),
        r#""subject":"a","reason":"""#.to_owned(),
        r#""subject":"a""#.to_owned(),
        r#""subject":"a","reason":"r","cascade":1"#.to_owned(),
        r#""subject":"a","reason":"r","why":1"#.to_owned(),
    ];
    for (name, bodies) in [("Claim", &claim[..]), ("Query", &query), ("Retraction", &retraction)] {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        let mut accepted = 0;
        for members in bodies {
            let body = format!("{{{members}}}");
            let described = matches(&document, &schema, &serde_json::from_str(&body).expect("JSON"));
            assert_eq!(is_accepted(name, &body), described, "{body}");
            accepted += usize::from(described);
        }
        assert!(accepted >= 2 && accepted < bodies.len(), "{name}: both kinds are there");
    }
    // Every field that is described is read, and the query's fields are the parameters of its URL.
    for (name, path) in [("Claim", "concept_path"), ("Query", "concept_path"), ("Retraction", "concept_path")]
    {
        let properties =
            document["components"]["schemas"][name]["properties"].as_object().expect("properties");
        for property in properties.keys().filter(|property| *property != path) {
            let error = match name {
                "Claim" => {
                    let context = AssertContext { now: NOW, future_us_max: 0, agent: None };
                    let body = format!(r#"{{"{property}":1}}"#);
                    ClaimReader::new(1000).read(body.as_bytes(), &context).expect_err("incomplete").code
                }
                "Query" => {
                    api::query_of_parameters([(property.as_str(), "")], NOW).expect_err("incomplete").code
                }
                _ => {
                    let body = format!(r#"{{"{property}":1}}"#);
                    RetractRequest::read(&mut Reader::new(1000), body.as_bytes())
                        .expect_err("incomplete")
                        .code
                }
            };
            assert_ne!(error, ErrorCode::UnknownField, "{name}.{property}");
        }
    }
    let fields: BTreeSet<_> = document["components"]["schemas"]["Query"]["properties"]
        .as_object()
        .expect("properties")
        .keys()
        .cloned()
        .collect();
    let parameters: BTreeSet<_> = document["paths"]["/v1/query"]["get"]["parameters"]
        .as_array()
        .expect("parameters")
        .iter()
        .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(parameters, fields);
}

/// An index with one full claim and two that contradict each other.
fn index() -> (Index, ClaimHash) {
    let mut index = Index::new(IndexConfig { bytes_max: 1 << 30, hash_seed: 7 });
    let mut insert = |claim: &Claim<'_>, lsn| {
        let mut canonical = Vec::new();
        claim.encode_canonical(&mut canonical);
        let hash = ClaimHash::of_canonical(&canonical);
        index.insert(&hash, claim, WriteOrder::new(1, lsn)).expect("room");
        hash
    };
    let claim = |value| {
        let timestamp = Timestamp::new(NOW).expect("past 1970");
        let subject = ConceptPath::new("a").expect("a path");
        Claim::new(subject, Predicate::new("p").expect("a predicate"), value, timestamp)
    };
    let mut full = claim(Value::text("x").expect("a text"));
    full.source = Some(ConceptPath::new("s").expect("a path"));
    full.source_class = SourceClass::Clinical;
    full.agent = Some(stemedb_engine::claim::Agent::Key([1; 32]));
    full.epoch = Some(EpochId::new("e").expect("an epoch"));
    full.parent = Some(ClaimHash([1; 32]));
    full.derived_from = DerivedFrom::new(vec![ClaimHash([2; 32])]).expect("few");
    full.source_hash = Some([4; 32]);
    full.metadata = Some(Metadata::new("{}").expect("an object"));
    insert(&claim(Value::Boolean(true)), 1);
    insert(&claim(Value::json("[1]").expect("JSON")), 2);
    let hash = insert(&full, 3);
    (index, hash)
}

#[test]
fn answers_are_as_described() {
    let document = document();
    let described = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        assert_described(&document, name, &out);
    };
    let (index, hash) = index();
    described("Created", &|out| api::write_created(out, &hash, NOW));
    described("Exists", &|out| api::write_exists(out, &hash));
    described("Retracted", &|out| api::write_retracted(out, 3));
    described("Ready", &|out| out.extend_from_slice(api::READY_JSON));
    described("FullAssertion", &|out| api::write_assertion(out, &index.claim(&hash).expect("inserted")));
    let health = Health {
        uptime_s: 1.5,
        assertions: 1,
        cores: 1,
        generation: 1,
        is_recovering: false,
        lanes_failed: 0,
        upkeep_failed: false,
        damage: vec![DamagedPlace {
            path: "assertions-0000000001.kv".into(),
            offset: 8192,
            problem: String::new(),
        }],
    };
    described("Health", &|out| health.write_json(out));
    let error = ApiError::in_field(ErrorCode::InvalidValue, "value", "is wrong");
    described("Error", &|out| error.write_json(out));
    let mut summary = BatchSummary::default();
    summary.reject(1, error.clone());
    described("BatchSummary", &|out| summary.write_json(out));
    for (lens, limit, decay_at) in
        [(None, 1, None), (None, 100, Some(NOW)), (Some(Lens::Consensus), 100, None)]
    {
        let query = Query { lens, limit, decay_at, ..Query::new(SubjectFilter::Exact("a".into())) };
        let mut execution = Execution::new(&query, &index);
        while execution.step(&index, 100) == Step::More {}
        let mut rows = Rows::with_room(0, true);
        assert!(
            execution
                .into_hits()
                .iter()
                .all(|hit| rows.push(&Claims { index: &index, fetched: &HashMap::new() }, hit))
        );
        described("Page", &|out| api::write_page(out, std::slice::from_ref(&rows), limit, lens));
    }
}
