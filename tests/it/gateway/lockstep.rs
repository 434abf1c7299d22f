//! Services that change together, or not at all.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::support::*;

/// A service of the group at a step, whose callers are answered by a version.
fn at(name: &str, service: &Service, lockstep: &str, answered_by: &str) -> Vec<(String, String)> {
    let address = service.addr;
    let text = format!(
        "match: {{paths: [/{name}]}}\nversions:\n  v1: {{upstream: \"http://{address}\", answered_by: {answered_by}}}\n  \
         v2: {{upstream: \"http://{address}\"}}\ndefault: v1\nnegotiate: [{{header: V}}]\n{lockstep}\n"
    );
    let routes = format!("routes: [\"GET /{name} = GET /{name}\"]\n");
    vec![(format!("{name}/service.yaml"), text), (format!("{name}/v1-v2.yaml"), routes)]
}

fn step(number: u32) -> String {
    format!("lockstep: {{group: checkout, step: {number}}}")
}

async fn served(gateway: &Gateway) -> String {
    let mut all = Vec::new();
    for line in ["GET /a", "GET /b", "GET /c"] {
        let answer = gateway.ask(line, &[], b"").await;
        all.push(answer.header("bifocal-version").strip_prefix("asked=v1, served=").unwrap_or("-").to_owned());
    }
    all.join(" ")
}

fn states(outcome: &serde_json::Value) -> String {
    ["a", "b", "c"].map(|name| outcome["services"][name]["state"].as_str().unwrap_or("-").to_owned()).join(" ")
}

#[tokio::test]
async fn a_group_changes_as_one_and_back() {
    let service = Service::start(|_| json("{}")).await;
    let all = |a, b, c| [at("a", &service, &step(1), a), at("b", &service, &step(1), b), at("c", &service, "", c)];
    let first = all("v1", "v1", "v1").concat();
    let rules: Vec<(&str, String)> = first.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let mut gateway = Gateway::start(&rules, vec![]).await;
    assert_eq!(served(&gateway).await, "v1 v1 v1");

    // One of the group is at the next step: it waits. Who is not of the group does not.
    gateway.put(&at("a", &service, &step(2), "v2"));
    gateway.put(&at("c", &service, "", "v2"));
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, states(&outcome).as_str()), (422, "kept accepted accepted"));
    let finding = &outcome["services"]["a"]["diagnostics"][0];
    assert_eq!((&finding["code"], &finding["file"]), (&"R21".into(), &"a/service.yaml".into()));
    let message = finding["message"].as_str().unwrap();
    assert_eq!(message, "`b` of the group `checkout` is at step `1`, this one at `2`");
    assert_eq!(served(&gateway).await, "v1 v1 v2");

    // The other is, too, but it is refused.
    gateway.put(&at("b", &service, &step(2), "v9"));
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, states(&outcome).as_str()), (422, "kept kept accepted"));
    let message = outcome["services"]["a"]["diagnostics"][0]["message"].as_str().unwrap();
    assert_eq!(message, "`b` of the group `checkout` is refused");
    assert_eq!(served(&gateway).await, "v1 v1 v2");

    // What waits goes on waiting after a restart.
    gateway.stop();
    let folder = gateway.folder.clone();
    assert!(gateway.stopped().await);
    let gateway = Gateway::start_in(folder, vec![]).await;
    assert_eq!(served(&gateway).await, "v1 v1 v2");

    gateway.put(&at("b", &service, &step(2), "v2"));
    let shown = ask(gateway.admin, "GET /generation", &[], b"").await.json();
    let before = shown["generation"].as_u64().unwrap();
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, states(&outcome).as_str()), (200, "accepted accepted accepted"));
    assert_eq!(outcome["generation"], before + 1);
    assert_eq!(served(&gateway).await, "v2 v2 v2");

    // A change in one alone keeps the step.
    gateway.put(&at("a", &service, &format!("{}\nanswer_header: Who", step(2)), "v2"));
    assert_eq!(gateway.reload().await.0, 200);

    // And back.
    gateway.put(&all("v1", "v1", "v1").concat());
    let (status, outcome) = gateway.reload().await;
    assert_eq!((status, states(&outcome).as_str()), (200, "accepted accepted accepted"));
    assert_eq!(served(&gateway).await, "v1 v1 v1");
}

#[tokio::test]
async fn a_group_that_is_written_in_two_parts_changes_as_one() {
    let service = Service::start(|_| json("{}")).await;
    let both = |number, version| [at("a", &service, &step(number), version), at("b", &service, &step(number), version)];
    let first = both(1, "v1").concat();
    let rules: Vec<(&str, String)> = first.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let gateway = Gateway::start(&rules, vec![("reload.watch", true.into()), ("reload.poll", "20ms".into())]).await;
    let [a, b] = both(2, "v2");
    gateway.put(&a);
    // The half of it is read.
    eventually(async || {
        let shown = ask(gateway.admin, "GET /generation", &[], b"").await.json();
        (shown["services"]["a"]["state"] == "kept").then_some(())
    })
    .await;
    gateway.put(&b);
    // Requests of one generation agree on who answers, before and after.
    let seen = RefCell::new(BTreeSet::new());
    eventually(async || {
        let mut last = String::new();
        for line in ["GET /a", "GET /b"] {
            let answer = gateway.ask(line, &[], b"").await;
            last = answer.header("bifocal-version").to_owned();
            seen.borrow_mut().insert((answer.header("bifocal-generation").to_owned(), last.clone()));
        }
        last.ends_with("served=v2").then_some(())
    })
    .await;
    let pairs = seen.into_inner();
    let expected = [("1", "asked=v1, served=v1"), ("2", "asked=v1, served=v2")];
    assert!(pairs.iter().all(|(number, version)| expected.contains(&(number.as_str(), version.as_str()))), "{pairs:?}");
}

#[test]
fn check_finds_steps_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    for (name, number) in [("a", 1), ("b", 2), ("c", 1)] {
        let service = format!(
            "match: {{paths: [/{name}]}}\nversions: {{v1: {{upstream: \"http://127.0.0.1:1\"}}}}\n\
             lockstep: {{group: {}, step: {number}}}\n",
            if name == "c" { "other" } else { "checkout" }
        );
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("service.yaml"), service).unwrap();
    }
    let rules = folder.path().to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bifocal")).args(["check", "--rules", rules]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("error[R21]: `b` of the group `checkout` is at step `2`, this one at `1`"), "{text}");
    assert!(text.contains("a: refused") && text.contains("b: refused") && text.contains("c: ok"), "{text}");
}
