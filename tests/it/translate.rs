//! `bifocal translate` as scripts see it: documents, messages, all four directions, bad lines, exit codes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Exit code, standard output, standard error of a translation with the shipped rules.
fn translate(args: &str, input: &str) -> (Option<i32>, String, String) {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    run(&format!("--rules {rules} --service orders {args}"), input)
}

pub(crate) fn run(args: &str, input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bifocal"))
        .arg("translate")
        .args(words(args))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A child that refuses its arguments does not read.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Splits as a shell does: at spaces, but not inside single quotes.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(index, part)| match index % 2 {
        0 => part.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

/// Translates one document and expects exactly this line.
fn gives(args: &str, input: &str, expected: &str) {
    assert_eq!(translate(args, input), (Some(0), format!("{expected}\n"), String::new()), "{args}: {input}");
}

#[test]
fn documents_of_a_type() {
    gives(
        "--from v1 --to v2 --type Line",
        r#"{"qty":2,"x":1.10,"price":5}"#,
        r#"{"quantity":2,"x":1.10,"unit_price":"0.05"}"#,
    );
    gives(
        "--from v2 --to v1 --type Line",
        r#"{"quantity":2,"x":1.10,"unit_price":"0.05"}"#,
        r#"{"qty":2,"x":1.10,"price":5}"#,
    );
    gives("--from 1 --to v1 --type Line", r#"{ "qty": 2 }"#, r#"{ "qty": 2 }"#);
    let pretty = "{\n  \"qty\": 2,\n  \"price\": 5\n}\n";
    gives("--from v1 --to v2 --type Line", pretty, "{\n  \"quantity\": 2,\n  \"unit_price\": \"0.05\"\n}");
}

#[test]
fn a_document_is_put_onto_a_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("live.json");
    std::fs::write(&base, r#"{"product_id": "A", "quantity": 1, "unit_price": "1.00", "new": true}"#).unwrap();
    let args = format!("--from v1 --to v2 --type Line --base {}", base.display());
    gives(
        &args,
        r#"{"sku":"A","qty":3,"price":100}"#,
        r#"{"product_id": "A", "quantity": 3, "unit_price": "1.00", "new": true}"#,
    );
    let (code, _, err) = translate(&args.replace("v1 --to v2", "v2 --to v1"), "");
    assert!(code == Some(2) && err.contains("--base"), "{err}");

    std::fs::write(&base, include_str!("../../src/cli/demo/orders_v2.json")).unwrap();
    let live: serde_json::Value = serde_json::from_str(include_str!("../../src/cli/demo/orders_v2.json")).unwrap();
    let old: serde_json::Value = serde_json::from_str(include_str!("../../src/cli/demo/orders_v1.json")).unwrap();
    std::fs::write(&base, live[1].to_string()).unwrap();
    let write = serde_json::json!({"method": "PUT", "path": "/orders/ord_1043", "body": old[1]});
    let (code, out, err) = translate(&format!("--from v1 --to v2 --base {}", base.display()), &write.to_string());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let sent: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(sent["body"], live[1], "nothing was changed, so nothing changes");
    assert_eq!((&sent["method"], &sent["path"]), (&"PUT".into(), &"/v2/orders/ord_1043".into()));
    let read = r#"{"method":"GET","path":"/orders"}"#;
    let (code, _, err) = translate(&format!("--from v1 --to v2 --base {}", base.display()), read);
    assert!(code == Some(1) && err.contains("line 1") && err.contains("write: merge"), "{err}");
}

#[test]
fn messages_in_all_four_directions() {
    gives(
        "--from v1 --to v2",
        r#"{"method":"GET","path":"/orders","query":{"per_page":"5","x":["1","a b&"]},"headers":{"Accept":"*/*"}}"#,
        r#"{"method":"GET","path":"/v2/orders","query":{"x":["1","a b&"],"limit":"5"},"headers":{"Accept":"*/*"}}"#,
    );
    gives(
        "--from v2 --to v1",
        r#"{"method":"GET","path":"/v2/orders/a%20b"}"#,
        r#"{"method":"GET","path":"/orders/a%20b"}"#,
    );
    gives(
        "--from v2 --to v1",
        r#"{"status":200,"headers":{"ETag":"1"},"body":{"data":[],"meta":{"total":90071992547409931}},"request":{"method":"GET","path":"/orders"}}"#,
        r#"{"status":200,"headers":{"ETag":"1","x-total-count":"90071992547409931"},"body":[],"request":{"method":"GET","path":"/orders"}}"#,
    );
    for named in ["GET /orders", "GET /v2/orders"] {
        gives(
            &format!("--from v1 --to v2 --part response --route '{named}'"),
            r#"{"status":200,"headers":{"X-Total-Count":"7"},"body":[]}"#,
            r#"{"status":200,"body":{"data":[],"meta":{"total":7}}}"#,
        );
    }
    gives(
        "--from v1 --to v2 --part request --route 'DELETE /orders/{id}'",
        r#"{"path":"/orders/7"}"#,
        r#"{"method":"DELETE","path":"/v2/orders/7"}"#,
    );
}

#[test]
fn a_json_patch_is_translated_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    std::fs::create_dir(&shop).unwrap();
    std::fs::write(shop.join("service.yaml"), "versions: {v1: {}, v2: {upstream: \"http://127.0.0.1:1\"}}\n").unwrap();
    let rules = "types:\n  T: [a = b, e = c + d: {split: \"-\"}]\n  G: [{added: f, from: \"{a}\"}]\n\
                 routes:\n  - PATCH /t = PATCH /v2/t: {request: T}\n  - PATCH /g = PATCH /v2/g: {request: G}\n";
    std::fs::write(shop.join("v1-v2.yaml"), rules).unwrap();
    let patch = |path: &str, place: &str| {
        let headers = r#"{"Content-Type":"application/json-patch+json"}"#;
        let body = format!(r#"[{{"op":"replace","path":"{place}","value":1.0}}]"#);
        format!(r#"{{"method":"PATCH","path":"{path}","headers":{headers},"body":{body}}}"#)
    };
    let args = format!("--rules {} --service shop --from v1 --to v2", folder.path().display());
    let up = patch("/v2/t", "/b") + "\n";
    assert_eq!(run(&args, &patch("/t", "/a")), (Some(0), up, String::new()));
    for (path, place, reason) in [("/t", "/e", "`/e`"), ("/g", "/a", "send the document")] {
        let (code, out, err) = run(&args, &patch(path, place));
        assert!(code == Some(1) && out.is_empty() && err.contains(reason), "{err}");
    }
}

#[test]
fn bodies_keep_their_bytes() {
    gives(
        "--from v1 --to v2",
        r#"{"method":"POST","path":"/orders","body":{ "unknown" : [1.0, 1e3, "\u00e9"],"total":-5}}"#,
        r#"{"method":"POST","path":"/v2/orders","body":{ "unknown" : [1.0, 1e3, "\u00e9"],"price":{"value":"-0.05"},"notes":[],"channel":"web"}}"#,
    );
}

#[test]
fn members_named_twice_pass_where_no_rule_looks() {
    let twice = r#"{"x":{"a":1,"a":2}}"#;
    gives("--from v1 --to v2 --type Line", twice, twice);
    let message =
        |path: &str| format!(r#"{{"method":"POST","path":"{path}","body":{{"currency":"eur","x":{{"a":1,"a":2}}}}}}"#);
    let (code, out, _) = translate("--from v1 --to v2", &message("/orders"));
    assert!(code == Some(0) && out.contains(r#""x":{"a":1,"a":2}"#), "{out}");
    let (code, _, err) = translate("--from v1 --to v2", r#"{"method":"GET","method":"PUT","path":"/orders"}"#);
    assert!(code == Some(1) && err.contains("`method` is there twice"), "{err}");
}

#[test]
fn bad_lines_are_told_and_skipped() {
    let input = "{\"qty\":1}\n{\"qty\":}\n\n{\"price\":0.5}\n{\"qty\":2\n{\"qty\":3}\n";
    let (code, out, err) = translate("--from v1 --to v2 --type Line", input);
    assert_eq!((code, out.as_str()), (Some(1), "{\"quantity\":1}\n{\"quantity\":3}\n"));
    let lines: Vec<&str> = err.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(lines, ["line 2", "line 4", "line 5"], "{err}");
    assert!(err.contains("line 4: `price`: "), "{err}");
    assert!(!err.contains("0.5"), "no payload in messages: {err}");

    let (code, out, err) = translate("--from v1 --to v2 --type Line --strict", input);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "{\"quantity\":1}\n", 1));

    for (message, told) in [
        ("[]", "an object"),
        (r#"{"method":"GET"}"#, "`path` is missing"),
        (r#"{"method":"GET","path":"/orders?a=b"}"#, "`query`"),
        (r#"{"method":"GET","path":"/nowhere"}"#, "no route maps"),
        (r#"{"method":"PATCH","path":"/orders"}"#, "its path takes GET, POST"),
        (r#"{"method":"GET","path":"/orders","query":{"a":{}}}"#, "`query.a`"),
        (r#"{"method":"GET","path":"/orders","headers":{"a b":"c"}}"#, "`headers.a b`"),
        (r#"{"qty":1,"sku":"A"}"#, "`qty` is no part of a message"),
        (r#"{"status":200}"#, "--route"),
    ] {
        let (code, out, err) = translate("--from v1 --to v2", message);
        assert!(code == Some(1) && out.is_empty() && err.contains(told), "{message}: {err}");
    }
}

#[test]
fn what_cannot_run() {
    for (args, told) in [
        ("--from v1 --to v3".to_owned(), "did you mean `v1`?"),
        ("--from v1 --to v2 --type Ordr".to_owned(), "did you mean `Order`?"),
        ("--from v1 --to v2 --route 'GET /x'".to_owned(), "no route is called `GET /x`"),
        ("--from v1 --to v2 --route '/x'".to_owned(), "--route `/x`"),
        ("--from v1 --to v2 --type Order --base /nonexistent".to_owned(), "cannot read /nonexistent"),
        ("--from v1 --to v2 --type Order --part request".to_owned(), "--part"),
    ] {
        let (code, out, err) = translate(&args, "{}");
        assert!(code == Some(2) && out.is_empty() && err.contains(told), "{args}: {err}");
    }
}

#[test]
fn types_go_through_version_lines_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    std::fs::create_dir(&shop).unwrap();
    let files = [
        ("service.yaml", "versions: {v1: {}, v2: {}, v3: {upstream: \"http://127.0.0.1:1\"}}\n"),
        ("v1-v2.yaml", "types:\n  Order = Sale: [a = b, n = m: {decimal: 2}, {added: c, default: 1}]\n"),
        ("v2-v3.yaml", "types:\n  Sale = Deal: [b = d.e, m, c = f]\n"),
    ];
    for (name, text) in files {
        std::fs::write(shop.join(name), text).unwrap();
    }
    let base = folder.path().join("live.json");
    std::fs::write(&base, r#"{"d":{"e":1,"z":0},"m":"0.05","f":9}"#).unwrap();
    let run = |args: &str, input: &str| {
        let (code, out, err) = run(&format!("--rules {} --service shop {args}", folder.path().display()), input);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        out
    };
    assert_eq!(run("--from v1 --to v3 --type Order", r#"{"a":1,"n":5}"#), "{\"d\":{\"e\":1},\"m\":\"0.05\",\"f\":1}\n");
    assert_eq!(run("--from v3 --to v1 --type Deal", r#"{"d":{"e":1},"m":"0.05","f":1}"#), "{\"a\":1,\"n\":5}\n");
    let put = format!("--from v1 --to v3 --type Order --base {}", base.display());
    assert_eq!(run(&put, r#"{"a":2,"n":5}"#), "{\"d\":{\"e\":2,\"z\":0},\"m\":\"0.05\",\"f\":9}\n");
}

#[test]
fn lists_of_documents() {
    gives(
        "--from v1 --to v2 --type Line",
        r#" [ {"qty":2} , {"price":5} ]"#,
        r#"[ {"quantity":2} , {"unit_price":"0.05"} ]"#,
    );
    let (code, out, err) = translate("--from v1 --to v2 --type Line", "[{\"qty\":2},{\"price\":[]}]\n{\"qty\":1}\n");
    assert_eq!((code, out.as_str()), (Some(1), "{\"quantity\":1}\n"));
    assert!(err.starts_with("bifocal: line 1: `[1].price`: "), "{err}");
}

/// Feeds a translation by pipe; answers exit code, how much was written, standard error, and the most memory that it ever
/// had, in MiB, where the system tells.
fn feed(
    args: &str,
    pieces: impl Iterator<Item = String> + Send + 'static,
) -> (Option<i32>, usize, String, Option<u64>) {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bifocal"))
        .args(["translate", "--rules", rules, "--service", "orders"])
        .args(words(args))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let process = child.id();
    let feeding = std::thread::spawn(move || {
        for piece in pieces {
            // One that has found a fault does not read on.
            if stdin.write_all(piece.as_bytes()).is_err() {
                break;
            }
        }
        // Nearly all of it has been read: what is left fits the pipe.
        crate::memory::peak(process)
    });
    let mut written = 0;
    let mut stdout = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = stdout.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        written += read;
    }
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), written, err, feeding.join().unwrap())
}

/// A list of orders of about this many bytes, in pieces; then something else.
fn orders(size: usize, between: &'static str, end: &'static str) -> impl Iterator<Item = String> + Send + 'static {
    let order = format!(
        r#"{{"id":"a","customer_name":"Mary Ann Smith","total":12597,"note":"{}","lines":[{{"id":1,"qty":2}}]}}"#,
        "x".repeat(1800)
    );
    let count = size / order.len();
    let orders = (0..count).map(move |index| format!("{}{order}", if index == 0 { "" } else { between }));
    std::iter::once("[".to_owned()).chain(orders).chain(std::iter::once(end.to_owned()))
}

#[test]
fn memory_does_not_grow_with_a_list() {
    const SIZE: usize = 100 << 20;
    let (code, written, err, peak) = feed("--from v1 --to v2 --type Order", orders(SIZE, ",", "]"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(written > SIZE, "{written}");
    assert!(peak.is_none_or(|peak| peak < 16), "{peak:?} MiB for {} MiB", SIZE >> 20);
}

#[test]
fn large_lists_among_other_documents() {
    const SIZE: usize = 3 << 20;
    for between in [",", "\n,\n"] {
        let more = || std::iter::once("\n{\"qty\":1}\n[]".to_owned());
        let (code, written, err, _) =
            feed("--from v1 --to v2 --type Order", orders(SIZE, between, "]\n").chain(more()));
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(written > SIZE, "{written}");
    }
    let (code, _, err, _) = feed("--from v1 --to v2 --type Order", orders(SIZE, ",", "]\n{}\nx\n"));
    assert_eq!(code, Some(1));
    assert!(err.starts_with("bifocal: line 3: "), "{err}");
    for (end, what) in [
        (",{\"total\":[]}]\n{}", "line 1: `[1660].total`: "),
        ("", "line 1: not JSON: expected `,` or `]` at byte "),
        ("] x\n", "line 1: not JSON: expected nothing after the document"),
    ] {
        let (code, written, err, _) = feed("--from v1 --to v2 --type Order", orders(SIZE, ",", end));
        assert_eq!(code, Some(1));
        assert!(written > SIZE / 2, "{written}");
        assert!(err.starts_with(&format!("bifocal: {what}")) && err.contains("its translation is incomplete"), "{err}");
    }
}

#[test]
fn addresses_with_the_services_own_host() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    std::fs::create_dir(&shop).unwrap();
    let service = "versions:\n  v1: {path: /v1, answered_by: v2}\n  v2: {path: /v2, upstream: \"http://own:9/api\"}\n";
    std::fs::write(shop.join("service.yaml"), service).unwrap();
    let rules = "routes:\n  - GET /v1/orders = GET /v2/orders: {200: [body.url = body.next: {link: true}]}\n";
    std::fs::write(shop.join("v1-v2.yaml"), rules).unwrap();
    for (told, expected) in [
        ("http://own:9/api/v2/orders?q=1", "/v1/orders?q=1"),
        ("/api/v2/orders", "/v1/orders"),
        ("http://own/api/v2/orders", "http://own/api/v2/orders"),
    ] {
        let args =
            format!("--rules {} --service shop --from v2 --to v1 --route 'GET /v2/orders'", folder.path().display());
        let (code, out, err) = run(&args, &format!(r#"{{"status":200,"body":{{"next":"{told}"}}}}"#));
        let line = format!("{{\"status\":200,\"body\":{{\"url\":\"{expected}\"}}}}\n");
        assert_eq!((code, out, err), (Some(0), line, String::new()), "{told}");
    }
}
