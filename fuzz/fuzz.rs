//! What must never happen, whatever comes in: a panic, an answer that is not JSON, an answer where the text was not.
//!
//! The first byte of an input chooses the part: the rule files, the JSON scanner, translation up, down and back, the second
//! look at framing, coded bodies, or raw bytes of a caller to the whole gateway. What starts with `$` is a query.

#![no_main]

mod wire;

use std::sync::LazyLock;

use bifocal::codecs::Direction;
use bifocal::diagnostic::{Style, to_text};
use bifocal::gateway::probe;
use bifocal::json::Tree;
use bifocal::path::query::Query;
use bifocal::plan::{Limits, Scratch, StepPlan, TypeId};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

const SERVICE: &str = "\
versions:
  v1: {path: /v1, answered_by: v2}
  v2: {path: /v2, upstream: \"http://127.0.0.1:9102\"}
";

const TYPES: &str = r#"types:
  Order:
    - id
    - name = customer.first + customer.last: {split: " ", at: last, fill: "-"}
    - total = price.value: {decimal: 2}
    - currency = price.currency: {case: [lower, upper]}
    - state = status: {enum: [[open, OPEN], [closed, DONE], [closed, LOST]], else: open}
    - lines = items: {each: Line, key: id}
    - phone = phones: {head: true}
    - count = stats.count: {type: [string, integer]}
    - paid = due: {invert: true}
    - parent = above: Order
    - a.b = c
    - d = a.e
    - {added: channel, default: web}
    - {removed: fax, default: null, loss: retired}
  Line: [id, sku = product_id, qty = quantity]
"#;

static STEP: LazyLock<StepPlan> = LazyLock::new(|| {
    let sources = ServiceSources::from_texts("fuzz", [("service.yaml", SERVICE), ("v1-v2.yaml", TYPES)]);
    let report = check_service(&sources);
    let checked = report.checked.expect("the rules are good");
    StepPlan::compile(&checked.steps[0])
});

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 6 {
        _ if *choice == b'$' => query(data),
        0 => rules(rest),
        1 => scanner(rest),
        2 => translation(rest),
        3 => framing(rest),
        4 => coded(rest),
        _ => wire::exchange(rest),
    }
});

fn rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sources = ServiceSources::from_texts("fuzz", [("service.yaml", SERVICE), ("v1-v2.yaml", text)]);
    let report = check_service(&sources);
    assert_eq!(report.checked.is_some(), !report.diagnostics.has_errors());
    to_text(&report.diagnostics, &report.sources, Style::Plain);
    if let Some(checked) = report.checked {
        for step in &checked.steps {
            let plan = StepPlan::compile(step);
            let (mut out, mut scratch) = (Vec::new(), Scratch::default());
            for index in 0..step.types.len() {
                let text = br#"{"id":1,"a":{"b":[]},"name":"x y"}"#;
                let _fault =
                    plan.translate(TypeId(index), Direction::Up, text, &mut out, &mut scratch, Limits::default());
            }
        }
    }
}

fn query(data: &[u8]) {
    const DOCUMENT: &[u8] = br#"{"a": [{"a": 1, "b": "ab"}, {"a": 1.5e3, "b": ["b", null]}, -0], "b": {"a": "a+"}}"#;
    let Ok(query) = std::str::from_utf8(data).map(Query::parse) else { return };
    let (Ok(query), Ok(tree)) = (query, Tree::parse(DOCUMENT, 8)) else { return };
    if let Ok(nodes) = query.select(&tree) {
        assert_eq!(query.matches(&tree), Ok(!nodes.is_empty()));
    }
}

/// Verdicts do not depend on how bytes come.
fn framing(data: &[u8]) {
    let whole = probe::framing(data, usize::MAX);
    for piece in [1, 3, 64] {
        assert_eq!(probe::framing(data, piece), whole, "in pieces of {piece}");
    }
    let refused = whole.iter().position(|verdict| !verdict);
    assert!(refused.is_none_or(|at| at + 1 == whole.len()), "something was accepted after a refusal");
}

/// What is decoded is never more than allowed, and the same at once and in pieces.
fn coded(data: &[u8]) {
    const SIZE: usize = 1 << 20;
    let Some((coding, data)) = data.split_first() else { return };
    for piece in [1, 100, usize::MAX] {
        let [whole, pieces] = probe::decoded(*coding, data, (SIZE, 100), piece);
        for text in [&whole, &pieces].into_iter().flatten() {
            assert!(text.len() <= SIZE, "more than the limit");
        }
        if let (Some(whole), Some(pieces)) = (whole, pieces) {
            assert!(whole == pieces, "pieces of {piece} say something else");
        }
    }
}

fn scanner(data: &[u8]) {
    let ours = Tree::parse(data, 128);
    let theirs = serde_json::from_slice::<IgnoredAny>(data);
    if ours.is_ok() {
        assert!(theirs.is_ok(), "accepted what is not JSON");
    }
    if let Ok(tree) = &ours {
        assert!(tree.same(tree));
    }
}

fn translation(data: &[u8]) {
    let (mut scratch, limits) = (Scratch::default(), Limits::default());
    by_stencil(data);
    let mut new = Vec::new();
    if STEP.translate(TypeId(0), Direction::Up, data, &mut new, &mut scratch, limits).is_ok() {
        assert!(serde_json::from_slice::<IgnoredAny>(&new).is_ok(), "up gave no JSON");
    }
    let mut old = Vec::new();
    if STEP.translate(TypeId(0), Direction::Down, data, &mut old, &mut scratch, limits).is_err() {
        return;
    }
    assert!(serde_json::from_slice::<IgnoredAny>(&old).is_ok(), "down gave no JSON");
    let mut put = Vec::new();
    if STEP.put(TypeId(0), &old, data, &mut put, limits).is_ok() {
        let (put, live) = (Tree::parse(&put, 200), Tree::parse(data, 200));
        assert!(matches!((put, live), (Ok(put), Ok(live)) if put.same(&live)), "a write of what was read changed it");
    }
}

/// Translates a text thrice with one scratch, which knows by then what its objects look like, and once in full; a changed
/// byte of it as well.
fn by_stencil(data: &[u8]) {
    let (mut used, mut plain) = (Scratch::default(), Scratch::in_full());
    let limits = Limits::default();
    let mut texts = vec![data.to_vec(); 3];
    let mut changed = data.to_vec();
    if let [first, .., last] = changed.as_mut_slice() {
        let at = usize::from(*first ^ *last);
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
    }
    texts.push(changed);
    for direction in [Direction::Up, Direction::Down] {
        for text in &texts {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let by_stencil = STEP.translate(TypeId(0), direction, text, &mut a, &mut used, limits);
            let in_full = STEP.translate(TypeId(0), direction, text, &mut b, &mut plain, limits);
            assert_eq!((by_stencil, a), (in_full, b), "a stencil gave something else");
        }
    }
}
