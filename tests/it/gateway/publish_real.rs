//! The program itself between callers and real brokers, killed while a call waits for its reply.

use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use bifocal::rules::channel::Address;
use tokio::time::timeout;

use super::operations::process::{Process, folder};
use super::support::*;
use crate::messaging::broker_process::{Kind, Process as BrokerProcess};
use crate::messaging::{message, text};

/// Quotes are asked for at `asks` and replied to at `replies`, as a broker has them.
fn rules(asks: &str, replies: &str) -> Vec<(&'static str, String)> {
    let service = format!(
        "versions: {{v1: {{path: /v1}}, v2: {{path: /v2}}}}\nasync: {{path: /operations}}\nchannels:\n  quotes:\n    \
         replies: {{address: {{broker: m, {replies}}}, timeout: 1m}}\n    versions: {{v2: {{egress: {{broker: m, {asks}}}}}}}\n\
         publish: [{{POST /v2/quotes: quotes}}]\n"
    );
    let steps = "types:\n  Ask: [number = id]\n  Quote: [sum = price: {decimal: 2}]\nroutes:\n  \
         - POST /v1/quotes = POST /v2/quotes: {request: Ask, 200: Quote}\nmessages: {quotes: Ask}\n";
    vec![("shop/service.yaml", service), ("shop/v1-v2.yaml", steps.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_through_a_kill_of_the_gateway() {
    for kind in [Kind::Nats, Kind::Rabbit] {
        let Some(process) = BrokerProcess::start(kind) else { continue };
        let subject = |name: &str| Address::Subject {
            broker: "m".into(),
            subject: name.into(),
            stream: Some(format!("S-{name}")),
        };
        let (client, url, asks, files): (Arc<dyn Broker>, _, _, _) = match kind {
            Kind::Rabbit => (
                Arc::new(process.amqp()),
                format!("amqp://127.0.0.1:{}", process.port),
                Address::Queue { broker: "m".into(), queue: "asks".into() },
                rules("queue: asks", "queue: own"),
            ),
            Kind::Nats => (
                Arc::new(process.nats_client()),
                format!("nats://127.0.0.1:{}", process.port),
                subject("asks"),
                rules("subject: asks, stream: S-asks", "subject: own, stream: S-own"),
            ),
        };
        client.make(&asks).await.unwrap();
        let folder = folder(&files, &format!("[brokers.m]\nurl = \"{url}\"\n[messages]\nlongest_pause = \"1s\"\n"));
        let gateway = Process::start(&folder, |_| {});
        let headers = ["Content-Type: application/json", "Idempotency-Key: k"];
        let begun = ask(gateway.addr().await, "POST /v1/quotes", &headers, br#"{"number":7}"#).await;
        assert_eq!(begun.status, 202, "{kind:?}: {begun:?} {}", gateway.messages());
        drop(gateway);
        let mut service = client.source(&asks, "service", 8).await.unwrap();
        let asked = timeout(Duration::from_secs(30), service.next()).await.unwrap().unwrap();
        let properties = &asked.message.properties;
        assert_eq!((text(&asked.message), properties.message_id.as_deref()), (r#"{"id":7}"#, Some("k")));
        let mut reply = message("r", None, r#"{"price":"19.99"}"#);
        reply.properties.correlation_id.clone_from(&properties.correlation_id);
        let to = client.reply_address("m", properties.reply_to.as_deref().unwrap()).unwrap();
        client.sink().await.unwrap().enqueue(&to, reply, None).await.unwrap().await.unwrap();
        asked.settle.done().await.unwrap();

        let gateway = Process::start(&folder, |_| {});
        let (addr, location) = (gateway.addr().await, begun.header("location"));
        let over = until_over(addr, location, &[]).await;
        assert_eq!(over.status, 303, "{kind:?}: {over:?} {}", gateway.messages());
        let quote = ask(addr, &format!("GET {location}/result"), &[], b"").await;
        assert_eq!((quote.status, quote.text()), (200, r#"{"sum":1999}"#), "{kind:?}: {quote:?}");
    }
}
