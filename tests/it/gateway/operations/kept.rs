//! What operators are told of requests that are carried out once, or later.

use super::super::process::Process;
use super::super::support::*;

const TYPE: &str = "Content-Type: application/json";
const PREFER: &str = "Prefer: respond-async";
const OLD_ORDER: &str = r#"{"id":7,"total":1999,"state":"open"}"#;

async fn metrics(admin: std::net::SocketAddr) -> String {
    ask(admin, "GET /metrics", &[], b"").await.text().to_owned()
}

/// Waits until all of these lines are there.
async fn told(admin: std::net::SocketAddr, lines: &[&str]) {
    let mut last = String::new();
    for line in lines {
        let found = tokio::time::timeout(PATIENCE, async {
            while !last.lines().any(|one| one == *line) {
                last = metrics(admin).await;
            }
        });
        assert!(found.await.is_ok(), "{line} in\n{last}");
    }
}

#[tokio::test]
async fn requests_with_a_key_are_counted_by_what_became_of_them() {
    let (service, gate) = Service::start_gated(created_echo).await;
    let gateway = Gateway::start(&orders_with(service.addr, "idempotency: {required: true, most: 2}\n"), vec![]).await;
    let (addr, admin) = (gateway.addr, gateway.admin);
    let post = async move |key: &str, body: &str| ask(addr, "POST /v1/orders", &[TYPE, key], body.as_bytes()).await;
    let other = r#"{"id":8,"total":1,"state":"open"}"#;
    let first = tokio::spawn(async move { post("Idempotency-Key: a", OLD_ORDER).await });
    eventually(|| async { (!service.take().is_empty()).then_some(()) }).await;
    assert_eq!(post("Idempotency-Key: a", OLD_ORDER).await.code(), "idempotency_busy");
    gate.add_permits(100);
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(post("Idempotency-Key: a", OLD_ORDER).await.header("idempotency-replayed"), "true");
    assert_eq!(post("Idempotency-Key: a", other).await.status, 422);
    assert_eq!(post("X-Nothing: x", OLD_ORDER).await.status, 400);
    assert_eq!(post("Idempotency-Key: \"", OLD_ORDER).await.status, 400);
    assert_eq!(post("Idempotency-Key: b", OLD_ORDER).await.status, 201);
    assert_eq!(post("Idempotency-Key: c", OLD_ORDER).await.code(), "store_full");
    let counted = |result: &str, count: u8| {
        format!("bifocal_idempotency_total{{service=\"orders\",result=\"{result}\"}} {count}")
    };
    let all =
        [("begun", 2), ("busy", 1), ("replayed", 1), ("reused", 1), ("missing", 1), ("malformed", 1), ("full", 1)];
    let lines: Vec<String> = all.map(|(result, count)| counted(result, count)).into();
    told(admin, &lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    told(admin, &["bifocal_store_entries{kind=\"keys\",of=\"orders\"} 2"]).await;
    let text = metrics(admin).await;
    let bytes = text.lines().find_map(|line| line.strip_prefix("bifocal_store_bytes ")).expect("its size");
    assert!(bytes.parse::<u64>().unwrap() > 500, "{bytes}");
}

#[tokio::test]
async fn what_never_reached_its_service_frees_its_key() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = Gateway::start(&orders_with(addr, "idempotency: {}\n"), vec![]).await;
    let answer = gateway.ask("POST /v1/orders", &[TYPE, "Idempotency-Key: a"], OLD_ORDER.as_bytes()).await;
    assert_eq!(answer.status, 502);
    told(gateway.admin, &[r#"bifocal_idempotency_total{service="orders",result="freed"} 1"#]).await;
}

#[tokio::test]
async fn operations_are_counted_listed_and_logged() {
    let (service, gate) = Service::start_gated(created_echo).await;
    let more = "async: {path: /operations, at_once: 1, most: 3}\n";
    let gateway = Gateway::start(&orders_with(service.addr, more), vec![]).await;
    let admin = gateway.admin;
    let begin = async |path: &str| gateway.ask(&format!("POST {path}"), &[TYPE, PREFER], OLD_ORDER.as_bytes()).await;
    let empty = ask(admin, "GET /operations", &[], b"").await.json();
    assert_eq!(empty, serde_json::json!({"operations": [], "left_out": 0}));
    let first = begin("/v1/orders").await;
    eventually(|| async { (!service.take().is_empty()).then_some(()) }).await;
    let (second, third) = (begin("/v1/orders").await, begin("/v1/orders").await);
    assert_eq!((third.status, begin("/v1/orders").await.status), (202, 503));
    let open =
        |state: &str, count: u8| format!("bifocal_operations_open{{service=\"orders\",state=\"{state}\"}} {count}");
    told(admin, &[&open("running", 1), &open("waiting", 2)]).await;

    let listed = ask(admin, "GET /operations?service=orders&version=v1", &[], b"").await;
    assert!(!listed.text().contains("total") && !listed.text().contains("/v1/orders"), "{}", listed.text());
    let operations = listed.json()["operations"].as_array().unwrap().clone();
    let id = |answer: &Answer| answer.header("location").rsplit('/').next().unwrap().to_owned();
    let states: Vec<_> = operations.iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "waiting", "waiting"]);
    let seen = &operations[0];
    assert_eq!((seen["id"].as_str().unwrap(), seen["service"].as_str().unwrap()), (id(&first).as_str(), "orders"));
    assert_eq!((seen["version"].as_str().unwrap(), seen["served"].as_str().unwrap()), ("v1", "v2"));
    assert_eq!(seen["request_id"], first.header("x-request-id"));
    assert!(seen["age"].as_u64().unwrap() < 20 && seen["ends_in"].as_u64().unwrap() > 3600, "{seen}");
    for (filter, count) in [("?service=other", 0), ("?version=v2", 0), ("?service=orders", 3)] {
        let listed = ask(admin, &format!("GET /operations{filter}"), &[], b"").await.json();
        assert_eq!(listed["operations"].as_array().unwrap().len(), count, "{filter}");
    }

    // One is cancelled before it begins, one while it is at work; the last one comes to its end.
    for one in [&second, &first] {
        assert_eq!(gateway.ask(&format!("DELETE {}", one.header("location")), &[], b"").await.status, 204);
    }
    gate.add_permits(2);
    let counted =
        |result: &str, count: u8| format!("bifocal_operations_total{{service=\"orders\",result=\"{result}\"}} {count}");
    told(admin, &[&counted("begun", 3), &counted("full", 1), &counted("cancelled", 2), &counted("done", 1)]).await;
    told(admin, &[&open("running", 0), &open("waiting", 0)]).await;
    told(admin, &["bifocal_store_entries{kind=\"operations\",of=\"orders\"} 3"]).await;

    // What was sent to the service is logged, with the id of the request that had asked for it.
    let sent = eventually(|| async {
        let lines = gateway.access_log(1).await;
        let sent: Vec<_> = lines.into_iter().filter(|line| line["background"] == "operation").collect();
        (sent.len() == 2).then_some(sent)
    })
    .await;
    let of = |answer: &Answer| {
        sent.iter().find(|line| line["request_id"] == answer.header("x-request-id")).expect("a line").clone()
    };
    let (cut, whole) = (of(&first), of(&third));
    assert_eq!((cut["status"].as_u64(), cut["outcome"].as_str()), (Some(499), Some("aborted")), "{cut}");
    assert_eq!((whole["status"].as_u64(), whole["outcome"].as_str()), (Some(201), Some("ok")), "{whole}");
    assert_eq!((whole["service"].as_str(), whole["served"].as_str()), (Some("orders"), Some("v2")));
    assert_eq!((whole["path"].as_str(), whole["attempts"].as_u64()), (Some("/v2/orders"), Some(1)));
    assert_eq!(whole["endpoint"], service.addr.to_string());
}

#[tokio::test]
async fn what_is_sent_for_a_caller_who_has_left_is_logged_once_more() {
    let (service, gate) = Service::start_gated(created_echo).await;
    let gateway = Gateway::start(&orders_with(service.addr, "idempotency: {}\n"), vec![]).await;
    let addr = gateway.addr;
    let leaving =
        tokio::spawn(
            async move { ask(addr, "POST /v1/orders", &[TYPE, "Idempotency-Key: a"], OLD_ORDER.as_bytes()).await },
        );
    eventually(|| async { (!service.take().is_empty()).then_some(()) }).await;
    leaving.abort();
    let left = gateway.access_log(1).await;
    assert_eq!((left[0]["outcome"].as_str(), left[0]["background"].as_str()), (Some("client_gone"), None), "{left:?}");
    gate.add_permits(2);
    let lines = gateway.access_log(2).await;
    assert_eq!((lines[1]["background"].as_str(), lines[1]["status"].as_u64()), (Some("once"), Some(201)), "{lines:?}");
    assert_eq!(lines[1]["request_id"], lines[0]["request_id"]);
    // Who stays has one line.
    let staying = gateway.ask("POST /v1/orders", &[TYPE, "Idempotency-Key: b"], OLD_ORDER.as_bytes()).await;
    assert_eq!(staying.status, 201);
    assert_eq!(gateway.ask("GET /v1/nothing", &[], b"").await.status, 404);
    let lines = gateway.access_log(4).await;
    assert_eq!(lines.iter().filter(|line| line["background"].is_string()).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn what_an_end_in_between_has_cut_is_counted() {
    let (service, gate) = Service::start_gated(created_echo).await;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders_with(service.addr, "async: {path: /operations}\nidempotency: {}\n"));
    let process = Process::start(folder.path());
    let addr = process.addr;
    let posted = ask(addr, "POST /v1/orders", &[TYPE, PREFER], OLD_ORDER.as_bytes()).await;
    let read = ask(addr, "GET /v1/orders/7", &[PREFER], b"").await;
    assert_eq!((posted.status, read.status), (202, 202));
    let keyed = tokio::spawn(async move {
        let keyed = [TYPE, "Idempotency-Key: k"];
        let _ = tokio::time::timeout(PATIENCE, ask(addr, "POST /v1/orders", &keyed, OLD_ORDER.as_bytes())).await;
    });
    let mut seen = 0;
    eventually(|| {
        seen += service.take().len();
        std::future::ready((seen == 3).then_some(()))
    })
    .await;
    process.kill();
    keyed.abort();
    gate.add_permits(10);
    let process = Process::start(folder.path());
    let again = ask(process.addr, "POST /v1/orders", &[TYPE, "Idempotency-Key: k"], OLD_ORDER.as_bytes()).await;
    assert_eq!(again.code(), "idempotency_unknown");
    let operations = |result: &str| format!("bifocal_operations_total{{service=\"orders\",result=\"{result}\"}} 1");
    // The read is sent again.
    told(process.admin, &[&operations("interrupted"), &operations("repeated"), &operations("done")]).await;
    told(process.admin, &["bifocal_idempotency_total{service=\"orders\",result=\"unknown\"} 1"]).await;
}
