//! Cases of hostile and broken input, kept outside of this tree, with their own runners: raw HTTP/1 and HTTP/2, JSON bodies,
//! and values of bodies that become paths, queries and headers. Each runner brings a strict service that records what
//! reaches it. Skipped where the cases are not at hand; `RELIABILITY_CASES` names their folder.

use std::path::{Path, PathBuf};

use bifocal::settings::Value;

use super::support::Gateway;

const SERVICE: &str = "\
versions: {v1: {answered_by: v2}, v2: {upstream: \"http://127.0.0.1:9000\"}}
negotiate: [{header: API-Version}]
default: v1
";

const RULES: &str = r#"types:
  Same: [same_id = same_id]
  Item: [qty = quantity]
  Renamed:
    - user_name = userName
    - addr.zip = postalCode
    - items: {each: Item}
    - tags: {csv: ","}
    - currency: {default: EUR}
    - {removed: legacy, loss: "v2 has no use for it"}
routes:
  - POST /id = POST /id: {request: Same, 2XX: Same}
  - POST /echo = POST /echo: {request: Same, 2XX: Same}
  - GET /echo = GET /echo: {2XX: Same}
  - POST /raw = POST /raw
  - POST /rn = POST /rn: {request: Renamed}
  - POST /map = POST /users/{id}/orders:
      request: [body.id = path.id, body.q = query.q, body.user = header.X-User]
"#;

/// A file of the folder with the cases, if it is there.
pub(crate) fn case_file(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reliability-cases");
    let file = std::env::var_os("RELIABILITY_CASES").map_or_else(beside, PathBuf::from).join(name);
    if !file.is_file() {
        eprintln!("skipped: there is no {} (RELIABILITY_CASES names another folder)", file.display());
        return None;
    }
    Some(file)
}

/// Runs one runner against a gateway of its own, and wants every case to end as its file says.
async fn run(runner: &str) {
    let Some(script) = case_file(&format!("run_{runner}.py")) else { return };
    // A port that is free now; the runner listens on it at once.
    let origin = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rules = [("gw/service.yaml", SERVICE.to_owned()), ("gw/v1-v2.yaml", RULES.to_owned())];
    let flags = vec![
        ("upstreams.gw.v2", Value::from(format!("http://{origin}"))),
        ("timeouts.header", Value::from("5s")),
        ("timeouts.body", Value::from("10s")),
        ("timeouts.body_gap", Value::from("10s")),
        ("timeouts.idle", Value::from("10s")),
    ];
    let gateway = Gateway::start(&rules, flags).await;
    let report = gateway.folder.path().join("report.json");
    let addresses = (gateway.addr.to_string(), origin.to_string());
    let Some(failed) = failures(&script, &addresses, &report, "").await else {
        eprintln!("skipped: python3 is not here");
        return;
    };
    for one in failed {
        let id = one["id"].as_str().unwrap();
        // Some cases look for a few characters in all that reached the service, and ids are drawn at random.
        let mut is_good = false;
        for _ in 0..4 {
            is_good = is_good
                || failures(&script, &addresses, &report, id).await.unwrap().iter().all(|other| other["id"] != id);
        }
        assert!(is_good, "{one}");
    }
}

/// Runs all cases, or those whose name has `only` in it; answers those that failed.
async fn failures(
    script: &Path,
    (target, origin): &(String, String),
    report: &Path,
    only: &str,
) -> Option<Vec<serde_json::Value>> {
    let mut command = std::process::Command::new("python3");
    command.arg(script).args(["--target", target, "--origin", origin, "--only", only]).arg("--json").arg(report);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().ok()?;
    let text = std::fs::read_to_string(report).unwrap_or_default();
    assert!(!text.is_empty(), "{output:?}");
    let outcomes: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!outcomes.is_empty(), "{output:?}");
    Some(outcomes.into_iter().filter(|one| one["pass"] != true).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_http1() {
    run("h1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_http2() {
    run("h2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_bodies() {
    run("json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_become_paths_queries_and_headers() {
    run("map").await;
}
