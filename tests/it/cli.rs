//! The command line as scripts see it: exit codes, streams, the JSON form.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn bifocal(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bifocal")).args(args).env_remove("BIFOCAL_RULES").output().unwrap()
}

/// Exit code, standard output, standard error.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = bifocal(args);
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A rules folder with the service `shop`, whose steps have these rules.
pub(crate) fn rules(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("shop")).unwrap();
    let service = "versions: {v1: {}, v2: {upstream: \"http://127.0.0.1:1\"}}\n";
    fs::write(dir.path().join("shop/service.yaml"), service).unwrap();
    fs::write(dir.path().join("shop/v1-v2.yaml"), text).unwrap();
    dir
}

fn path(dir: &tempfile::TempDir) -> &str {
    dir.path().to_str().unwrap()
}

#[test]
fn check_of_sound_rules() {
    let dir = rules("types:\n  Order: [id, total = price: {decimal: 2}]\nroutes:\n  - GET /o = GET /p: {200: Order}\n");
    let (code, out, err) = run(&["check", "--rules", path(&dir), "--verbose"]);
    let expected = "\
shop: ok (2 versions, 1 route, rules: 0 proven, 3 tested)
  v2  runs at http://127.0.0.1:1
  v1-v2  tested   Order: id
  v1-v2  tested   Order: total = price
  v1-v2  tested   GET /o 200: Order
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
}

#[test]
fn check_lists_what_needs_an_expression() {
    let dir = rules("types:\n  Order: [id, a = b: {each: {cel: {up: value, down: value}}, loss: lists of one}]\n");
    let (code, out, err) = run(&["check", "--rules", path(&dir), "--verbose"]);
    let expected = "\
shop: ok (2 versions, 0 routes, rules: 0 proven, 2 tested, 1 by an expression)
  v2  runs at http://127.0.0.1:1
  v1-v2  tested   Order: id
  v1-v2  tested   Order: a = b, loss accepted, by an expression
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
}

#[test]
fn check_tells_what_each_flow_promises() {
    let dir = rules("messages: {orders: same}\n");
    let service = |guarantee: &str| {
        format!(
            "versions: {{v1: , v2: }}\nchannels:\n  orders:\n    guarantee: {guarantee}\n    versions:\n      \
             v1: {{ingress: {{broker: main, queue: a}}, egress: {{broker: main, queue: b}}}}\n      \
             v2: {{ingress: {{broker: main, queue: c}}, egress: {{broker: bus, subject: d}}}}\n"
        )
    };
    fs::write(dir.path().join("shop/service.yaml"), service("at_least_once")).unwrap();
    let (code, out, err) = run(&["check", "--rules", path(&dir)]);
    let expected = "\
shop: ok (2 versions, 0 routes, rules: 0 proven, 0 tested)
  flow orders/v1: main:queue/a -> bus:subject/d: effectively_once
  flow orders/v2: main:queue/c -> main:queue/b: at_least_once
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
    let (_, out, _) = run(&["check", "--rules", path(&dir), "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    let flow = serde_json::json!({"name": "orders/v1", "source": "main:queue/a", "targets": ["bus:subject/d"],
        "guarantee": "effectively_once"});
    assert_eq!(found["services"]["shop"]["flows"][0], flow);
    fs::write(dir.path().join("shop/service.yaml"), service("effectively_once")).unwrap();
    let (code, out, _) = run(&["check", "--rules", path(&dir)]);
    assert!(code == Some(1) && out.contains("error[E16]: `orders/v2` can promise `at_least_once` at best"), "{out}");
}

#[test]
fn check_of_wrong_rules() {
    let dir = rules("types:\n  Order:\n    - id\n    - größe = total.amonut: {decimall: 2}\n");
    let (code, out, err) = run(&["check", "--rules", path(&dir)]);
    let expected = "\
error[R5]: unknown key `decimall` in a rule
 --> shop/v1-v2.yaml:4:30
  |
4 |     - größe = total.amonut: {decimall: 2}
  |                              ^^^^^^^^
  |
  = help: did you mean `decimal`?

shop: refused (1 error)
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(1), expected, ""));
}

#[test]
fn check_of_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bifocal.toml");
    let look = |toml: &str| {
        fs::write(&file, toml).unwrap();
        run(&["check", "--hardening", "--config", file.to_str().unwrap()])
    };
    let (code, out, err) =
        look("listen = '0.0.0.0:80'\n[limits]\nin_flight = 5000\n[timeouts]\nheader = '1m'\nidle = '1s'");
    let expected = "\
limits.in_flight: 5000 is more than 2000: memory grows with the requests in work, and all become slower
timeouts.header: 60s is more than 10s: callers that never finish a head hold connections
listen: 0.0.0.0:80 is reachable without TLS: who is on the way reads and changes what passes
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(1), expected, ""));
    let (code, out, _) = look("[limits]\nin_flight = 5");
    assert_eq!((code, out.as_str()), (Some(0), "nothing is less safe than the defaults\n"));
    let (code, out, err) = look("[limits]\nin_flight = 0");
    assert!(code == Some(2) && out.is_empty() && err.contains("`limits.in_flight`"), "{err}");
    assert_eq!(run(&["check", "--hardening", "--verbose"]).0, Some(2));
}

#[test]
fn check_as_json() {
    let dir = rules("types:\n  Order:\n    - größe = a\n    - größe = b\n");
    let (code, out, _) = run(&["check", "--rules", path(&dir), "--format", "json"]);
    assert_eq!(code, Some(1));
    let read: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({
        "ok": false,
        "findings": [{
            "code": "E2",
            "severity": "error",
            "file": "shop/v1-v2.yaml",
            "line": 4, "column": 7, "end_line": 4, "end_column": 12,
            "message": "two rules own the old place `größe`",
            "label": "",
            "help": "each place belongs to one rule; split the outer rule into its members",
            "related": [{
                "file": "shop/v1-v2.yaml",
                "line": 3, "column": 7, "end_line": 3, "end_column": 12,
                "message": "the other rule"
            }]
        }],
        "services": {"shop": {"ok": false, "upstreams": {}, "flows": [], "rules": []}}
    });
    assert_eq!(read, expected);
}

#[test]
fn warnings_do_not_fail() {
    let dir = rules("types:\n  Order: [id]\n  Line: [id]\nroutes:\n  - GET /o = GET /p: {200: Order}\n");
    let (code, out, _) = run(&["check", "--rules", path(&dir)]);
    assert!(code == Some(0) && out.starts_with("warning[W1]") && out.contains("shop: ok"), "{out}");
}

#[test]
fn what_cannot_run_ends_with_2() {
    let (code, out, err) = run(&["check", "--rules", "/nonexistent"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("bifocal: cannot read the rules folder /nonexistent"), "{err}");
    assert_eq!(run(&["check", "--ruls", "x"]).0, Some(2));
    assert_eq!(run(&[]).0, Some(2));
}

#[test]
fn everything_is_explained() {
    let (code, list, _) = run(&["explain"]);
    assert_eq!(code, Some(0));
    for entry in bifocal::diagnostic::codes::all() {
        assert!(list.contains(&format!("  {:<4} {}", entry.code.0, entry.title)), "{}", entry.code.0);
        let (code, text, _) = run(&["explain", &entry.code.0.to_lowercase()]);
        assert!(code == Some(0) && text.starts_with(&format!("{}: {}\n", entry.code.0, entry.title)), "{text}");
    }
    for info in bifocal::codecs::ALL {
        assert!(run(&["explain", info.name]).1.contains(info.manual), "{}", info.name);
    }
    for page in bifocal::rules::manual::all() {
        assert!(list.contains(&format!("  {:<11} {}\n", page.name, page.line)), "{}", page.name);
        assert!(run(&["explain", page.name]).1.contains(page.manual), "{}", page.name);
    }
    let (code, out, err) = run(&["explain", "splt"]);
    let expected = "bifocal: no code, codec or operation is called `splt`; did you mean `split`?\n";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(2), "", expected));
}

#[test]
fn help_is_complete() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for command in ["serve", "check", "test", "translate", "explain", "schema", "demo"] {
        assert!(help.contains(&format!("  {command} ")), "{help}");
        let (code, text, _) = run(&[command, "--help"]);
        assert!(code == Some(0) && text.contains("Usage: "), "{text}");
    }
    assert!(help.contains("Examples:"));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let dir = rules("types:\n  Order: [id]\n");
    let rules = Path::new(path(&dir));
    let script =
        format!("{} check --rules {} | true; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_bifocal"), rules.display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n");
}
