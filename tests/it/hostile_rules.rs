//! No text makes the front end panic, hang or contradict itself.

use bifocal::diagnostic::{Finding, Style, to_text};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;
use proptest::prelude::*;

const SERVICE: &str = "match: {hosts: [a.example], paths: [/x]}
versions:
  v1: {path: /x/v1, names: [one], answered_by: v2}
  v2: {path: /x/v2, upstream: \"http://127.0.0.1:9102\"}
negotiate: [path, {header: API-Version}, {query: v}, {media_type: version}]
default: v1
";

const RULES: &str = "types:
  Order = Purchase:
    - id
    - name = first + last: {split: \" \", at: last, fill: \"-\"}
    - total = price.value: {decimal: 2, default: \"0.00\"}
    - state = status: {enum: {open: OPEN, closed: DONE}, else: open}
    - lines = items: {each: Line, key: id}
    - $['odd.key'] = ship: [street = line1, . = x]
    - {added: channel, default: web}
    - {removed: fax, default: null, loss: why}
  Line: [id, sku = product_id, next: Line]
routes:
  - GET /x/v1/orders/{id} = GET /x/v2/orders/{id}: {200: Order, 4XX: [body.error = body.detail], default: [status]}
  - PUT /x/v1/orders/{id} = PUT /x/v2/orders/{key}:
      write: merge
      request: [path.id = path.key, body: Order, header.X-A = query.a]
examples:
  - {type: Line, old: {id: 1, sku: a}, new: {id: 1, product_id: a}}
";

/// Pieces that mean something somewhere.
const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "\n  ",
    ": ",
    "- ",
    ", ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "!x ",
    "#",
    "=",
    "+",
    ".",
    "..",
    "$",
    "['x']",
    "[0]",
    "~",
    "012",
    "v1",
    "v2",
    "v9",
    "id",
    "body",
    "path.id",
    "Order",
    "Line",
    "as",
    "each",
    "key",
    "enum",
    "split",
    "head",
    "loss",
    "default",
    "added",
    "removed",
    "GET /a",
    "/{id}",
    "* /",
    "é",
    "\u{feff}",
    "\r\n",
    "\t",
    "<<",
    "null",
    "1e999999999",
    "-0",
    "2XX",
    "response",
];

/// The text with some slices replaced by pieces.
fn edited(text: &'static str) -> impl Strategy<Value = String> {
    let edit = (0..=text.len(), 0..12_usize, proptest::sample::select(PIECES));
    proptest::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut edited = text.to_owned();
        for (at, length, piece) in edits {
            let (start, end) = (at.min(edited.len()), (at + length).min(edited.len()));
            if edited.is_char_boundary(start) && edited.is_char_boundary(end) {
                edited.replace_range(start..end, piece);
            }
        }
        edited
    })
}

fn check(service: &str, rules: &str) {
    let sources = ServiceSources::from_texts("shop", [("service.yaml", service), ("v1-v2.yaml", rules)]);
    let report = check_service(&sources);
    assert_eq!(report.checked.is_some(), !report.diagnostics.has_errors());
    let shown = to_text(&report.diagnostics, &report.sources, Style::Plain);
    assert_eq!(shown.is_empty(), report.diagnostics.is_empty());
    for one in &report.diagnostics {
        let text = &report.sources.get(one.span.source).unwrap().text;
        assert!(text.get(one.span.start as usize..one.span.end as usize).is_some(), "{one:?}");
        let found = Finding::new(one, &report.sources);
        assert!(!found.message.is_empty() && !found.message.contains('\n'));
    }
    if let Some(checked) = &report.checked {
        let _ = bifocal::plan::ServicePlan::compile(checked);
    }
}

#[test]
fn the_unedited_texts_are_sound() {
    let rules = RULES.replace(", . = x", "");
    let sources = ServiceSources::from_texts("shop", [("service.yaml", SERVICE), ("v1-v2.yaml", rules.as_str())]);
    let report = check_service(&sources);
    assert!(report.diagnostics.is_empty(), "{}", to_text(&report.diagnostics, &report.sources, Style::Plain));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn edited_rules(rules in edited(RULES)) {
        check(SERVICE, &rules);
    }

    #[test]
    fn edited_services(service in edited(SERVICE)) {
        check(&service, "types: {Order: [id]}\n");
    }
}
