//! Other people's clients: what pika and nats-py write is read, and what is written they read.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use tokio::sync::watch;
use tokio::time::timeout;

use super::broker_process::{Kind, Process};
use super::contract::subject;
use super::kills::flow;
use super::queue;

/// Writes to one broker and prints what arrives at the other, as JSON.
const SCRIPT: &str = r#"
import asyncio, json, sys, pika, nats

rabbit, server, way = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", rabbit)).channel()

async def read():
    client = await nats.connect(f"nats://127.0.0.1:{server}")
    reader = await client.jetstream().pull_subscribe("out", "foreign", stream="S-out")
    [message] = await reader.fetch(1, timeout=30)
    await message.ack()
    await client.close()
    print(json.dumps({"body": message.data.decode(), "headers": message.headers}))

async def write():
    client = await nats.connect(f"nats://127.0.0.1:{server}")
    headers = {"Nats-Msg-Id": "n-1", "Content-Type": "application/json", "X-Shop": "b", "Correlation-Id": "c-1"}
    await client.jetstream().publish("in", b'{"total":1999}', headers=headers)
    await client.close()

if way == "rabbit-nats":
    properties = pika.BasicProperties(
        message_id="p-1", content_type="application/json", correlation_id="c-1", type="order",
        headers={"X-Shop": "a", "count": 3, "list": [1, "two"]},
    )
    channel.basic_publish("", "in", b'{"total":1999}', properties)
    asyncio.run(read())
else:
    asyncio.run(write())
    for method, properties, body in channel.consume("out", inactivity_timeout=30):
        channel.basic_ack(method.delivery_tag)
        print(json.dumps({"body": body.decode(), "headers": properties.headers, "id": properties.message_id,
            "type": properties.content_type, "correlation": properties.correlation_id}))
        break
"#;

async fn script(rabbit: u16, nats: u16, way: &str) -> serde_json::Value {
    let arguments = [rabbit.to_string(), nats.to_string(), way.to_owned()];
    let run = tokio::task::spawn_blocking(move || {
        Command::new("python3").arg("-c").arg(SCRIPT).args(arguments).stdin(Stdio::null()).output().unwrap()
    });
    let output = timeout(Duration::from_secs(60), run).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_write_and_read() {
    let has_clients = Command::new("python3").args(["-c", "import pika, nats"]).stderr(Stdio::null()).status();
    if !has_clients.is_ok_and(|status| status.success()) {
        eprintln!("skipped: pika and nats-py are not installed");
        return;
    }
    let (Some(rabbit), Some(nats)) = (Process::start(Kind::Rabbit), Process::start(Kind::Nats)) else { return };
    let amqp: Arc<dyn Broker> = Arc::new(rabbit.amqp());
    let jetstream: Arc<dyn Broker> = Arc::new(nats.nats_client());
    for name in ["in", "out"] {
        amqp.make(&queue(name)).await.unwrap();
        jetstream.make(&subject(name)).await.unwrap();
    }
    let (stop, stopped) = watch::channel(false);
    let to_nats = flow((Kind::Rabbit, amqp.clone(), "in"), (Kind::Nats, jetstream.clone(), "out"));
    let to_rabbit = flow((Kind::Nats, jetstream, "in"), (Kind::Rabbit, amqp, "out"));
    let running = [tokio::spawn(to_nats.run(stopped.clone())), tokio::spawn(to_rabbit.run(stopped))];

    let read = script(rabbit.port, nats.port, "rabbit-nats").await;
    assert_eq!(read["body"], r#"{"price":"19.99"}"#);
    let headers = &read["headers"];
    for (name, value) in [
        ("Nats-Msg-Id", "p-1:v2"),
        ("Message-Id", "p-1"),
        ("Content-Type", "application/json"),
        ("Correlation-Id", "c-1"),
        ("Amqp-Type", "order"),
        ("X-Shop", "a"),
        ("count", "3"),
        ("list", r#"[1,"two"]"#),
        ("bifocal-version", "v2"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }

    let read = script(rabbit.port, nats.port, "nats-rabbit").await;
    assert_eq!(read["body"], r#"{"price":"19.99"}"#);
    assert_eq!((read["id"].as_str(), read["type"].as_str()), (Some("n-1"), Some("application/json")));
    assert_eq!((read["correlation"].as_str(), read["headers"]["X-Shop"].as_str()), (Some("c-1"), Some("b")));
    stop.send(true).unwrap();
    for one in running {
        one.await.unwrap();
    }
}
