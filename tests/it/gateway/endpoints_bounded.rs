//! How much an endpoint and a version get at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::endpoints::{endpoints, one, statuses, told};
use super::support::*;

/// A service whose answers wait until they are let go, and the most that it ever had at once.
async fn gated() -> (Service, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, now, most) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (wait, peak) = (gate.clone(), most.clone());
    let service = Service::start_slow(move |_| {
        let (wait, now, peak) = (wait.clone(), now.clone(), peak.clone());
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            wait.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            json("{}")
        }
    });
    (service.await, gate, most)
}

#[tokio::test]
async fn what_is_too_much_for_a_version_is_refused_at_once() {
    let (service, gate, _) = gated().await;
    let upstream = endpoints(&[service.addr]) + ", breaker: {in_flight: 2}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    let addr = gateway.addr;
    let held = [0, 1].map(|_| tokio::spawn(async move { ask(addr, "GET /v1/a", &[], b"").await }));
    let mut seen = 0;
    while seen < 2 {
        seen += eventually(|| async { Some(service.take().len()).filter(|count| *count > 0) }).await;
    }
    let answer = gateway.ask("GET /v1/a", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "upstream_overloaded"));
    assert_eq!(answer.header("retry-after"), "1");
    gate.add_permits(3);
    for one in held {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(gateway.ask("GET /v1/a", &[], b"").await.status, 200);
}

#[tokio::test]
async fn what_is_too_much_for_an_endpoint_waits_up_to_a_limit() {
    let (service, gate, most) = gated().await;
    let upstream = endpoints(&[service.addr]) + ", limits: {in_flight: 1, waiting: 1}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    let addr = gateway.addr;
    let asked = || tokio::spawn(async move { ask(addr, "POST /v1/a", &[], b"{}").await });
    let first = asked();
    eventually(|| async { (told(&gateway, service.addr).await["in_flight"] == 1).then_some(()) }).await;
    let second = asked();
    eventually(|| async { (told(&gateway, service.addr).await["waiting"] == 1).then_some(()) }).await;
    let answer = gateway.ask("POST /v1/a", &[], b"{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "upstream_overloaded"));
    gate.add_permits(2);
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
    assert_eq!((service.take().len(), most.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn no_more_connections_are_open_than_may_be() {
    let (service, gate, most) = gated().await;
    gate.add_permits(1000);
    let gateway = Gateway::start(&one(&(endpoints(&[service.addr]) + ", limits: {connections: 2}")), vec![]).await;
    let addr = gateway.addr;
    for _ in 0..5 {
        let asked: Vec<_> =
            (0..20).map(|_| tokio::spawn(async move { ask(addr, "GET /v1/a", &[], b"").await.status })).collect();
        for one in asked {
            assert_eq!(one.await.unwrap(), 200);
        }
        let told = told(&gateway, service.addr).await;
        assert!(told["connections"].as_u64().unwrap() <= 2, "{told}");
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request_as_far_as_they_may_be() {
    let service = Service::start(|_| json("{}")).await;
    for (limits, kept) in [("{idle: 0}", 0), ("{idle: 8}", 1)] {
        let gateway = Gateway::start(&one(&format!("{}, limits: {limits}", endpoints(&[service.addr]))), vec![]).await;
        assert_eq!(statuses(&gateway, 1).await, [200]);
        let told = told(&gateway, service.addr).await;
        assert_eq!(
            (told["idle_connections"].as_u64(), told["connections"].as_u64()),
            (Some(kept), Some(kept)),
            "{told}"
        );
    }
    // Those that have waited too long are closed.
    let upstream = endpoints(&[service.addr]) + ", limits: {idle_time: 1ms}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    statuses(&gateway, 1).await;
    eventually(|| async { (told(&gateway, service.addr).await["connections"] == 0).then_some(()) }).await;
}
