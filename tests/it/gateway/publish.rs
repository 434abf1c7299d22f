//! Calls that become messages: 202 once the broker has confirmed, and the reply as the response, in any version.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bifocal::gateway::Brokers;
use bifocal::messaging::broker::{Boxed, Unpublished};
use bifocal::messaging::brokers::memory::{Faults, Memory, Step};
use bifocal::messaging::message::Message;

use super::support::*;
use crate::messaging::{arrived, header, message, queue, text};

const TYPE: &str = "Content-Type: application/json";

/// Orders are told to whoever reads them; quotes are asked for. `timeout` is for replies.
fn rules(timeout: &str, more: &str) -> Vec<(&'static str, String)> {
    let service = format!(
        "versions: {{v1: {{path: /v1}}, v2: {{path: /v2}}}}\nconsumer: [header.X-Consumer]\nasync: {{path: /operations}}\n\
         channels:\n  orders:\n    versions:\n      v1: {{egress: {{broker: m, queue: orders.v1}}}}\n      \
         v2: {{ingress: {{broker: m, queue: orders.v2}}}}\n  nowhere:\n    versions:\n      \
         v1: {{ingress: {{broker: m, queue: nowhere.v1}}}}\n      v2: {{egress: {{broker: m, exchange: nowhere}}}}\n  \
         away:\n    versions:\n      v1: {{ingress: {{broker: away, queue: away.v1}}}}\n      \
         v2: {{egress: {{broker: away, queue: away.v2}}}}\n  answers: {{versions: {{v1: , v2: }}}}\n  quotes:\n    \
         replies: {{channel: answers, address: {{broker: m, queue: own.quotes}}, timeout: {timeout}}}\n    versions:\n      \
         v1: {{ingress: {{broker: m, queue: quotes.v1}}}}\n      v2: {{egress: {{broker: m, queue: quotes.v2}}}}\n\
         publish:\n  - POST /v2/orders: {{channel: orders, headers: [X-Shop]}}\n  - POST /v2/quotes: quotes\n  \
         - PUT /v2/quotes: {{channel: quotes, wait: 20s}}\n  - POST /v2/nowhere: nowhere\n  - POST /v2/away: away\n{more}"
    );
    let steps = "types:\n  Order: [id, total = price: {decimal: 2}]\n  Ask: [number = id]\n  \
         Quote: [sum = price: {decimal: 2}]\n  Problem: [error = reason]\nroutes:\n  \
         - POST /v1/orders = POST /v2/orders: {request: Order}\n  \
         - POST /v1/quotes = POST /v2/quotes: {request: Ask, 200: Quote, 404: Problem}\n  \
         - PUT /v1/quotes = PUT /v2/quotes: {request: Ask, 200: Quote}\nmessages:\n  orders: Order\n  nowhere: same\n  \
         away: same\n  answers: Quote\n  quotes: Ask\n";
    vec![("shop/service.yaml", service), ("shop/v1-v2.yaml", steps.to_owned())]
}

fn brokers(memory: &Memory) -> Brokers {
    Brokers::from([("m".to_owned(), Arc::new(memory.clone()) as _)])
}

async fn start(memory: &Memory, timeout: &str, more: &str) -> Gateway {
    Gateway::start_with(&rules(timeout, more), vec![("messages.confirm", "500ms".into())], brokers(memory)).await
}

/// Replies to a message as its reader does.
fn reply(memory: &Memory, asked: &Message, body: &str, status: Option<&str>) {
    let mut reply = message("r", None, body);
    reply.properties.correlation_id.clone_from(&asked.properties.correlation_id);
    if let Some(status) = status {
        reply.headers.set("bifocal-status", status);
    }
    memory.put(&queue(asked.properties.reply_to.as_deref().unwrap()), reply);
}

/// What became of an operation.
async fn result(gateway: &Gateway, location: &str) -> Answer {
    until_over(gateway.addr, location, &[]).await;
    gateway.ask(&format!("GET {location}/result"), &[], b"").await
}

async fn dead(memory: &Memory, flow: &str) -> Message {
    arrived(memory, &queue(&format!("bifocal.dead.shop.{flow}")), 1).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_becomes_a_message_in_the_newest_terms() {
    let memory = Memory::default();
    let gateway = start(&memory, "30s", "").await;
    let headers = [TYPE, "Idempotency-Key: \"5a9b\"", "X-Shop: a", "X-Other: b", "Cookie: c=d", "Ce-Type: order"];
    let told = gateway.ask("POST /v1/orders", &headers, br#"{"id":7,"total":1999}"#).await;
    assert_eq!((told.status, told.text()), (202, r#"{"id":"5a9b"}"#), "{told:?}");
    assert_eq!(told.header("location"), "");
    // Its writers' address is read by a flow: old readers get it in their terms.
    let old = arrived(&memory, &queue("orders.v1"), 1).await;
    assert_eq!((text(&old[0]), header(&old[0], "bifocal-path")), (r#"{"id":7,"total":1999}"#, "shop/orders@v2>v1"));
    let properties = &old[0].properties;
    assert_eq!((properties.message_id.as_deref(), properties.persistent), (Some("5a9b"), Some(true)));
    let sent = |name: &str| header(&old[0], name).to_owned();
    assert_eq!(
        (sent("x-shop"), sent("ce-type"), sent("x-other"), sent("cookie")),
        ("a".into(), "order".into(), String::new(), String::new())
    );
    assert!(sent("traceparent").starts_with("00-") && !sent("x-request-id").is_empty());

    // Keys of one consumer are none of another's; without a key each is another one.
    let known = [TYPE, "Idempotency-Key: 5a9b", "X-Consumer: acme"];
    let told = gateway.ask("POST /v2/orders", &known, br#"{"id":7,"price":"19.99"}"#).await;
    assert_eq!((told.status, told.text()), (202, r#"{"id":"acme/5a9b"}"#));
    for _ in 0..2 {
        let told = gateway.ask("POST /v2/orders", &[TYPE], br#"{"id":7,"price":"19.99"}"#).await;
        assert_eq!((told.status, told.json()["id"].as_str().unwrap().len()), (202, 32));
    }
    assert_eq!(arrived(&memory, &queue("orders.v1"), 4).await.len(), 4);

    for (line, body, status, code) in [
        ("POST /v1/orders", r#"{"id":7,"total":"x"}"#, 422, "value"),
        ("POST /v1/orders", r#"{"id":7"#, 400, "json_syntax"),
        ("POST /v1/other", "{}", 404, "no_route"),
        ("POST /v2/other", "{}", 404, "no_route"),
        ("POST /v2/nowhere", "{}", 502, "unpublishable"),
    ] {
        let refused = gateway.ask(line, &[TYPE], body.as_bytes()).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{line} {body}");
    }
    let away = gateway.ask("POST /v2/away", &[TYPE], b"{}").await;
    assert_eq!((away.status, away.code().as_str(), away.header("retry-after")), (503, "unconfirmed", "5"));
    assert_eq!(memory.all(&queue("orders.v1")).len(), 4);
}

/// A broker in a bad mood.
#[derive(Clone, Default)]
struct Mood(Arc<AtomicU8>);

const REFUSES: u8 = 1;
const SILENT: u8 = 2;

impl Faults for Mood {
    fn at<'f>(&'f self, step: Step, at: &'f str, _: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
        Box::pin(async move {
            match self.0.load(Ordering::SeqCst) {
                _ if !at.ends_with("v2") => Ok(()),
                REFUSES if step == Step::Publish => Err(Unpublished::Refused("not now".into())),
                SILENT if step == Step::Store => {
                    std::future::pending::<()>().await;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_that_the_broker_has_not_confirmed() {
    let mood = Mood::default();
    let memory = Memory::with_faults(Box::new(mood.clone()));
    let more = "idempotency: {routes: [POST /v2/orders, POST /v2/quotes]}\n";
    let gateway = start(&memory, "30s", more).await;
    let key = [TYPE, "Idempotency-Key: k"];
    for bad in [REFUSES, SILENT] {
        mood.0.store(bad, Ordering::SeqCst);
        for line in ["POST /v2/orders", "POST /v1/quotes"] {
            let body: &[u8] = if line.contains("orders") { br#"{"id":1}"# } else { br#"{"number":1}"# };
            for headers in [&key[..], &[TYPE]] {
                let refused = gateway.ask(line, headers, body).await;
                let seen = (refused.status, refused.code(), refused.header("retry-after").to_owned());
                assert_eq!(seen, (503, "unconfirmed".into(), "5".into()), "{bad} {line}: {refused:?}");
                assert_eq!(refused.header("content-type"), "application/problem+json");
            }
        }
    }
    mood.0.store(0, Ordering::SeqCst);
    // Its key is free again.
    for (line, body) in [("POST /v2/orders", &br#"{"id":1}"#[..]), ("POST /v1/quotes", br#"{"number":1}"#)] {
        let told = gateway.ask(line, &key, body).await;
        assert_eq!((told.status, told.header("idempotency-replayed")), (202, ""), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn begun_in_v1_its_reply_is_read_in_v2() {
    let memory = Memory::default();
    let gateway = start(&memory, "30s", "").await;
    let begun = gateway.ask("POST /v1/quotes", &[TYPE, "Prefer: respond-async"], br#"{"number":7}"#).await;
    let location = begun.header("location").to_owned();
    assert_eq!((begun.status, begun.header("preference-applied")), (202, "respond-async"), "{begun:?}");
    let id = location.strip_prefix("/v1/operations/").unwrap().to_owned();
    assert_eq!(begun.json()["id"], id.as_str());
    let asked = arrived(&memory, &queue("quotes.v2"), 1).await;
    assert_eq!((text(&asked[0]), asked[0].properties.reply_to.as_deref()), (r#"{"id":7}"#, Some("own.quotes")));
    assert!(!asked[0].properties.correlation_id.as_deref().unwrap().contains(&id), "nobody else's business");
    let open = gateway.ask(&format!("GET {location}"), &[], b"").await;
    assert_eq!((open.status, open.json()["state"].as_str().unwrap()), (200, "running"));

    reply(&memory, &asked[0], r#"{"price":"19.99"}"#, None);
    let old = result(&gateway, &location).await;
    assert_eq!((old.status, old.text()), (200, r#"{"sum":1999}"#), "{old:?}");
    let new = result(&gateway, &format!("/v2/operations/{id}")).await;
    assert_eq!((new.status, new.text()), (200, r#"{"price":"19.99"}"#));
    let other = gateway.ask(&format!("GET {location}"), &["X-Consumer: globex"], b"").await;
    assert_eq!((other.status, other.code().as_str()), (404, "no_operation"));

    // Another reply is too late.
    reply(&memory, &asked[0], r#"{"price":"1.00"}"#, None);
    assert_eq!(header(&dead(&memory, "quotes/replies").await, "bifocal-dead-reason"), "no_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_gets_the_reply_itself() {
    let memory = Memory::default();
    let gateway = Arc::new(start(&memory, "30s", "").await);
    let cases = [
        ("POST", vec![TYPE, "Prefer: wait=20"], "wait=20", r#"{"price":"0.50"}"#, None, 200, r#"{"sum":50}"#),
        (
            "POST",
            vec![TYPE, "Prefer: wait=20"],
            "wait=20",
            r#"{"reason":"gone"}"#,
            Some("404"),
            404,
            r#"{"error":"gone"}"#,
        ),
        ("PUT", vec![TYPE], "", r#"{"price":"0.51"}"#, None, 200, r#"{"sum":51}"#),
    ];
    for (index, (method, headers, applied, body, status, expected, old)) in cases.into_iter().enumerate() {
        let waiting = gateway.clone();
        let asking =
            tokio::spawn(
                async move { waiting.ask(&format!("{method} /v1/quotes"), &headers, br#"{"number":7}"#).await },
            );
        let asked = arrived(&memory, &queue("quotes.v2"), index + 1).await;
        reply(&memory, asked.last().unwrap(), body, status);
        let answer = asking.await.unwrap();
        assert_eq!((answer.status, answer.text()), (expected, old), "{answer:?}");
        assert_eq!(answer.header("preference-applied"), applied);
    }
    // What takes longer is asked for later, unless its caller will not wait at all.
    for (line, headers) in
        [("POST /v2/quotes", [TYPE, "Prefer: wait=1"]), ("PUT /v2/quotes", [TYPE, "Prefer: respond-async"])]
    {
        let later = gateway.ask(line, &headers, br#"{"id":7}"#).await;
        assert!(later.status == 202 && later.header("location").starts_with("/v2/operations/"), "{later:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_never_comes_or_is_not_wanted_is_told() {
    let memory = Memory::default();
    let gateway = start(&memory, "50ms", "").await;
    // Who waits need not wait longer than a reply may take.
    let late = gateway.ask("POST /v1/quotes", &[TYPE, "Prefer: wait=15"], br#"{"number":7}"#).await;
    assert_eq!((late.status, late.code().as_str()), (504, "upstream_timeout"), "{late:?}");
    let asked = arrived(&memory, &queue("quotes.v2"), 1).await;
    reply(&memory, &asked[0], r#"{"price":"1.00"}"#, None);
    assert_eq!(header(&dead(&memory, "quotes/replies").await, "bifocal-dead-reason"), "expired");
    drop(gateway);

    let memory = Memory::default();
    let gateway = start(&memory, "30s", "").await;
    let begun = gateway.ask("POST /v1/quotes", &[TYPE], br#"{"number":7}"#).await;
    let location = begun.header("location");
    assert_eq!(gateway.ask(&format!("DELETE {location}"), &[], b"").await.status, 204);
    let asked = arrived(&memory, &queue("quotes.v2"), 1).await;
    reply(&memory, &asked[0], r#"{"price":"1.00"}"#, None);
    assert_eq!(header(&dead(&memory, "quotes/replies").await, "bifocal-dead-reason"), "no_request");
    let cancelled = gateway.ask(&format!("GET {location}/result"), &[], b"").await;
    assert_eq!((cancelled.status, cancelled.code().as_str()), (410, "operation_gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_through_a_restart() {
    let memory = Memory::default();
    let mut gateway = start(&memory, "1m", "").await;
    let begun = gateway.ask("POST /v1/quotes", &[TYPE], br#"{"number":7}"#).await;
    let asked = arrived(&memory, &queue("quotes.v2"), 1).await;
    let folder = gateway.folder.clone();
    gateway.stop();
    assert!(gateway.stopped().await);
    reply(&memory, &asked[0], r#"{"price":"19.99"}"#, None);
    let gateway = Gateway::start_among(folder, vec![], brokers(&memory)).await;
    let old = result(&gateway, begun.header("location")).await;
    assert_eq!((old.status, old.text()), (200, r#"{"sum":1999}"#), "{old:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_again_is_one_message() {
    let memory = Memory::default();
    let more = "idempotency: {routes: [POST /v2/quotes]}\n";
    let gateway = start(&memory, "30s", more).await;
    let headers = [TYPE, "Idempotency-Key: k", "X-Consumer: acme"];
    let first = gateway.ask("POST /v1/quotes", &headers, br#"{"number":7}"#).await;
    // It has been upgraded meanwhile.
    let again = gateway.ask("POST /v2/quotes", &headers, br#"{"id":7}"#).await;
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (202, 202, "true"), "{again:?}");
    assert_eq!(first.header("location"), again.header("location"));
    let other = gateway.ask("POST /v1/quotes", &headers, br#"{"number":8}"#).await;
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_reused"));
    let asked = memory.all(&queue("quotes.v2"));
    assert_eq!((asked.len(), asked[0].properties.message_id.as_deref()), (1, Some("acme/k")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_another_version_may_reply() {
    // What is asked for in v2 is written where v2 is written, and an old service has it.
    let memory = Memory::default();
    let mut files = rules("30s", "");
    files[0].1 = files[0].1.replace(
        "v1: {ingress: {broker: m, queue: quotes.v1}}\n      v2: {egress: {broker: m, queue: quotes.v2}}",
        "v1: {egress: {broker: m, queue: quotes.v1}}\n      v2: {ingress: {broker: m, queue: quotes.v2}}",
    );
    let gateway = Gateway::start_with(&files, vec![], brokers(&memory)).await;
    let begun = gateway.ask("POST /v2/quotes", &[TYPE], br#"{"id":7}"#).await;
    let asked = arrived(&memory, &queue("quotes.v1"), 1).await;
    assert_eq!(text(&asked[0]), r#"{"number":7}"#);
    reply(&memory, &asked[0], r#"{"sum":1999}"#, None);
    let new = result(&gateway, begun.header("location")).await;
    assert_eq!((new.status, new.text()), (200, r#"{"price":"19.99"}"#), "{new:?}");
}
