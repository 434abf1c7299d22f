//! What operators are told of flows: at the admin address, by the command, in metrics.

use std::process::Command;

use bifocal::messaging::brokers::memory::Memory;

use super::super::support::*;
use super::{brokers, channel, of, rules, service};
use crate::messaging::{arrived, message, queue};

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_tells_what_it_does() {
    let memory = Memory::default();
    let files = [service(&channel("orders", "")), rules(2, &["orders"])];
    let gateway = Gateway::start_with(&files, vec![], brokers(&memory)).await;
    memory.put(&queue("orders.in.v1"), message("a", None, r#"{"total":1999,"nick":"x"}"#));
    memory.put(&queue("orders.in.v1"), message("a", None, r#"{"total":1999,"nick":"x"}"#));
    memory.put(&queue("orders.in.v1"), message("b", None, r#"{"total":true}"#));
    memory.put(&queue("orders.in.v2"), message("c", None, r#"{"price":"0.05"}"#));
    let up = arrived(&memory, &queue("orders.out.v2"), 1).await;
    assert_eq!(up[0].body, r#"{"price":"19.99","name":"x"}"#);
    arrived(&memory, &queue("orders.out.v1"), 1).await;
    let letters = arrived(&memory, &queue("bifocal.dead.shop.orders/v1"), 1).await;
    assert_eq!(letters[0].headers.get("bifocal-dead-reason"), Some("rule_error"));

    let told = eventually(|| async {
        let told = ask(gateway.admin, "GET /flows", &[], b"").await.json();
        (of(&told, "shop/orders/v1")["settled"] == 3).then_some(told)
    })
    .await;
    assert_eq!(told["ready"], true);
    assert_eq!(told["flows"].as_array().unwrap().len(), 2);
    let flow = of(&told, "shop/orders/v1");
    for (member, expected) in [
        ("service", "shop"),
        ("channel", "orders"),
        ("state", "running"),
        ("guarantee", "at_least_once"),
        ("source", "m:queue/orders.in.v1"),
        ("dead_letters_at", "m:queue/bifocal.dead.shop.orders/v1"),
    ] {
        assert_eq!(flow[member], expected, "{member}");
    }
    assert_eq!(flow["targets"], serde_json::json!(["m:queue/orders.out.v2"]));
    for (member, expected) in
        [("received", 3), ("published", 1), ("deduplicated", 1), ("in_flight", 0), ("waiting", 0), ("redelivered", 0)]
    {
        assert_eq!(flow[member], expected, "{member}");
    }
    assert_eq!(flow["dead_letters"], serde_json::json!({"rule_error": 1}));
    assert!(flow["per_second"]["received"].is_number() && flow["since"].is_string() && flow["reason"].is_null());
    let other = ask(gateway.admin, "GET /flows?service=other", &[], b"").await.json();
    assert_eq!(other["flows"], serde_json::json!([]));
    assert_eq!(ask(gateway.admin, "GET /readyz/flows", &[], b"").await.text(), "ready\n");

    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    for line in [
        "bifocal_flow_received_total{service=\"shop\",flow=\"orders/v1\"} 3",
        "bifocal_flow_published_total{service=\"shop\",flow=\"orders/v1\"} 1",
        "bifocal_flow_settled_total{service=\"shop\",flow=\"orders/v1\"} 3",
        "bifocal_flow_deduplicated_total{service=\"shop\",flow=\"orders/v1\"} 1",
        "bifocal_flow_dead_letters_total{service=\"shop\",flow=\"orders/v1\",reason=\"rule_error\"} 1",
        "bifocal_flow_in_flight{service=\"shop\",flow=\"orders/v2\"} 0",
        "bifocal_flow_state{service=\"shop\",flow=\"orders/v1\",state=\"running\"} 1",
        "bifocal_flow_state{service=\"shop\",flow=\"orders/v1\",state=\"waiting\"} 0",
    ] {
        assert!(metrics.text().lines().any(|one| one == line), "{line}\n{}", metrics.text());
    }

    let shown = command(&gateway, &[]).await;
    assert_eq!(shown.0, Some(0), "{}", shown.1);
    let lines: Vec<Vec<&str>> = shown.1.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["FLOW", "STATE", "GUARANTEE"]);
    assert_eq!(lines[1][..5], ["shop/orders/v1", "running", "at_least_once", "0", "0"]);
    assert_eq!(lines[1][7..], ["3", "1", "m:queue/orders.in.v1"]);
    let json = command(&gateway, &["--format", "json"]).await;
    assert_eq!(of(&serde_json::from_str(&json.1).unwrap(), "shop/orders/v2")["settled"], 1);
}

/// What the command says of a gateway, and its exit code.
async fn command(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bifocal"));
    command.args(["flows", "--admin", &gateway.admin.to_string()]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_broker_a_flow_is_refused_and_http_is_served() {
    let service_of_http = Service::start(|_| json(NEW)).await;
    let mut files = orders(None, Some(service_of_http.addr), "v2");
    files.extend([service(&channel("orders", "")), rules(2, &["orders"])]);
    let gateway = Gateway::start_with(&files, vec![], bifocal::gateway::Brokers::new()).await;
    assert_eq!(gateway.ask("GET /v1/orders/7", &[], b"").await.status, 200);
    assert_eq!(ask(gateway.admin, "GET /readyz", &[], b"").await.text(), "ready\n");
    let told = eventually(|| async {
        let told = ask(gateway.admin, "GET /flows", &[], b"").await.json();
        of(&told, "shop/orders/v1").is_object().then_some(told)
    })
    .await;
    let flow = of(&told, "shop/orders/v1");
    assert_eq!((flow["state"].as_str(), told["ready"].as_bool()), (Some("refused"), Some(false)));
    assert_eq!(flow["reason"], "there is no `[brokers.m]` in the settings");
    assert_eq!((flow["guarantee"].as_str(), flow["waiting"].is_null()), (Some("at_least_once"), true));
    let probe = ask(gateway.admin, "GET /readyz/flows", &[], b"").await;
    assert_eq!((probe.status, probe.text()), (503, "2 not ready\n"));
    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    let line = "bifocal_flow_state{service=\"shop\",flow=\"orders/v1\",state=\"refused\"} 1";
    assert!(metrics.text().lines().any(|one| one == line), "{}", metrics.text());
    let (code, text) = command(&gateway, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("shop/orders/v1: there is no `[brokers.m]` in the settings"), "{text}");
    let (code, text) = command(&gateway, &["--service", "orders"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(!text.contains("shop/"), "{text}");
}
