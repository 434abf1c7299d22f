//! A newer program takes over: one process at a time has the store and runs flows.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::operations::process::{Process, ask_unix, folder, send};
use super::super::support::*;
use super::of;
use super::real::{Outcome, Road};
use crate::messaging::broker_process::Kind;

/// Whatever becomes of the test, the process that it has not started itself ends.
struct End(u32);

impl Drop for End {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-9", &self.0.to_string()]).output();
    }
}

async fn pid(socket: &std::path::Path) -> u32 {
    eventually(|| pid_of(socket)).await
}

/// Of whoever has the admin address; none: nobody, while it passes from one to the other.
async fn pid_of(socket: &std::path::Path) -> Option<u32> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let asked = b"GET /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(asked).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let config: serde_json::Value = serde_json::from_str(body).ok()?;
    config["program"]["pid"].as_u64()?.try_into().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_pass_to_the_new_program_without_a_loss_or_a_double() {
    for kind in [Kind::Nats, Kind::Rabbit] {
        let Some(road) = Road::build(kind).await else { continue };
        road.write(0..3000).await;
        let mut old = road.gateway();
        road.arrived(600).await;
        old.signal("-USR2");
        assert_eq!(old.ended().await.code(), Some(0), "{kind:?}: {}", old.messages());
        let new = pid(&road.socket()).await;
        let _end = End(new);
        assert_ne!(new, old.child.id());
        let outcome = road.read(3000, Duration::from_secs(30)).await;
        assert_eq!(outcome, Outcome { lost: 0, duplicates: 0, reordered: 0, wrong: 0 }, "{kind:?}: {}", old.messages());
        let told = road.flows().await;
        assert_eq!(told["ready"], true, "{told}");
        assert!(of(&told, "shop/orders/v2")["settled"].as_u64().unwrap() > 0, "{told}");
        send(new, "-TERM");
        eventually(|| async { (!road.socket().exists()).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_kept_wait_for_the_store_and_outlive_the_change() {
    let (service, gate) = Service::start_gated(created_echo).await;
    let folder = folder(&orders_with(service.addr, "async: {path: /operations}\nidempotency: {}\n"), "");
    let socket = folder.path().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    let mut old = Process::start(&folder, |command| {
        command.args(["--admin", &admin]);
    });
    let addr = old.addr().await;
    let order = br#"{"id":7,"total":1999,"state":"open"}"#;
    let headers = ["Content-Type: application/json", "Prefer: respond-async"];
    let first = ask(addr, "POST /v1/orders", &headers, order).await;
    assert_eq!(first.status, 202, "{first:?}");
    eventually(|| async { (!service.take().is_empty()).then_some(()) }).await;

    old.signal("-USR2");
    // The new process has the doors, and not the store: the old one is still at work.
    let new = eventually(|| async {
        let pid = pid(&socket).await;
        (pid != old.child.id()).then_some(pid)
    })
    .await;
    let _end = End(new);
    old.told("finishing what is in flight").await;
    let second = tokio::spawn(async move { ask(addr, "POST /v1/orders", &headers, order).await });
    let ready = ask_unix(&socket, "GET /readyz", &[], "").await;
    assert_eq!(ready.status, 200, "it serves all the same");
    gate.add_permits(1);
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.messages());
    let second = second.await.unwrap();
    assert_eq!(second.status, 202, "{second:?}");
    gate.add_permits(1);
    for begun in [first, second] {
        let location = begun.header("location").to_owned();
        let over = until_over(addr, &location, &[]).await;
        assert_eq!(over.status, 303, "{over:?}");
        let result = ask(addr, &format!("GET {location}/result"), &[], b"").await;
        assert_eq!(result.status, 201, "{result:?}");
    }
    send(new, "-TERM");
    eventually(|| async { (!socket.exists()).then_some(()) }).await;
}
