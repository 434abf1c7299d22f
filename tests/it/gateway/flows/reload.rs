//! New rules under running flows.

use bifocal::messaging::brokers::memory::Memory;

use super::super::support::*;
use super::{brokers, channel, of, rules, service};
use crate::messaging::{arrived, message, queue};

async fn flows(gateway: &Gateway) -> serde_json::Value {
    ask(gateway.admin, "GET /flows", &[], b"").await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_between_messages_and_only_what_is_touched_starts_anew() {
    let memory = Memory::default();
    let both = |more: &str| channel("orders", more) + &channel("bills", "");
    let files = [service(&both("")), rules(2, &["orders", "bills"])];
    let gateway = Gateway::start_with(&files, vec![], brokers(&memory)).await;
    let (orders, bills) = ("shop/orders/v1", "shop/bills/v1");
    memory.put(&queue("orders.in.v1"), message("a", None, r#"{"total":1999}"#));
    memory.put(&queue("bills.in.v1"), message("a", None, r#"{"total":1999}"#));
    arrived(&memory, &queue("orders.out.v2"), 1).await;
    arrived(&memory, &queue("bills.out.v2"), 1).await;
    let settled = eventually(|| async {
        let told = flows(&gateway).await;
        (of(&told, orders)["settled"] == 1 && of(&told, bills)["settled"] == 1).then_some(told)
    })
    .await;

    // Rules alone: the same flows go on, and the next message has the new ones.
    write(&gateway.rules("shop/v1-v2.yaml"), &rules(3, &["orders", "bills"]).1);
    assert_eq!(gateway.reload().await.0, 200);
    memory.put(&queue("orders.in.v1"), message("b", None, r#"{"total":1999}"#));
    let out = arrived(&memory, &queue("orders.out.v2"), 2).await;
    assert_eq!(
        (out[0].body.as_ref(), out[1].body.as_ref()),
        (&br#"{"price":"19.99"}"#[..], &br#"{"price":"1.999"}"#[..])
    );
    assert_ne!(out[0].headers.get("bifocal-rules"), out[1].headers.get("bifocal-rules"));
    let told = flows(&gateway).await;
    assert_eq!(of(&told, orders)["since"], of(&settled, orders)["since"]);

    // Refused rules change nothing.
    write(&gateway.rules("shop/v1-v2.yaml"), "messages: {orders: Nothing}\n");
    assert_eq!(gateway.reload().await.0, 422);
    memory.put(&queue("orders.in.v1"), message("c", None, r#"{"total":5}"#));
    let out = arrived(&memory, &queue("orders.out.v2"), 3).await;
    assert_eq!(out[2].body, r#"{"price":"0.005"}"#);

    // Another address: that flow alone is another one, and it knows what the one before has done.
    write(&gateway.rules("shop/v1-v2.yaml"), &rules(2, &["orders", "bills"]).1);
    write(&gateway.rules("shop/service.yaml"), &service(&both("").replace("orders.in.v1", "orders.new.v1")).1);
    assert_eq!(gateway.reload().await.0, 200);
    memory.put(&queue("orders.new.v1"), message("c", None, r#"{"total":5}"#));
    memory.put(&queue("orders.new.v1"), message("d", None, r#"{"total":6}"#));
    let out = arrived(&memory, &queue("orders.out.v2"), 4).await;
    assert_eq!(out[3].body, r#"{"price":"0.06"}"#, "what was done before is left out");
    let told = eventually(|| async {
        let told = flows(&gateway).await;
        (of(&told, orders)["settled"] == 2).then_some(told)
    })
    .await;
    assert_eq!(of(&told, orders)["deduplicated"], 1);
    assert_eq!(of(&told, orders)["source"], "m:queue/orders.new.v1");
    assert_eq!(of(&told, bills)["settled"], 1, "nobody has touched it");
    assert_eq!(of(&told, bills)["since"], of(&settled, bills)["since"]);
    memory.put(&queue("orders.in.v1"), message("e", None, r#"{"total":7}"#));
    memory.put(&queue("orders.new.v1"), message("f", None, r#"{"total":8}"#));
    let out = arrived(&memory, &queue("orders.out.v2"), 5).await;
    assert_eq!(out[4].body, r#"{"price":"0.08"}"#);
    assert_eq!(memory.unsettled(&queue("orders.in.v1")), 1, "nobody reads it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_leaves_the_old_flow_and_what_is_gone_stops() {
    let memory = Memory::default();
    let files = [service(&(channel("orders", "") + &channel("bills", ""))), rules(2, &["orders", "bills"])];
    let gateway = Gateway::start_with(&files, vec![], brokers(&memory)).await;
    let orders = channel("orders", "").replace("{broker: m, queue: orders.in.v1}", "{broker: none, queue: x}");
    write(&gateway.rules("shop/service.yaml"), &service(&orders).1);
    write(&gateway.rules("shop/v1-v2.yaml"), &rules(2, &["orders"]).1);
    assert_eq!(gateway.reload().await.0, 200);
    let told = eventually(|| async {
        let told = flows(&gateway).await;
        (of(&told, "shop/orders/v1")["reason"].is_string() && of(&told, "shop/bills/v1").is_null()).then_some(told)
    })
    .await;
    let flow = of(&told, "shop/orders/v1");
    assert_eq!((flow["state"].as_str(), flow["source"].as_str()), (Some("running"), Some("m:queue/orders.in.v1")));
    assert_eq!(flow["reason"], "there is no `[brokers.none]` in the settings; it runs as before");
    assert_eq!(told["ready"], false);
    memory.put(&queue("orders.in.v1"), message("a", None, r#"{"total":1}"#));
    arrived(&memory, &queue("orders.out.v2"), 1).await;
    memory.put(&queue("bills.in.v1"), message("a", None, r#"{"total":1}"#));
    write(&gateway.rules("shop/service.yaml"), &service(&channel("orders", "")).1);
    assert_eq!(gateway.reload().await.0, 200);
    eventually(|| async { (flows(&gateway).await["ready"] == true).then_some(()) }).await;
    assert_eq!(memory.unsettled(&queue("bills.in.v1")), 1);
}
