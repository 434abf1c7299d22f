//! The engine against `serde_json` reading and writing the same bytes without any change: `cargo bench`.
//!
//! The rules are the shipped ones; the order is the shipped example with some members that no rule names, about 1 KB;
//! the list holds as many of them as make 100 KB.

use std::hint::black_box;

use bifocal::codecs::Direction;
use bifocal::plan::{Limits, Scratch, StepPlan, TypeId};
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

criterion_group!(benches, bench);
criterion_main!(benches);
