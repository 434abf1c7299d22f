//! Connections that are cut between a message and its acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::broker_process::{Kind, Process};
use super::{message, queue, text};

/// Passes bytes on until it is told to cut.
struct Proxy {
    port: u16,
    cut: Arc<Notify>,
}

impl Proxy {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let cut = Arc::new(Notify::new());
        let told = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        () = told.notified() => {}
                    }
                });
            }
        });
        Self { port: own, cut }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_never_meets_another_connections_message() {
    let Some(process) = Process::start(Kind::Rabbit) else { return };
    let proxy = Proxy::to(process.port).await;
    let (direct, cut) = (process.amqp(), Process::amqp_at(proxy.port));
    let at = queue("cut");
    direct.make(&at).await.unwrap();
    let mut sink = direct.sink().await.unwrap();
    for id in 0..6 {
        let confirm = sink.enqueue(&at, message(&id.to_string(), None, &id.to_string()), None).await.unwrap();
        confirm.await.unwrap();
    }
    let patience = Duration::from_secs(20);
    let mut first = cut.source(&at, "r", 3).await.unwrap();
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(timeout(patience, first.next()).await.unwrap().unwrap());
    }
    proxy.cut.notify_waiters();
    timeout(patience, first.next()).await.unwrap().unwrap_err();
    // The next connection counts its messages from one again, as the first did.
    let mut second = cut.source(&at, "r", 3).await.unwrap();
    let mut new = Vec::new();
    for _ in 0..3 {
        new.push(timeout(patience, second.next()).await.unwrap().unwrap());
    }
    for one in old {
        one.settle.done().await.unwrap_err();
    }
    drop((first, second, new));
    let mut last = direct.source(&at, "r", 10).await.unwrap();
    for id in 0..6 {
        let one = timeout(patience, last.next()).await.unwrap().unwrap();
        assert_eq!(text(&one.message), id.to_string(), "nothing has vanished");
        one.settle.done().await.unwrap();
    }
}
