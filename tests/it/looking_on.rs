//! What rules do, told: `translate --trace`, `test --coverage`, `test --watch`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cli::rules;

/// A running command over these rules.
fn begin(rules: &Path, args: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bifocal"))
        .args(args.split(' '))
        .arg("--rules")
        .arg(rules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn run(rules: &tempfile::TempDir, args: &str, input: &str) -> (Option<i32>, String, String) {
    let mut child = begin(rules.path(), args);
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Translates, and expects this translation and this trace.
fn traces(rules: &tempfile::TempDir, args: &str, input: &str, (out, trace): (&str, &str)) {
    let args = format!("translate --service shop {args}");
    assert_eq!(run(rules, &args, input), (Some(0), format!("{out}\n"), String::new()), "without --trace");
    let traced = run(rules, &format!("{args} --trace"), input);
    assert_eq!(traced, (Some(0), format!("{out}\n"), trace.to_owned()));
}

const ORDERS: &str = "\
types:
  Order:
    - id
    - total = price.value: {decimal: 2}
    - lines = items: {each: Line}
    - {added: channel, default: web}
  Line:
    - sku = product
routes:
  - GET /orders/{id} = GET /v2/orders/{id}:
      200: [body = body.data: Order, header.X-Age = header.Age]
";

#[test]
fn a_trace_names_the_rule_of_each_place() {
    let rules = rules(ORDERS);
    traces(
        &rules,
        "--from v1 --to v2 --type Order",
        r#"{"id":7,"total":5,"lines":[{"sku":"a"},{"sku":"b","x":[1,2]}],"y":null}"#,
        (
            r#"{"id":7,"price":{"value":"0.05"},"items":[{"product":"a"},{"product":"b","x":[1,2]}],"y":null,"channel":"web"}"#,
            "\
line 1:
id <- id (shop/v1-v2.yaml:3)
price.value <- total = price.value: decimal (shop/v1-v2.yaml:4)
items[0].product <- sku = product (shop/v1-v2.yaml:8)
items[1].product <- sku = product (shop/v1-v2.yaml:8)
items <- lines = items: each Line (shop/v1-v2.yaml:5)
channel <- {added: channel, default: web} (shop/v1-v2.yaml:6)
3 values pass untouched
",
        ),
    );
}

#[test]
fn a_trace_of_a_message_names_its_parts() {
    traces(
        &rules(ORDERS),
        "--from v2 --to v1",
        r#"{"status":200,"headers":{"Age":"9"},"body":{"data":{"price":{"value":"1.00"},"channel":"tv"}},"request":{"method":"GET","path":"/orders/1"}}"#,
        (
            r#"{"status":200,"headers":{"x-age":"9"},"body":{"total":100},"request":{"method":"GET","path":"/orders/1"}}"#,
            "\
line 1:
body.total <- total = price.value: decimal (shop/v1-v2.yaml:4)
body <- body = body.data: Order (shop/v1-v2.yaml:11)
header.x-age <- header.X-Age = header.Age (shop/v1-v2.yaml:11)
0 values pass untouched
",
        ),
    );
}

#[test]
fn a_trace_tells_cases_patterns_and_derived_values() {
    let text = "\
types:
  Pay:
    - on: kind = type
      cases: {card = CARD: [number = card.pan], cash = CASH: [till]}
    - x-{name} = extra.{name}
    - {added: label, from: \"pay {kind}\"}
    - tags: {via: [{values: Tag}, {entries: {key: k, value: v}}]}
  Tag: [a = b]
";
    traces(
        &rules(text),
        "--from v1 --to v2 --type Pay",
        r#"{"kind":"card","number":"4","x-one":1,"tags":{"t":{"a":2}},"z":0}"#,
        (
            r#"{"type":"CARD","card":{"pan":"4"},"extra":{"one":1},"tags":[{"k":"t","v":{"b":2}}],"z":0,"label":"pay card"}"#,
            "\
line 1:
type <- on: kind = type cases: {card = CARD: [number = card.pan], cash = CASH: [till]} (shop/v1-v2.yaml:3)
card.pan <- number = card.pan (shop/v1-v2.yaml:4)
label <- {added: label, from: \"pay {kind}\"} (shop/v1-v2.yaml:6)
tags <- tags: values Tag, entries (shop/v1-v2.yaml:7)
extra.one <- x-{name} = extra.{name} (shop/v1-v2.yaml:5)
1 value passes untouched
",
        ),
    );
}

#[test]
fn a_trace_keeps_documents_apart() {
    let rules = rules(ORDERS);
    let args = "translate --service shop --from v1 --to v2 --type Line --trace";
    let (code, out, err) = run(&rules, args, "{\"sku\":1}\n{\"product\":2}\n{}\n");
    assert_eq!((code, out.as_str()), (Some(1), "{\"product\":1}\n{}\n"));
    let lines: Vec<&str> = err.lines().collect();
    let [first, made, passed, refused, third, none] = lines.as_slice() else { panic!("{err}") };
    assert_eq!([*first, *made], ["line 1:", "product <- sku = product (shop/v1-v2.yaml:8)"]);
    assert!(refused.starts_with("bifocal: line 2: `product`"), "{refused}");
    assert_eq!([*passed, *third, *none], ["0 values pass untouched", "line 3:", "0 values pass untouched"]);
    let (code, ..) = run(&rules, &format!("{args} --base x.json"), "");
    assert_eq!(code, Some(2));
}

/// The lines of `--coverage` alone.
fn coverage(text: &str, code: i32) -> String {
    let rules = rules(text);
    let plain = run(&rules, "test --count 3", "");
    let (covered, out, err) = run(&rules, "test --count 3 --coverage", "");
    assert_eq!((plain.0, covered, err.as_str()), (Some(code), Some(code), ""), "{out}");
    let mut lines: Vec<&str> = out.lines().collect();
    // Nothing else changes.
    lines.retain(|line| !plain.1.lines().any(|plain| plain == *line));
    lines.join("\n")
}

#[test]
fn coverage_lists_what_no_example_meets() {
    let text = "\
types:
  Order:
    - id
    - total = price: {decimal: 2}
    - state = status: {enum: [[open, OPEN], [done, SENT], [done, LOST]]}
    - lines = items: {each: Line}
  Line: [sku = product]
examples:
  - {type: Order, old: {id: 1, state: open}, new: {id: 1, status: OPEN}}
  - {type: Order, new: {status: LOST, items: []}, back: {state: done, lines: []}}
";
    let expected = "   61% Order: examples exercise 8 of 13
    never    total = price (shop/v1-v2.yaml:4)
    never    state = status, row \"done\": \"SENT\" (shop/v1-v2.yaml:5)
    not up   lines = items (shop/v1-v2.yaml:6)
    0% Line: examples exercise 0 of 2
    never    sku = product (shop/v1-v2.yaml:7)";
    assert_eq!(coverage(text, 0), expected);
}

#[test]
fn coverage_counts_cases_and_conditions() {
    let text = "\
types:
  Pay:
    - cases:
        - {old: {kind: card, number: $n}, new: {card: $n}}
        - {old: {kind: cash}, new: {cash: true}, when: {old: \"$.coins\"}}
        - {old: {kind: none}, new: {free: true}}
    - note = remark: {when: {old: \"!$.hidden\"}, loss: nobody sees it}
examples:
  - {type: Pay, old: {kind: card, number: 4, note: x}, new: {card: 4, remark: x}}
  - {type: Pay, old: {kind: none, hidden: 1, note: y}, new: {free: true, hidden: 1, note: y}, back: {kind: none, hidden: 1}}
";
    let found = coverage(text, 0);
    assert!(found.starts_with("   83% Pay: examples exercise 10 of 12\n    never    cases: "), "{found}");
    assert!(found.ends_with(", case 2 (shop/v1-v2.yaml:3)"), "{found}");
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn coverage_changes_no_verdict() {
    let text = "types:\n  Order: [a = b]\nexamples:\n  - {type: Order, old: {a: 1}, new: {b: 2}}\n";
    assert_eq!(coverage(text, 1), "  100% Order: examples exercise 2 of 2");
}

#[test]
fn watching_tests_again_at_every_change() {
    let rules = rules("types:\n  Order: [a = b]\nexamples:\n  - {type: Order, old: {a: 1}, new: {b: 1}}\n");
    let mut child = begin(rules.path(), "test --count 3 --watch");
    let (sent, results) = std::sync::mpsc::sync_channel(100);
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            let line = line.unwrap();
            // As in `10:20:30Z 1 type, …`.
            if line.get(2..3) == Some(":") && line.get(8..10) == Some("Z ") {
                let _ = sent.send(line.split_at(10).1.to_owned());
            }
        }
    });
    let next = |wanted: &str| {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let result = results.recv_timeout(left).unwrap_or_else(|_| panic!("`{wanted}` does not come"));
            if result.ends_with(wanted) {
                return;
            }
        }
    };
    next("1 example, 4 laws: all hold");
    let file = rules.path().join("shop/v1-v2.yaml");
    fs::write(&file, "types:\n  Order: [a = b]\nexamples:\n  - {type: Order, old: {a: 1}, new: {b: 2}}\n").unwrap();
    next("do not hold");
    fs::write(&file, "types:\n  Order: [a = ]\n").unwrap();
    next("some rules are refused");
    fs::write(&file, "types:\n  Order: [a = c]\n").unwrap();
    next("0 examples, 4 laws: all hold");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    let nowhere = rules.path().join("none");
    assert_eq!(begin(&nowhere, "test --watch").wait().unwrap().code(), Some(2));
}
