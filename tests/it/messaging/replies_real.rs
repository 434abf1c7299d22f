//! Requests by message over real brokers, with a gateway that is killed while requests wait, and other people's clients.
//!
//! The gateway that is killed is this program, started again for [`answers_requests`] alone.

#![expect(clippy::expect_used, reason = "a test ends by panicking")]
#![expect(clippy::print_stderr, reason = "who runs the tests must know what was left out")]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::{Broker, Source};
use bifocal::messaging::flow::{Bounds, Flow, Rules};
use bifocal::messaging::message::Message;
use bifocal::messaging::replies::pending::Pending;
use bifocal::messaging::seen::Volatile;
use bifocal::rules::channel::Address;
use bifocal::store::Store;
use tokio::sync::watch;
use tokio::time::timeout;

use super::broker_process::{Kind, Process};
use super::contract::subject;
use super::kills::broker;
use super::replies::{RULES, service};
use super::{Fixed, message, plan, queue, text};

/// What the process that is killed is told.
const TOLD: &str = "BIFOCAL_REPLIES";

fn address(kind: Kind, name: &str) -> Address {
    if kind == Kind::Rabbit { queue(name) } else { subject(name) }
}

fn flows(kind: Kind, port: u16, folder: &str) -> Vec<Flow> {
    let shared = broker(kind, port);
    let mut written = service("1m");
    if kind == Kind::Nats {
        for name in ["own.replies", "in.v1", "out.v2"] {
            let plain = name.replace('.', "-");
            written = written.replace(&format!("queue: {name}"), &format!("subject: {plain}, stream: S-{plain}"));
        }
    }
    let rules = Fixed::new(plan(&written, RULES));
    let plan = rules.snapshot("shop").unwrap().plan;
    let pending = Pending::new(Store::open(folder.as_ref()).unwrap());
    let flow = |channel: &str, of: &bifocal::rules::channel::Flow| Flow {
        service: "shop".into(),
        channel: channel.into(),
        of: of.clone(),
        source: shared.clone(),
        targets: of.targets.iter().map(|_| shared.clone()).collect(),
        dead: (shared.clone(), address(kind, "dead")),
        seen: Arc::new(Volatile::default()),
        pending: pending.clone(),
        rules: rules.clone(),
        bounds: Bounds { longest_pause: Duration::from_secs(1), ..Bounds::default() },
        status: Flow::status("shop", of, address(kind, "dead")),
    };
    let channels = plan.channels.iter();
    channels.flat_map(|channel| channel.flows.iter().map(|of| flow(&channel.name, of)).collect::<Vec<_>>()).collect()
}

/// The process that is killed. Without being told, it is no test.
#[tokio::test(flavor = "multi_thread")]
async fn answers_requests() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let [kind, port, folder] = told.split(' ').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let kind = if kind == "Rabbit" { Kind::Rabbit } else { Kind::Nats };
    let (_stop, stopped) = watch::channel(false);
    let flows = flows(kind, port.parse().unwrap(), folder);
    futures_util::future::join_all(flows.into_iter().map(|flow| flow.run(stopped.clone()))).await;
}

fn child(kind: Kind, port: u16, folder: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "messaging::replies_real::answers_requests", "--nocapture"])
        .env(TOLD, format!("{kind:?} {port} {folder}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn next(source: &mut Box<dyn Source>) -> Message {
    let one = timeout(Duration::from_secs(60), source.next()).await.expect("a message never came").unwrap();
    one.settle.done().await.unwrap();
    one.message
}

/// Answers a request as the new service does.
async fn answer(client: &Arc<dyn Broker>, broker: &str, asked: &Message) {
    let id = text(asked).trim_start_matches(r#"{"id":"#).trim_end_matches('}').to_owned();
    let mut reply = message(&format!("r{id}"), None, &format!(r#"{{"status":"OK","price":"{id}.50"}}"#));
    reply.properties.correlation_id.clone_from(&asked.properties.correlation_id);
    let to = client.reply_address(broker, asked.properties.reply_to.as_deref().unwrap()).unwrap();
    client.sink().await.unwrap().enqueue(&to, reply, None).await.unwrap().await.unwrap();
}

/// Asks and answers, and kills the gateway in between.
async fn restart(kind: Kind, process: &Process) {
    const COUNT: usize = 40;
    let client = broker(kind, process.port);
    let (asks, asked, back) = match kind {
        Kind::Rabbit => (queue("in.v1"), queue("out.v2"), queue("back")),
        Kind::Nats => (subject("in-v1"), subject("out-v2"), subject("back")),
    };
    for at in [&asks, &asked, &back] {
        client.make(at).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let mut gateway = child(kind, process.port, folder);
    let mut sink = client.sink().await.unwrap();
    for id in 0..COUNT {
        let mut one = message(&format!("m{id}"), None, &format!(r#"{{"number":{id}}}"#));
        one.properties.reply_to = Some("back".into());
        one.properties.correlation_id = Some(format!("c{id}"));
        sink.enqueue(&asks, one, None).await.unwrap().await.unwrap();
    }
    let mut service = client.source(&asked, "service", 64).await.unwrap();
    let mut requester = client.source(&back, "requester", 64).await.unwrap();
    let mut waiting = BTreeMap::new();
    while waiting.len() < COUNT {
        let one = next(&mut service).await;
        waiting.insert(one.properties.message_id.clone().unwrap(), one);
    }
    let waiting: Vec<Message> = waiting.into_values().collect();
    let (early, late) = waiting.split_at(COUNT / 4);
    for one in early {
        answer(&client, "m", one).await;
    }
    let mut replies: BTreeMap<String, String> = BTreeMap::new();
    while replies.len() < early.len() {
        let one = next(&mut requester).await;
        replies.insert(one.properties.correlation_id.clone().unwrap(), text(&one).to_owned());
    }
    // The others still wait when it ends, and are answered while nobody is there.
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    for one in late {
        answer(&client, "m", one).await;
    }
    let mut gateway = child(kind, process.port, folder);
    while replies.len() < COUNT {
        let one = next(&mut requester).await;
        replies.insert(one.properties.correlation_id.clone().unwrap(), text(&one).to_owned());
    }
    for id in 0..COUNT {
        assert_eq!(replies.get(&format!("c{id}")).unwrap(), &format!(r#"{{"state":"ok","total":{}}}"#, id * 100 + 50));
    }
    foreign(kind, process, &client, &mut service).await;
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    let letters = client.waiting(&address(kind, "dead"), "nobody").await.unwrap().unwrap();
    assert_eq!(letters, u64::from(kind == Kind::Nats), "only what nobody may be told to do is left");
}

/// A request with direct reply-to; before it some whose replies nobody can have.
const RABBIT: &str = r#"
import json, sys, pika
channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1]))).channel()
def ask(number, reply_to, correlation):
    properties = pika.BasicProperties(reply_to=reply_to, correlation_id=correlation, content_type="application/json")
    channel.basic_publish("", "in.v1", b'{"number":%d}' % number, properties)
def came(channel, method, properties, body):
    print(json.dumps({"body": body.decode(), "correlation": properties.correlation_id}))
    channel.stop_consuming()
# Who waits may ask.
channel.basic_consume("amq.rabbitmq.reply-to", came, auto_ack=True)
for bad in ["garbage", "g2dkAAZhQGI.x", ""]:
    ask(8, "amq.rabbitmq.reply-to." + bad, "bad")
ask(99, "amq.rabbitmq.reply-to", "d-1")
channel.start_consuming()
"#;

/// A request with a client's inbox; before it one whose reply would tell the server what to do.
const NATS: &str = r#"
import asyncio, json, sys, nats
async def ask():
    client = await nats.connect(f"nats://127.0.0.1:{sys.argv[1]}")
    inbox = client.new_inbox()
    replies = await client.subscribe(inbox)
    headers = {"Reply-To": "$JS.API.STREAM.DELETE.S-back", "Content-Type": "application/json", "Nats-Msg-Id": "bad"}
    await client.jetstream().publish("in-v1", b'{"number":8}', headers=headers)
    headers = {"Reply-To": inbox, "Correlation-Id": "d-1", "Content-Type": "application/json"}
    await client.jetstream().publish("in-v1", b'{"number":99}', headers=headers)
    one = await replies.next_msg(timeout=40)
    print(json.dumps({"body": one.data.decode(), "correlation": one.headers["Correlation-Id"]}))
asyncio.run(ask())
"#;

async fn foreign(kind: Kind, process: &Process, client: &Arc<dyn Broker>, service: &mut Box<dyn Source>) {
    let library = if kind == Kind::Rabbit { "import pika" } else { "import nats" };
    let has_client = Command::new("python3").args(["-c", library]).stderr(Stdio::null()).status();
    if !has_client.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no client of {kind:?} for Python");
        return;
    }
    let script = if kind == Kind::Rabbit { RABBIT } else { NATS };
    let port = process.port.to_string();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("python3").arg("-c").arg(script).arg(port).stdin(Stdio::null()).output().unwrap()
    });
    let count = if kind == Kind::Rabbit { 4 } else { 1 };
    for _ in 0..count {
        let one = next(service).await;
        answer(client, "m", &one).await;
    }
    let output = timeout(Duration::from_secs(60), run).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let came: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(came, serde_json::json!({"body": r#"{"state":"ok","total":9950}"#, "correlation": "d-1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_rabbitmq_wait_through_a_kill() {
    let Some(process) = Process::start(Kind::Rabbit) else { return };
    restart(Kind::Rabbit, &process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_nats_wait_through_a_kill() {
    let Some(process) = Process::start(Kind::Nats) else { return };
    restart(Kind::Nats, &process).await;
}
