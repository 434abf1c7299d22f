//! A caller that waits, before a service that answers later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use http::StatusCode;

use super::support::*;

const TYPE: &str = "Content-Type: application/json";
const OLD_ORDER: &str = r#"{"id":7,"total":1999,"state":"open"}"#;
const NEW_ORDER: &str = r#"{"id":7,"price":{"value":"19.99"},"status":"OPEN"}"#;

fn rules(new: std::net::SocketAddr, follow: &str) -> Vec<(&'static str, String)> {
    let mut rules = orders(None, Some(new), "v2");
    let line = "- POST /v1/orders = POST /v2/orders: {";
    assert!(rules[1].1.contains(line));
    rules[1].1 = rules[1].1.replace(line, &format!("{line}follow: {follow}, "));
    rules
}

fn told(status: u16, location: &str, body: &str) -> Response {
    let mut response = json(body.to_owned());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("location", location.parse().unwrap());
    response
}

/// Begins a job for a POST; its status is as `status` says at each look.
async fn service(
    location: &'static str,
    status: impl Fn(usize) -> Response + Clone + Send + Sync + 'static,
) -> Service {
    let looks = Arc::new(AtomicUsize::new(0));
    Service::start(move |seen| match (seen.method.as_str(), seen.uri.path()) {
        ("POST", _) => told(202, location, r#"{"accepted":true}"#),
        ("GET", "/v2/jobs/1") => status(looks.fetch_add(1, Ordering::SeqCst)),
        ("GET", "/v2/orders/7") => json(NEW_ORDER),
        _ => self::status(204),
    })
    .await
}

#[tokio::test]
async fn the_gateway_waits_for_an_operation_that_its_caller_knows_nothing_of() {
    let by_redirect = |look| match look {
        0 => told(200, "/", r#"{"state":"busy"}"#),
        1 => told(503, "/", ""),
        _ => told(303, "/v2/orders/7", ""),
    };
    let by_body = |look| match look {
        0 => told(202, "/", "not JSON yet"),
        1 => told(200, "/", r#"{"state":"busy","links":{"result":null}}"#),
        _ => told(200, "/", r#"{"state":"done","links":{"result":"/v2/orders/7"}}"#),
    };
    let itself = |look| if look == 0 { told(202, "/", "{}") } else { json(NEW_ORDER) };
    let until = "until: \"$.body.state == 'done'\"";
    for (service, follow, looks) in [
        (service("/v2/jobs/1", by_redirect).await, format!("{{{until}}}"), 3),
        (service("jobs/1", by_body).await, format!("{{{until}, result: body.links.result}}"), 3),
        (service("/v2/jobs/1", itself).await, "{}".to_owned(), 2),
    ] {
        let gateway = Gateway::start(&rules(service.addr, &follow), vec![]).await;
        let headers = [TYPE, "Authorization: Bearer t", "Idempotency-Key: k"];
        let answer = gateway.ask("POST /v1/orders", &headers, OLD_ORDER.as_bytes()).await;
        assert_eq!(answer.status, 200, "{follow} {answer:?}");
        assert!(same(answer.text(), OLD_ORDER), "{}", answer.text());
        let seen = service.take();
        assert_eq!(seen[0].text(), NEW_ORDER);
        let jobs: Vec<_> = seen.iter().filter(|one| one.uri.path() == "/v2/jobs/1").collect();
        assert_eq!(jobs.len(), looks, "{follow}");
        // As the caller, but without what was about its own request.
        assert_eq!(
            (jobs[0].header("authorization"), jobs[0].header("idempotency-key"), jobs[0].text()),
            ("Bearer t", "", "")
        );
        // Who speaks v2 gets what the service says.
        let own = gateway.ask("POST /v2/orders", &[TYPE], NEW_ORDER.as_bytes()).await;
        assert_eq!(own.status, 202);
    }
}

#[tokio::test]
async fn what_takes_too_long_or_fails_is_told() {
    let slow = service("/v2/orders/jobs", |_| json("{}")).await;
    let gateway = Gateway::start(&rules(slow.addr, "{limit: 300ms, until: \"$.body.state\"}"), vec![]).await;
    let late = gateway.ask("POST /v1/orders", &[TYPE], OLD_ORDER.as_bytes()).await;
    assert_eq!((late.status, late.code().as_str()), (504, "upstream_timeout"));
    assert_eq!(late.header("location"), "/v1/orders/jobs", "where to ask for it, at the caller's address");
    assert!(slow.take().iter().all(|one| one.method != "DELETE"), "it goes on");

    let failing = service("/v2/jobs/1", |_| told(404, "/", r#"{"member":"x"}"#)).await;
    let gateway = Gateway::start(&rules(failing.addr, "{}"), vec![]).await;
    assert_eq!(gateway.ask("POST /v1/orders", &[TYPE], OLD_ORDER.as_bytes()).await.status, 404);

    // What a service says does not choose where requests with credentials go.
    let other = Service::start(|_| json(NEW_ORDER)).await;
    let location: &'static str = format!("http://{}/v2/jobs/1", other.addr).leak();
    for location in [location, "//127.0.0.1:1/x", "/../../x", "jobs/../../x"] {
        let astray = service(location, |_| json(NEW_ORDER)).await;
        let gateway = Gateway::start(&rules(astray.addr, "{}"), vec![]).await;
        let answer = gateway.ask("POST /v1/orders", &[TYPE], OLD_ORDER.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"), "{location}");
        assert_eq!((other.take().len(), astray.take().len()), (0, 1), "{location}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_operation_where_the_rules_say_so() {
    let service = service("/v2/jobs/1", |_| told(202, "/", "{}")).await;
    let gateway = Gateway::start(&rules(service.addr, "{cancel: true}"), vec![]).await;
    let addr = gateway.addr;
    let asking = tokio::spawn(async move { ask(addr, "POST /v1/orders", &[TYPE], OLD_ORDER.as_bytes()).await });
    eventually(|| async { service.take().iter().any(|one| one.method == "GET").then_some(()) }).await;
    asking.abort();
    let ended = eventually(|| async { service.take().into_iter().find(|one| one.method == "DELETE") }).await;
    assert_eq!(ended.uri.path(), "/v2/jobs/1");
}

#[tokio::test]
async fn what_is_followed_may_be_begun_later_and_with_a_key() {
    let service = service("/v2/jobs/1", |look| if look == 0 { told(202, "/", "{}") } else { json(NEW_ORDER) }).await;
    let mut rules = rules(service.addr, "{}");
    rules[0].1.push_str("idempotency: {}\nasync: {path: /operations}\n");
    let gateway = Gateway::start(&rules, vec![]).await;
    let key = "Idempotency-Key: k";
    let first = gateway.ask("POST /v1/orders", &[TYPE, key], OLD_ORDER.as_bytes()).await;
    let again = gateway.ask("POST /v1/orders", &[TYPE, key], OLD_ORDER.as_bytes()).await;
    assert_eq!((first.status, again.header("idempotency-replayed")), (200, "true"), "{first:?} {again:?}");
    assert!(same(again.text(), OLD_ORDER), "{}", again.text());
    let later = gateway.ask("POST /v1/orders", &[TYPE, "Prefer: respond-async, wait=20"], OLD_ORDER.as_bytes()).await;
    assert_eq!(later.status, 200, "{later:?}");
    assert!(same(later.text(), OLD_ORDER));
}
