//! The engine against `serde_json` reading and writing the same bytes without any change: `cargo bench`.
//!
//! The rules are the shipped ones; the order is the shipped example with some members that no rule names, about 1 KB;
//! the list holds as many of them as make 100 KB.
//!
//! And a line of five versions of the same order, whose steps share out what the shipped rules do in one: how its first
//! version fares on the service of its last, with the steps said as one, against one step, and against one after another.

use std::hint::black_box;

use bifocal::codecs::Direction;
use bifocal::plan::{BodyOut, Exchange, Limits, RequestIn, Scratch, ServicePlan, StepPlan, TypeId};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ORDER: &str = r#"{"id":"ord_1042","customer_name":"Mary Ann Smith","email":"mary.ann.smith@example.com","street":"17 Harbour Lane, Flat 3","city":"Port Ellen","zip":"PA42 7AB","state":"open","total":12597,"currency":"gbp","taxable":true,"note":"Please leave it with the neighbours at no. 19, the bell is broken.","created":"2024-03-18T09:24:51Z","lines":[{"id":1,"sku":"KB-75-UK","title":"Mechanical keyboard, 75 %, UK layout","qty":1,"price":8999},{"id":2,"sku":"CBL-C-2M","title":"USB-C cable, braided, 2 m","qty":2,"price":1299},{"id":3,"sku":"PAD-XL","title":"Desk pad “Ocean”, 90 × 40 cm","qty":1,"price":1000}],"fax":null,"gift":{"wrap":"recycled paper","card":"Happy birthday, Ann! From all of us at the harbour office."},"metadata":{"source":"mobile","campaign":"spring-sale","session":"8f14e45f-ceea-467f-a3d4-1f2b9c0e7a55","utm":{"medium":"email","term":"keyboards"}},"tags":["priority","export","insured"],"weight":1.250,"eta":"2024-03-21"}"#;

/// The shipped rules with one more type in front: a list in an envelope.
fn shipped() -> Option<StepPlan> {
    let list = "types:\n  Orders:\n    - . = data: {each: Order, key: id}\n";
    let rules = include_str!("../rules/orders/v1-v2.yaml").replacen("types:\n", list, 1);
    let texts = [
        ("service.yaml", include_str!("../rules/orders/service.yaml")),
        ("v1-v2.yaml", &rules),
        ("openapi/v1.yaml", include_str!("../rules/orders/openapi/v1.yaml")),
        ("openapi/v2.yaml", include_str!("../rules/orders/openapi/v2.yaml")),
    ];
    let report = check_service(&ServiceSources::from_texts("orders", texts));
    report.checked?.steps.first().map(StepPlan::compile)
}

fn bench(criterion: &mut Criterion) {
    let step = shipped();
    assert!(step.is_some(), "the shipped rules are refused");
    let Some(step) = step else { return };
    let list = format!("[{}]", vec![ORDER; 100_000 / ORDER.len()].join(","));
    for (name, of, old) in [("order", TypeId(1), ORDER.to_owned()), ("list", TypeId(0), list)] {
        let mut scratch = Scratch::default();
        let mut run = |direction, text: &[u8], out: &mut Vec<u8>| {
            out.clear();
            assert!(step.translate(of, direction, text, out, &mut scratch, Limits::default()).is_ok());
        };
        let mut new = Vec::new();
        run(Direction::Up, old.as_bytes(), &mut new);
        let mut group = criterion.benchmark_group(name);
        for (direction, text) in [(Direction::Up, old.as_bytes()), (Direction::Down, &new)] {
            group.throughput(Throughput::Bytes(text.len() as u64));
            let mut out = Vec::new();
            group.bench_function(format!("bifocal {direction:?}"), |bencher| {
                bencher.iter(|| run(direction, black_box(text), &mut out));
            });
            group.bench_function(format!("serde_json {direction:?}"), |bencher| {
                bencher.iter(|| {
                    let value = serde_json::from_slice::<serde_json::Value>(black_box(text));
                    value.and_then(|value| serde_json::to_vec(&value))
                });
            });
        }
        group.finish();
    }
}

/// What the shipped rules do, a part in each step.
const STEPS: [&str; 4] = [
    "  Order:
    - id
    - customer_name = customer.first_name + customer.last_name: {split: \" \", at: last, fill: \"-\"}
    - email = customer.email
    - created = created_at
    - lines = items: {each: Line, key: id}
  Line: [id, sku = product_id, title = name]
",
    "  Order:
    - street = shipping_address.line1
    - city = shipping_address.city
    - zip = shipping_address.postal_code
    - note = notes: {head: true}
    - items: {each: Line, key: id}
  Line: [id, qty = quantity]
",
    "  Order:
    - state = status: {enum: [[open, OPEN], [shipped, SHIPPED], [closed, DELIVERED], [closed, CANCELLED]]}
    - taxable = tax_exempt: {invert: true}
    - {added: channel, default: web}
    - {removed: fax, default: null, loss: retired}
",
    "  Order:
    - total = price.value: {decimal: 2}
    - currency = price.currency: {case: [lower, upper]}
    - items: {each: Line, key: id}
  Line: [id, price = unit_price: {decimal: 2}]
",
];

/// All of it in one step.
const WHOLE: &str = "  Order:
    - id
    - customer_name = customer.first_name + customer.last_name: {split: \" \", at: last, fill: \"-\"}
    - email = customer.email
    - street = shipping_address.line1
    - city = shipping_address.city
    - zip = shipping_address.postal_code
    - state = status: {enum: [[open, OPEN], [shipped, SHIPPED], [closed, DELIVERED], [closed, CANCELLED]]}
    - total = price.value: {decimal: 2}
    - currency = price.currency: {case: [lower, upper]}
    - taxable = tax_exempt: {invert: true}
    - note = notes: {head: true}
    - created = created_at
    - lines = items: {each: Line, key: id}
    - {added: channel, default: web}
    - {removed: fax, default: null, loss: retired}
  Line: [id, sku = product_id, title = name, qty = quantity, price = unit_price: {decimal: 2}]
";

/// A line of versions with one route.
fn line(types: &[&str]) -> Option<ServicePlan> {
    let last = types.len() + 1;
    let version = |number: usize| {
        if number == last {
            format!("  v{number}: {{path: /v{number}, upstream: \"http://127.0.0.1:9\"}}\n")
        } else {
            format!("  v{number}: {{path: /v{number}, answered_by: v{last}}}\n")
        }
    };
    let service = format!("versions:\n{}", (1..=last).map(version).collect::<String>());
    let route = "routes:\n  - POST /orders = POST /orders:\n      request: [\"body = body\": Order]\n";
    let rules: Vec<(String, String)> = (1..last)
        .zip(types)
        .map(|(old, types)| (format!("v{old}-v{}.yaml", old + 1), format!("types:\n{types}{route}")))
        .collect();
    let files = rules.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let texts = std::iter::once(("service.yaml", service.as_str())).chain(files);
    check_service(&ServiceSources::from_texts("orders", texts)).checked.as_ref().map(ServicePlan::compile)
}

/// Sends a body by some exchanges, one after another.
fn send(exchanges: &[Exchange<'_>], body: &[u8], scratch: &mut Scratch) -> Option<Vec<u8>> {
    let (method, headers) = (http::Method::POST, http::HeaderMap::new());
    exchanges.iter().try_fold(body.to_vec(), |body, exchange| {
        let request = RequestIn { method: &method, path: "/orders", query: None, headers: &headers, body: Some(&body) };
        match exchange.request(&request, None, scratch, Limits::default()).ok()?.body {
            BodyOut::Replaced(body) => Some(body),
            BodyOut::Unchanged => None,
        }
    })
}

fn bench_line(criterion: &mut Criterion) {
    let plans = (line(&STEPS), line(&[WHOLE]));
    assert!(plans.0.is_some() && plans.1.is_some(), "the rules of the line are refused");
    let (Some(five), Some(two)) = plans else { return };
    let mut scratch = Scratch::default();
    let up = |plan: &ServicePlan, stops: &[(usize, usize)], body: &[u8], scratch: &mut Scratch| {
        let exchanges: Option<Vec<_>> = stops
            .iter()
            .map(|(asked, served)| plan.exchange(*asked, *served, "POST", ("/orders", None)).ok())
            .collect();
        send(&exchanges?, body, scratch)
    };
    let new = up(&two, &[(0, 1)], ORDER.as_bytes(), &mut scratch).unwrap_or_default();
    let mut group = criterion.benchmark_group("line");
    for (direction, body) in [("Up", ORDER.as_bytes()), ("Down", &new)] {
        let turn = |(asked, served): (usize, usize)| if direction == "Up" { (asked, served) } else { (served, asked) };
        let mut by_step: Vec<(usize, usize)> = (0..4).map(|step| turn((step, step + 1))).collect();
        if direction == "Down" {
            by_step.reverse();
        }
        let ways = [
            ("one step", &two, vec![turn((0, 1))]),
            ("five versions at once", &five, vec![turn((0, 4))]),
            ("five versions by step", &five, by_step),
        ];
        for (name, plan, stops) in ways {
            assert!(up(plan, &stops, body, &mut scratch).is_some_and(|out| out.len() > 800));
            group.bench_function(format!("{name} {direction}"), |bencher| {
                bencher.iter(|| up(plan, &stops, black_box(body), &mut scratch));
            });
        }
    }
    assert_eq!(scratch.detours(), 0);
    group.finish();
}

criterion_group!(benches, bench, bench_line);
criterion_main!(benches);
