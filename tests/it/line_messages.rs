//! Messages through version lines: what steps said as one make of them, bodies or none, is what single steps make of them.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test ends by panicking")]

use bifocal::contract::documents::Value;
use bifocal::plan::{BodyOut, FaultKind, Limits, RequestIn, RequestOut, ResponseIn, Scratch, ServicePlan};
use bifocal::rules::load::ServiceSources;
use bifocal::rules::prove_service;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// A line of as many versions as there are rule texts, and one more.
fn line(rules: &[&str]) -> ServicePlan {
    let last = rules.len() + 1;
    let mut service = format!("versions:\n  v{last}: {{path: /v{last}, upstream: \"http://127.0.0.1:9\"}}\n");
    for version in (1..last).rev() {
        let at = service.find('\n').unwrap() + 1;
        service.insert_str(at, &format!("  v{version}: {{path: /v{version}, answered_by: v{last}}}\n"));
    }
    let names: Vec<String> = (1..last).map(|old| format!("v{old}-v{}.yaml", old + 1)).collect();
    let files = names.iter().map(String::as_str).zip(rules.iter().copied());
    let texts = std::iter::once(("service.yaml", service.as_str())).chain(files);
    let report = prove_service(&ServiceSources::from_texts("line", texts));
    ServicePlan::compile(report.checked.as_ref().unwrap_or_else(|| panic!("{:?}", report.diagnostics)))
}

/// Method, path, query and body; nothing instead of what was refused.
type Message = Option<(String, String, Option<String>, Option<Value>)>;

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-one", HeaderValue::from_static("1"));
    headers.append("x-two", HeaderValue::from_static("2"));
    headers.append("x-two", HeaderValue::from_static("3"));
    headers
}

/// A request by way of every stop, from each to the next at once.
fn send(
    plan: &ServicePlan,
    stops: &[usize],
    (method, path, query): (&str, &str, Option<&str>),
    body: Option<&[u8]>,
) -> Message {
    let mut current = RequestOut {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers: headers(),
        body: BodyOut::Unchanged,
    };
    for stop in stops.windows(2) {
        let target = (current.path.as_str(), current.query.as_deref());
        let exchange = plan.exchange(stop[0], stop[1], current.method.as_str(), target).unwrap();
        let seen = RequestIn {
            method: &current.method,
            path: &current.path,
            query: current.query.as_deref(),
            headers: &current.headers,
            body: match &current.body {
                BodyOut::Unchanged => body,
                BodyOut::Replaced(body) => Some(body),
            },
        };
        let next = exchange.request(&seen, None, &mut Scratch::default(), Limits::default()).ok()?;
        let body = if next.body == BodyOut::Unchanged { current.body } else { next.body };
        current = RequestOut { body, ..next };
    }
    assert_eq!(current.headers, headers());
    let body = match &current.body {
        BodyOut::Unchanged => body,
        BodyOut::Replaced(body) => Some(body.as_slice()),
    };
    Some((current.method.to_string(), current.path, current.query, body.and_then(Value::parse)))
}

fn assert_same(one: &Message, other: &Message, told: &str) {
    let without_body = |message: &Message| {
        message
            .as_ref()
            .map(|(method, path, query, body)| (method.clone(), path.clone(), query.clone(), body.is_some()))
    };
    assert_eq!(without_body(one), without_body(other), "{told}");
    if let (Some((.., Some(one))), Some((.., Some(other)))) = (one, other) {
        assert!(one.same(other), "{told}");
    }
}

const MOVES: [&str; 3] = [
    "types:\n  Outer: [id, a = b]\nroutes:\n  \
     - POST /orders/{id} = POST /shops/main/orders/{id}: {request: Outer, 200: Outer}\n  \
     - GET /orders/{id} = GET /shops/main/orders/{id}: {request: Outer, 200: Outer}\n",
    "types:\n  Outer: [id, b = c]\nroutes:\n  \
     - POST /shops/{shop}/orders/{id} = PUT /orders?shop={shop}&id={id}: {request: Outer, 200: Outer}\n  \
     - GET /shops/{shop}/orders/{id} = GET /orders?shop={shop}&id={id}: {request: Outer, 200: Outer}\n",
    "types:\n  Outer: [id, c = d]\nroutes:\n  \
     - PUT /orders?shop={s}&id={i} = PUT /o/{s}/x-{i}: {request: Outer, 200: Outer}\n  \
     - GET /orders?shop={s}&id={i} = GET /o/{s}/x-{i}: {request: Outer, 200: Outer}\n",
];

#[test]
fn addresses_and_headers_are_those_of_single_steps() {
    let plan = line(&MOVES);
    let bodies: [Option<&[u8]>; 6] =
        [None, Some(br#"{"id":1,"a":2}"#), Some(br#"{"id":1,"b":2}"#), Some(b"[1]"), Some(b"{"), Some(b"")];
    let queries = [None, Some(""), Some("x=1"), Some("x=1&y=%20+&&z"), Some("shop=7")];
    for method in ["POST", "GET", "HEAD"] {
        let exchange = plan.exchange(0, 3, method, ("/orders/a%2Fb", None)).unwrap();
        assert_eq!((exchange.request_passes(), exchange.response_passes(StatusCode::OK)), (1, 1));
        for (body, query) in bodies.iter().flat_map(|body| queries.map(|query| (*body, query))) {
            let request = (method, "/orders/a%2Fb", query);
            let (one, other) = (send(&plan, &[0, 3], request, body), send(&plan, &[0, 1, 2, 3], request, body));
            assert_same(&one, &other, &format!("{request:?} {body:?} {one:?} {other:?}"));
        }
    }
    let request = ("PUT", "/o/m%20n/x-7", Some("q=1"));
    let body: Option<&[u8]> = Some(br#"{"d":1}"#);
    let (one, other) = (send(&plan, &[3, 1], request, body), send(&plan, &[3, 2, 1], request, body));
    assert!(one.is_some());
    assert_same(&one, &other, "down");
}

/// A body's type of its own, which a message with other parts gets, counts among the types of a step.
#[test]
fn partial_forms_are_found_behind_types_of_bodies() {
    let rules = |old: &str, new: &str| {
        format!(
            "types:\n  Outer: [id, {old} = {new}: {{case: [lower, upper]}}, {{added: n{new}, default: x}}]\nroutes:\n  \
             - PATCH /t = PATCH /t: {{request: Outer, 200: Outer}}\n  \
             - POST /u = POST /u: {{request: [header.X-A = header.X-B, body.k = body.l]}}\n"
        )
    };
    let (first, second) = (rules("a", "b"), rules("c", "d"));
    let plan = line(&[&first, &second]);
    assert_eq!(plan.exchange(0, 2, "PATCH", ("/t", None)).unwrap().request_passes(), 1);
    for body in [r#"{"id":1,"a":"x","c":null}"#, "{}", r#"{"c":"q","k":1}"#] {
        let request = ("PATCH", "/t", None);
        let body = Some(body.as_bytes());
        let (one, other) = (send(&plan, &[0, 2], request, body), send(&plan, &[0, 1, 2], request, body));
        assert!(one.is_some());
        assert_same(&one, &other, &format!("{one:?} {other:?}"));
    }
}

/// The limit on depth holds for the documents between, too, though nobody makes them.
#[test]
fn depth_is_that_of_the_versions_between() {
    let routes = "routes:\n  - POST /t = POST /t: {request: Outer}\n";
    for (older, newest) in [
        ("{added: b, default: [[[1]]]}", "{removed: b, loss: gone}"),
        ("a = m.n.o.b", "m.n.o.b = m.n.c"),
        ("a = b: {csv: \",\"}", "b = c"),
        ("a = b: {json: true, loss: spaces}", "b = c"),
        ("a = b: {presence: [[[]]]}", "b = c"),
        ("a = b: {enum: [[x, [[[]]]]]}", "b = c: {enum: [[[[[]]], y]]}"),
        ("kids = m.n.kids: {each: Outer}", "m.n.kids = m.n.list: {each: Outer}"),
    ] {
        let rules = |rule: &str| format!("types:\n  Outer:\n    - {rule}\n{routes}");
        let plan = line(&[&rules(older), &rules(newest)]);
        let nested = |name: &str, leaf: &str, depth: usize| {
            (0..depth).fold(leaf.to_owned(), |inner, _| format!("{{\"{name}\":{inner}}}"))
        };
        let mut bodies = Vec::new();
        for depth in 0..9 {
            for leaf in ["\"x\"", "\"x,y\"", "\"[[[[1]]]]\"", "true"] {
                bodies.push(format!("{{\"a\":{}}}", nested("z", leaf, depth)));
                bodies.push(format!("{{\"a\":{leaf},\"q\":{}}}", nested("z", "1", depth)));
            }
            bodies.push((0..depth).fold("[]".to_owned(), |inner, _| format!("[{{\"kids\":{inner}}}]")));
            bodies.push((0..depth).fold("{}".to_owned(), |inner, _| format!("{{\"kids\":[{inner}]}}")));
        }
        for (body, depth) in bodies.iter().flat_map(|body| (1..10).map(move |depth| (body, depth))) {
            let limits = Limits { depth, ..Limits::default() };
            let go = |from: usize, to: usize, body: &[u8]| -> Result<Vec<u8>, FaultKind> {
                let (method, headers) = (Method::POST, HeaderMap::new());
                let request =
                    RequestIn { method: &method, path: "/t", query: None, headers: &headers, body: Some(body) };
                let exchange = plan.exchange(from, to, "POST", ("/t", None)).unwrap();
                let out =
                    exchange.request(&request, None, &mut Scratch::default(), limits).map_err(|fault| fault.kind)?;
                match out.body {
                    BodyOut::Replaced(body) => Ok(body),
                    BodyOut::Unchanged => Ok(body.to_vec()),
                }
            };
            let by_step = go(0, 1, body.as_bytes()).and_then(|between| go(1, 2, &between));
            let at_once = go(0, 2, body.as_bytes());
            let of =
                |result: Result<Vec<u8>, FaultKind>| result.map(|text| Value::parse(&text).unwrap().to_json().len());
            assert_eq!(of(at_once), of(by_step), "{older} and {newest}: {body} within {depth}");
        }
    }
}

/// Whatever has to do with more than bodies goes step by step.
#[test]
fn messages_with_more_than_a_body_are_not_fused() {
    let step = |types: &str, route: &str| format!("types:\n  Outer:\n    - id\n    - {types}\nroutes:\n  - {route}\n");
    let bodies = "POST /t = POST /t: {request: Outer, 200: Outer}";
    let passes = |types: [&str; 2], routes: [&str; 2]| {
        let rules = [0, 1].map(|at| step(types[at], routes[at]));
        let plan = line(&[&rules[0], &rules[1]]);
        let exchange = plan.exchange(0, 2, "POST", ("/t", None)).unwrap();
        (exchange.request_passes(), exchange.response_passes(StatusCode::OK))
    };
    let moves = ["a = b", "b = c"];
    assert_eq!(passes(moves, [bodies, bodies]), (1, 1));
    // A type of the general engine.
    assert_eq!(passes(["a = b: {values: Outer}", "b = c"], [bodies, bodies]), (2, 2));
    assert_eq!(passes(["a = b", "b = c: {values: Outer}"], [bodies, bodies]), (2, 2));
    // Addresses, which are found in the routes of a step.
    assert_eq!(passes(["a = b: {link: true}", "b = c"], [bodies, bodies]), (2, 2));
    // Rules on a header beside the body.
    let header = "POST /t = POST /t: {request: [header.X-A = header.X-B, \"body = body\": Outer], 200: Outer}";
    assert_eq!(passes(moves, [bodies, header]), (2, 1));
    assert_eq!(passes(moves, [header, bodies]), (2, 1));
    // A response whose status changes, or that a condition is asked about.
    let mapped = "POST /t = POST /t: {request: Outer, 200: Outer, responses: [{status: 404 = 200, when: {old: $.body.e, new: $.body.e}}]}";
    assert_eq!(passes(moves, [bodies, mapped]), (1, 2));
    assert_eq!(passes(moves, [mapped, bodies]), (1, 2));
    // Written onto the live document.
    let merge = "POST /t = POST /t: {write: merge, request: Outer, 200: Outer}";
    assert_eq!(passes(moves, [bodies, merge]), (2, 1));
    let plan = line(&[&step(moves[0], bodies), &step(moves[1], mapped)]);
    let exchange = plan.exchange(0, 2, "POST", ("/t", None)).unwrap();
    for (body, expected) in [
        (r#"{"id":1,"c":2}"#, (StatusCode::OK, r#"{"id":1,"a":2}"#)),
        (r#"{"c":2,"e":1}"#, (StatusCode::NOT_FOUND, r#"{"c":2,"e":1}"#)),
    ] {
        let headers = headers();
        let response = ResponseIn { status: StatusCode::OK, headers: &headers, body: Some(body.as_bytes()) };
        let out = exchange.response(&response, None, &mut Scratch::default(), Limits::default()).unwrap();
        let text = match &out.body {
            BodyOut::Unchanged => body.as_bytes(),
            BodyOut::Replaced(text) => text,
        };
        assert_eq!((out.status, String::from_utf8_lossy(text).as_ref()), expected);
        assert_eq!(out.headers, headers);
    }
}
