//! The program itself between real brokers: told to stop, replaced and killed while messages flow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use bifocal::rules::channel::Address;
use tempfile::TempDir;
use tokio::time::timeout;

use super::super::operations::process::{Process, ask_unix, folder};
use super::super::support::eventually;
use super::of;
use crate::messaging::broker_process::{Kind, Process as BrokerProcess};
use crate::messaging::message;

/// Messages that may be under way.
const IN_FLIGHT: usize = 64;

/// What new producers write, on its way to old consumers.
pub(super) struct Road {
    kind: Kind,
    _process: BrokerProcess,
    client: Arc<dyn Broker>,
    folder: Arc<TempDir>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) lost: usize,
    pub(super) duplicates: usize,
    pub(super) reordered: usize,
    pub(super) wrong: usize,
}

impl Road {
    /// With both addresses made; none: this broker is not installed.
    pub(super) async fn build(kind: Kind) -> Option<Self> {
        let process = BrokerProcess::start(kind)?;
        let (client, url): (Arc<dyn Broker>, _) = match kind {
            Kind::Rabbit => (Arc::new(process.amqp()), format!("amqp://127.0.0.1:{}", process.port)),
            Kind::Nats => (Arc::new(process.nats_client()), format!("nats://127.0.0.1:{}", process.port)),
        };
        let settings =
            format!("[brokers.m]\nurl = \"{url}\"\n[messages]\nin_flight = {IN_FLIGHT}\nlongest_pause = \"1s\"\n");
        let rules = [super::rules(2, &["orders"]), ("shop/service.yaml", service(kind, "in", "out"))];
        let road = Self { kind, _process: process, client, folder: folder(&rules, &settings) };
        for name in ["in", "out"] {
            road.client.make(&road.at(name)).await.unwrap();
        }
        Some(road)
    }

    fn at(&self, name: &str) -> Address {
        match self.kind {
            Kind::Rabbit => Address::Queue { broker: "m".into(), queue: name.into() },
            Kind::Nats => {
                Address::Subject { broker: "m".into(), subject: name.into(), stream: Some(format!("S-{name}")) }
            }
        }
    }

    pub(super) fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The gateway in between.
    pub(super) fn gateway(&self) -> Process {
        let admin = format!("unix:{}", self.socket().display());
        Process::start(&self.folder, |command| {
            command.args(["--admin", &admin]);
        })
    }

    /// `GET /flows` of whoever has the socket.
    pub(super) async fn flows(&self) -> serde_json::Value {
        ask_unix(&self.socket(), "GET /flows", &[], "").await.json()
    }

    /// Writes new orders.
    pub(super) async fn write(&self, ids: std::ops::Range<usize>) {
        let (at, mut sink) = (self.at("in"), self.client.sink().await.unwrap());
        let mut confirms = Vec::new();
        for id in ids {
            let body = format!(r#"{{"price":"{}.{:02}","name":"n"}}"#, id / 100, id % 100);
            confirms.push(sink.enqueue(&at, message(&id.to_string(), None, &body), None).await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }

    /// Waits until so many have arrived.
    pub(super) async fn arrived(&self, count: usize) {
        let at = self.at("out");
        eventually(|| async {
            let there = self.client.waiting(&at, "nobody").await.unwrap().unwrap();
            (there >= count as u64).then_some(())
        })
        .await;
    }

    /// Reads all that has arrived, until nothing has come for a while.
    pub(super) async fn read(&self, count: usize, patience: Duration) -> Outcome {
        let mut reader = self.client.source(&self.at("out"), "judge", 512).await.unwrap();
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        let mut outcome = Outcome { lost: 0, duplicates: 0, reordered: 0, wrong: 0 };
        let mut newest = None;
        loop {
            // What comes twice may come late.
            let patience = if seen.len() < count { patience } else { Duration::from_secs(2) };
            let Ok(one) = timeout(patience, reader.next()).await else { break };
            let one = one.unwrap();
            let id: usize = one.message.properties.message_id.as_deref().unwrap().parse().unwrap();
            let times = seen.entry(id).or_default();
            *times += 1;
            if *times > 1 {
                outcome.duplicates += 1;
            } else {
                outcome.reordered += usize::from(newest.is_some_and(|newest| newest > id));
                newest = Some(id);
            }
            outcome.wrong += usize::from(one.message.body != format!(r#"{{"total":{id},"nick":"n"}}"#));
            one.settle.done().await.unwrap();
        }
        outcome.lost = count - seen.len();
        outcome
    }
}

/// Orders as old consumers read them at `to`.
fn service(kind: Kind, from: &str, to: &str) -> String {
    let (from, to) = match kind {
        Kind::Rabbit => (format!("queue: {from}"), format!("queue: {to}")),
        Kind::Nats => (format!("subject: {from}, stream: S-{from}"), format!("subject: {to}")),
    };
    format!(
        "versions: {{v1: , v2: }}\nchannels:\n  orders:\n    versions:\n      v1: {{egress: {{broker: m, {to}}}}}\n      \
         v2: {{ingress: {{broker: m, {from}}}}}\n"
    )
}

const CLEAN: Outcome = Outcome { lost: 0, duplicates: 0, reordered: 0, wrong: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_under_load_it_loses_and_doubles_nothing() {
    for kind in [Kind::Nats, Kind::Rabbit] {
        let Some(road) = Road::build(kind).await else { continue };
        road.write(0..3000).await;
        for round in 1..=3 {
            let mut gateway = road.gateway();
            road.arrived(600 * round).await;
            gateway.signal("-TERM");
            assert_eq!(gateway.ended().await.code(), Some(0), "{kind:?}: {}", gateway.messages());
        }
        let last = road.gateway();
        let outcome = road.read(3000, Duration::from_secs(30)).await;
        assert_eq!(outcome, CLEAN, "{kind:?}: {}", last.messages());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_loses_nothing() {
    for kind in [Kind::Nats, Kind::Rabbit] {
        let Some(road) = Road::build(kind).await else { continue };
        road.write(0..3000).await;
        let kills = 2;
        for round in 1..=kills {
            let gateway = road.gateway();
            road.arrived(800 * round).await;
            drop(gateway);
        }
        let last = road.gateway();
        let Outcome { lost, duplicates, reordered, wrong } = road.read(3000, Duration::from_secs(60)).await;
        let told = format!("{kind:?}: {duplicates} twice: {}", last.messages());
        assert_eq!((lost, reordered, wrong), (0, 0, 0), "{told}");
        assert!(duplicates <= if kind == Kind::Nats { 0 } else { kills * IN_FLIGHT }, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_whose_new_source_does_not_answer_goes_on_and_its_broker_may_come_later() {
    let Some(road) = Road::build(Kind::Nats).await else { return };
    let gateway = road.gateway();
    road.write(0..10).await;
    road.arrived(10).await;
    let told = road.flows().await;
    let flow = of(&told, "shop/orders/v2");
    assert_eq!((flow["guarantee"].as_str(), flow["state"].as_str()), (Some("effectively_once"), Some("running")));
    let started = gateway.told("the flow starts").await;
    assert!(started.contains("effectively_once"), "{started}");

    let rules = road.folder.path().join("rules/shop/service.yaml");
    std::fs::write(&rules, service(Kind::Nats, "later", "out")).unwrap();
    assert_eq!(ask_unix(&road.socket(), "POST /reload", &[], "").await.status, 200);
    let why = eventually(|| async {
        let told = road.flows().await;
        of(&told, "shop/orders/v2")["reason"].as_str().map(str::to_owned)
    })
    .await;
    assert!(why.contains("it runs as before"), "{why}");
    road.write(10..20).await;
    road.arrived(20).await;
    // Once it is there, the flow moves.
    road.client.make(&road.at("later")).await.unwrap();
    eventually(|| async {
        let told = road.flows().await;
        (of(&told, "shop/orders/v2")["source"] == "m:subject/later" && told["ready"] == true).then_some(())
    })
    .await;
    assert_eq!(road.read(20, Duration::from_secs(10)).await, CLEAN);
}
