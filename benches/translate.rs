//! The engine against serde_json reading and writing the same bytes without any change.

#![expect(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use bifocal::codecs::{At, Case, Codec, Decimal, Direction, Enum, Head, Letters, Split};
use bifocal::diagnostic::{SourceId, Span};
use bifocal::path::Place;
use bifocal::plan::{Limits, Scratch, StepPlan, TypeId};
use bifocal::rules::checked::*;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const NOWHERE: Span = Span { source: SourceId(0), start: 0, end: 0 };
fn place(text: &str) -> Place {
    Place { segments: text.split('.').map(str::to_owned).collect(), span: NOWHERE }
}
fn rule(kind: CheckedKind) -> CheckedRule {
    CheckedRule { kind, lossy: false, verdict: Verdict::Tested, text: String::new(), span: NOWHERE }
}
fn eq(text: &str, codec: BoundCodec) -> CheckedRule {
    let (old, new) = text.split_once(" = ").unwrap_or((text, text));
    let places = |side: &str| side.split(" + ").map(place).collect();
    rule(CheckedKind::Equation { olds: places(old), news: places(new), codec, default: None })
}
fn val(text: &str, codec: Codec) -> CheckedRule {
    eq(text, BoundCodec::Value(codec))
}
fn step() -> StepPlan {
    let status = Enum {
        rows: [("open", "OPEN"), ("closed", "DONE")].map(|(a, b)| (format!("\"{a}\""), format!("\"{b}\""))).into(),
        is_map: true,
        else_old: None,
        else_new: None,
    };
    let split = Split { separator: " ".into(), at: At::Last, fill: Some("-".into()) };
    let order = vec![
        val("id", Codec::Same),
        val("name = customer.first + customer.last", Codec::Split(split)),
        val("total = price.value", Codec::Decimal(Decimal { scale: 2 })),
        val("currency = price.currency", Codec::Case(Case { old: Letters::Lower, new: Letters::Upper })),
        val("state = status", Codec::Enum(status)),
        eq("lines = items", BoundCodec::Each { of: TypeId(1), key: Some(place("id")) }),
        val("phone = phones", Codec::Head(Head { empty: None })),
        rule(CheckedKind::Added { place: place("channel"), default: Some("\"web\"".into()) }),
        rule(CheckedKind::Removed { place: place("fax"), default: Some("null".into()) }),
    ];
    let line = vec![val("id", Codec::Same), val("sku = product_id", Codec::Same), val("qty = quantity", Codec::Same)];
    let list = vec![eq("body = body.data", BoundCodec::Each { of: TypeId(0), key: None })];
    let t = |rules| CheckedType { name: "T".into(), origin: Origin::Inline, rules, span: NOWHERE };
    StepPlan::compile(&CheckedStep { types: vec![t(order), t(line), t(list)], ..CheckedStep::default() })
}

fn order() -> String {
    let lines: Vec<String> = (0..6)
        .map(|i| {
            format!(r#"{{"id":{i},"sku":"SKU-{i:06}","qty":{},"note":"gift wrap, please","weight":1.250}}"#, i + 1)
        })
        .collect();
    format!(
        r#"{{"id":"ord_9f8a7b6c5d","name":"Mary Ann Smith","total":129900,"currency":"eur","state":"open","created_at":"2026-01-05T10:00:00Z","address":{{"street":"12 Long Lane","city":"Springfield","zip":"04510","country":"US"}},"lines":[{}],"phone":"+1 555 0100","fax":null,"tags":["priority","export"],"note":"Leave with the neighbour if nobody answers the door; ring twice.","metadata":{{"source":"mobile","campaign":"spring-sale","ref":"a1b2c3d4"}}}}"#,
        lines.join(",")
    )
}

fn bench(c: &mut Criterion) {
    let step = step();
    let one = order();
    let list_old = format!("{{\"body\":[{}]}}", vec![one.clone(); 100_000 / one.len()].join(","));
    for (name, of, old) in [("1KB", TypeId(0), one), ("100KB", TypeId(2), list_old)] {
        let (mut scratch, mut new) = (Scratch::default(), Vec::new());
        step.translate(of, Direction::Up, old.as_bytes(), &mut new, &mut scratch, Limits::default()).unwrap();
        let mut group = c.benchmark_group(name);
        for (direction, text) in [(Direction::Up, old.as_bytes()), (Direction::Down, &new)] {
            group.throughput(Throughput::Bytes(text.len() as u64));
            let mut out = Vec::new();
            group.bench_function(format!("bifocal {direction:?}"), |b| {
                b.iter(|| {
                    out.clear();
                    step.translate(of, direction, black_box(text), &mut out, &mut scratch, Limits::default()).unwrap();
                })
            });
            group.bench_function(format!("serde_json {direction:?}"), |b| {
                b.iter(|| {
                    let value: serde_json::Value = serde_json::from_slice(black_box(text)).unwrap();
                    serde_json::to_vec(&value).unwrap()
                })
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
