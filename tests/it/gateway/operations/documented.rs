//! What pages, dashboards and alerts name is there, and what is there is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::super::support::*;

/// Where metrics are registered.
const SOURCES: [&str; 3] = ["src/gateway/metrics.rs", "src/gateway/operating.rs", "src/gateway/asynchronous/counts.rs"];
/// The names of those that are collected from what there is, and how they begin.
const COLLECTED: [(&str, &str); 2] =
    [("src/gateway/upstream/report.rs", "upstream_"), ("src/gateway/messages/metrics.rs", "flow_")];

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names of metrics in a text, without what their kind adds.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let words = text.split(|sign| !is_name(sign)).filter(|word| word.starts_with("bifocal_"));
    words
        .map(|word| {
            let ends = ["_total", "_bucket", "_sum", "_count"];
            ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
        })
        .collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_none_that_is_not_there_is_named() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = ask(gateway.admin, "GET /metrics", &[], b"").await;
    let types = answer.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let shown: BTreeSet<String> = types.map(str::to_owned).collect();
    // What nothing has been counted of is not shown, so the source says what else there is.
    let source: String = SOURCES.iter().map(|path| text(path)).collect();
    let registered = source.split("register(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let collected = COLLECTED.map(|(path, start)| (text(path), start));
    let collected =
        collected.iter().flat_map(|(text, start)| text.split('"').filter(move |word| word.starts_with(start)));
    // A gateway that keeps nothing has none of these.
    let collected = collected.chain(["store_bytes", "store_entries"]);
    let real: BTreeSet<String> = registered.chain(collected).map(|name| format!("bifocal_{name}")).collect();
    assert!(real.len() > 20 && shown.is_subset(&real), "{:?}", shown.difference(&real));
    let documented = metrics_in(&text("docs/operations.md"));
    assert_eq!(documented, real, "docs/operations.md");
    let dashboard: serde_json::Value = serde_json::from_str(&text("deploy/dashboards/bifocal.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| panel["targets"][0]["expr"].is_string()));
    for path in ["deploy/dashboards/bifocal.json", "deploy/alerts/bifocal.yaml"] {
        let named = metrics_in(&text(path));
        assert!(!named.is_empty() && named.is_subset(&real), "{path}: {:?}", named.difference(&real));
    }
}

#[tokio::test]
async fn every_field_of_the_access_log_is_a_known_one() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    gateway.ask("GET /v1/orders/7", &[], b"").await;
    let log = gateway.access_log(1).await;
    let known: BTreeSet<&str> =
        bifocal::settings::FIELDS.iter().chain(&bifocal::settings::KEPT_FIELDS).copied().collect();
    let written: BTreeSet<&str> = log[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(written.is_subset(&known), "{:?}", written.difference(&known));
    // These are there only where there is something to say.
    let rare = BTreeSet::from(["background", "calls", "fallback"]);
    assert!(known.difference(&written).all(|name| rare.contains(name)), "{:?}", known.difference(&written));
}
