//! Whole exchanges of documented breaking changes against `serde_json` reading and writing the same bodies without any
//! change: `cargo bench --bench gauntlet`.
//!
//! The changes are the project's own; where `GAUNTLET` names a folder of further cases, those with rules under
//! `tests/gauntlet` are measured too. An exchange is an old client's request on its way up and the new service's
//! response on its way down. One line is all exchanges of a case, in turn.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use bifocal::plan::{Limits, RequestIn, ResponseIn, Scratch, ServicePlan};
use bifocal::rules::check_folder;
use bifocal::rules::load::load_folder;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;

/// One request or response of a case.
struct Message {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    status: StatusCode,
    body: Option<Vec<u8>>,
}

impl Message {
    fn parse(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let mut headers = HeaderMap::new();
        for (name, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
            headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.as_str()?).ok()?);
        }
        let status = value.get("status").and_then(Value::as_u64).unwrap_or(200);
        Some(Self {
            method: text("method").unwrap_or("GET").parse().ok()?,
            path: text("path").unwrap_or("/").to_owned(),
            query: match value.get("query") {
                None => None,
                // Encoding queries is not what is measured.
                Some(query) => Some(query.as_str()?.to_owned()),
            },
            headers,
            status: StatusCode::from_u16(u16::try_from(status).ok()?).ok()?,
            body: value.get("body").and_then(|body| serde_json::to_vec(body).ok()),
        })
    }
}

/// The exchanges of a case that one request and one response make.
fn exchanges(file: &Path) -> Vec<(Message, Message)> {
    let case: Option<Value> = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let all = case.as_ref().and_then(|case| case.get("exchanges")?.as_array());
    all.into_iter()
        .flatten()
        .filter_map(|one| {
            let (request, response) = (one.pointer("/old/request")?, one.pointer("/new/response")?);
            Some((Message::parse(request)?, Message::parse(response)?))
        })
        .collect()
}

/// One documented change.
struct Case {
    name: String,
    plan: ServicePlan,
    exchanges: Vec<(Message, Message)>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gauntlet");
    let own = root.join("own");
    let foreign = std::env::var_os("GAUNTLET").map(PathBuf::from);
    let own_file = |name: &str| own.join(name).join("exchanges.json");
    let mut cases = Vec::new();
    let folders = [Some((own.clone(), None)), foreign.map(|cases| (root, Some(cases)))];
    for (rules, files) in folders.into_iter().flatten() {
        let Ok(folder) = load_folder(&rules) else { continue };
        for (name, report) in check_folder(&folder).services {
            let file = files.as_ref().map_or_else(|| own_file(&name), |files| files.join(format!("{name}.json")));
            if let Some(checked) = report.checked {
                let (plan, exchanges) = (ServicePlan::compile(&checked), exchanges(&file));
                cases.push(Case { name, plan, exchanges });
            }
        }
    }
    cases
}

/// Translates an exchange; whether it could be.
fn translate(plan: &ServicePlan, (request, response): &(Message, Message), scratch: &mut Scratch) -> Option<usize> {
    let target = (request.path.as_str(), request.query.as_deref());
    let exchange = plan.exchange(0, 1, request.method.as_str(), target).ok()?;
    let request = RequestIn {
        method: &request.method,
        path: &request.path,
        query: request.query.as_deref(),
        headers: &request.headers,
        body: request.body.as_deref(),
    };
    let up = exchange.request(&request, None, scratch, Limits::default()).ok()?;
    let response = ResponseIn { status: response.status, headers: &response.headers, body: response.body.as_deref() };
    let down = exchange.response(&response, Some(&request), scratch, Limits::default()).ok()?;
    Some(black_box(up.path.len() + down.headers.len()))
}

fn copy(message: &Message) -> usize {
    let Some(body) = &message.body else { return 0 };
    let value = serde_json::from_slice::<Value>(black_box(body));
    value.and_then(|value| serde_json::to_vec(&value)).map_or(0, |text| text.len())
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gauntlet");
    for Case { name, plan, mut exchanges } in cases() {
        let mut scratch = Scratch::default();
        // Fan-out, and cases that are not over HTTP, have no such exchange.
        exchanges.retain(|one| translate(&plan, one, &mut scratch).is_some());
        if exchanges.is_empty() {
            continue;
        }
        group.bench_function(format!("bifocal {name}"), |bencher| {
            bencher.iter(|| exchanges.iter().filter_map(|one| translate(&plan, one, &mut scratch)).sum::<usize>());
        });
        group.bench_function(format!("serde_json {name}"), |bencher| {
            bencher.iter(|| exchanges.iter().map(|(up, down)| copy(up) + copy(down)).sum::<usize>());
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
