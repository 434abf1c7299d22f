//! What every broker must do, tried on all of them: the one inside the process, `RabbitMQ` and NATS.

use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::{Broker, Inbound, Source, Unpublished};
use bifocal::messaging::brokers::memory::Memory;
use bifocal::messaging::message::{Message, Value};
use bifocal::rules::channel::Address;
use tokio::time::timeout;

use super::broker_process::{Kind, Process};
use super::{header, message, queue, text};

mod looks;

/// Longer than a broker that is there needs for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker, and how its addresses are written.
struct Bench {
    broker: Arc<dyn Broker>,
    address: fn(&str) -> Address,
    /// Bytes that are more than it takes; none: it takes any.
    too_large: Option<usize>,
    leaves_out_repetitions: bool,
    has_nowhere: bool,
    is_real: bool,
}

pub(super) fn subject(name: &str) -> Address {
    Address::Subject { broker: "m".into(), subject: name.into(), stream: Some(format!("S-{name}")) }
}

async fn next(source: &mut Box<dyn Source>) -> Inbound {
    timeout(Duration::from_secs(30), source.next()).await.unwrap().unwrap()
}

async fn publish(bench: &Bench, to: &Address, messages: Vec<(Message, Option<&str>)>) -> Vec<Result<(), Unpublished>> {
    let mut sink = bench.broker.sink().await.unwrap();
    let mut confirms = Vec::new();
    for (message, once) in messages {
        confirms.push(sink.enqueue(to, message, once.map(str::to_owned)).await.unwrap());
    }
    let all = futures_util::future::join_all(confirms);
    timeout(Duration::from_secs(30), all).await.unwrap()
}

async fn all(bench: &Bench) {
    order_and_confirmations(bench).await;
    what_is_not_settled_comes_again(bench).await;
    no_more_than_asked_for(bench).await;
    headers_and_properties(bench).await;
    nowhere(bench).await;
    large(bench).await;
    repetitions(bench).await;
    looks::all(bench).await;
}

async fn order_and_confirmations(bench: &Bench) {
    let at = (bench.address)("contract-order");
    bench.broker.make(&at).await.unwrap();
    bench.broker.make(&at).await.unwrap();
    let many = (0..500).map(|id| (message(&id.to_string(), None, &id.to_string()), None)).collect();
    for result in publish(bench, &at, many).await {
        result.unwrap();
    }
    assert_eq!(waiting(bench, &at, "r", 500).await, 500);
    let mut source = bench.broker.source(&at, "r", 50).await.unwrap();
    for id in 0..500 {
        let one = next(&mut source).await;
        assert_eq!(text(&one.message), id.to_string());
        assert!(!one.redelivered);
        one.settle.done().await.unwrap();
    }
    source.stop().await;
    drop(source);
    assert_eq!(waiting(bench, &at, "r", 0).await, 0);
}

/// How many wait, once it is as many as they should be: brokers count behind their clients' backs.
async fn waiting(bench: &Bench, at: &Address, name: &str, expected: u64) -> u64 {
    let mut found = 0;
    for _ in 0..200 {
        found = bench.broker.waiting(at, name).await.unwrap().unwrap();
        if found == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    found
}

async fn what_is_not_settled_comes_again(bench: &Bench) {
    let at = (bench.address)("contract-again");
    bench.broker.make(&at).await.unwrap();
    let many = (0..20).map(|id| (message(&id.to_string(), None, &id.to_string()), None)).collect();
    publish(bench, &at, many).await.into_iter().for_each(|result| result.unwrap());
    let mut source = bench.broker.source(&at, "r", 20).await.unwrap();
    let mut held = Vec::new();
    for id in 0..10 {
        let one = next(&mut source).await;
        // A log forgets only what is done without a gap.
        if id < 3 {
            one.settle.done().await.unwrap();
        } else {
            held.push(one);
        }
    }
    drop(source);
    drop(held);
    let mut source = bench.broker.source(&at, "r", 20).await.unwrap();
    for id in 3..20 {
        let one = next(&mut source).await;
        assert_eq!(text(&one.message), id.to_string());
        assert!(one.redelivered || id >= 10, "{id}");
        one.settle.done().await.unwrap();
    }
}

async fn no_more_than_asked_for(bench: &Bench) {
    let at = (bench.address)("contract-bound");
    bench.broker.make(&at).await.unwrap();
    let many = (0..10).map(|id| (message(&id.to_string(), None, &id.to_string()), None)).collect();
    publish(bench, &at, many).await.into_iter().for_each(|result| result.unwrap());
    let mut source = bench.broker.source(&at, "r", 3).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut source).await);
    }
    assert!(timeout(Duration::from_millis(300), source.next()).await.is_err(), "a fourth");
    held.remove(0).settle.done().await.unwrap();
    assert_eq!(text(&next(&mut source).await.message), "3");
}

async fn headers_and_properties(bench: &Bench) {
    let at = (bench.address)("contract-headers");
    bench.broker.make(&at).await.unwrap();
    let mut one = message("the id", None, "{}");
    one.headers.push("X-Shop", Value::text("a b"));
    one.headers.push("ce-type", Value::text("order"));
    one.headers.push("CC", Value::text("contract-order"));
    one.headers.push("Nats-Rollup", Value::text("all"));
    let properties = &mut one.properties;
    properties.correlation_id = Some("c".into());
    properties.reply_to = Some("answers".into());
    properties.kind = Some("order".into());
    properties.expiration = Some("600000".into());
    properties.timestamp = Some(1_700_000_000);
    properties.priority = Some(3);
    properties.persistent = Some(true);
    properties.app_id = Some("app".into());
    properties.content_encoding = Some("identity".into());
    publish(bench, &at, vec![(one.clone(), Some("the id:v2"))]).await.remove(0).unwrap();
    let mut source = bench.broker.source(&at, "r", 3).await.unwrap();
    let come = next(&mut source).await.message;
    let mut expected = one.properties.clone();
    expected.routing.clone_from(&come.properties.routing);
    assert_eq!(come.properties, expected);
    assert_eq!((header(&come, "X-Shop"), header(&come, "ce-type")), ("a b", "order"));
    if bench.is_real {
        // Neither may steer a broker.
        assert!(header(&come, "bifocal-cc") == "contract-order" || header(&come, "CC") == "contract-order");
        assert!(header(&come, "Bifocal-Nats-Rollup") == "all" || header(&come, "Nats-Rollup") == "all");
        assert_eq!(waiting(bench, &(bench.address)("contract-order"), "r", 0).await, 0);
    }
}

async fn nowhere(bench: &Bench) {
    if !bench.has_nowhere {
        return;
    }
    let (here, there) = ((bench.address)("contract-here"), (bench.address)("contract-nowhere"));
    bench.broker.make(&here).await.unwrap();
    let mut sink = bench.broker.sink().await.unwrap();
    // Some that arrive and some that do not, at once: each must hear of itself.
    for _ in 0..20 {
        let mut confirms = Vec::new();
        for id in 0..40 {
            let to = if id % 3 == 1 { &there } else { &here };
            let one = message(&id.to_string(), None, "{}");
            confirms.push((id % 3 == 1, sink.enqueue(to, one, None).await.unwrap()));
        }
        for (is_lost, confirm) in confirms {
            let result = timeout(Duration::from_secs(30), confirm).await.unwrap();
            assert_eq!(is_lost, matches!(result, Err(Unpublished::Unroutable)), "{result:?}");
            assert_eq!(!is_lost, result.is_ok());
        }
    }
}

async fn large(bench: &Bench) {
    let Some(size) = bench.too_large else { return };
    let at = (bench.address)("contract-large");
    bench.broker.make(&at).await.unwrap();
    let large = Message { body: vec![b'x'; size].into(), ..Message::default() };
    // Once a broker may end a channel to say so.
    let mut result = publish(bench, &at, vec![(large.clone(), None)]).await.remove(0);
    if matches!(result, Err(Unpublished::Lost(_))) {
        result = publish(bench, &at, vec![(large, None)]).await.remove(0);
    }
    assert!(matches!(result, Err(Unpublished::TooLarge)), "{result:?}");
    publish(bench, &at, vec![(message("1", None, "{}"), None)]).await.remove(0).unwrap();
}

async fn repetitions(bench: &Bench) {
    if !bench.leaves_out_repetitions {
        return;
    }
    let at = (bench.address)("contract-once");
    bench.broker.make(&at).await.unwrap();
    let many = ["a", "b", "a"].map(|id| (message(id, None, id), Some(id))).to_vec();
    publish(bench, &at, many).await.into_iter().for_each(|result| result.unwrap());
    assert_eq!(waiting(bench, &at, "r", 2).await, 2);
}

#[tokio::test]
async fn the_broker_inside_keeps_the_contract() {
    let broker: Arc<dyn Broker> = Arc::new(Memory::default());
    let bench = Bench {
        broker,
        address: queue,
        too_large: None,
        leaves_out_repetitions: false,
        has_nowhere: false,
        is_real: false,
    };
    all(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_keeps_the_contract() {
    let Some(process) = Process::start(Kind::Rabbit) else { return };
    let bench = Bench {
        broker: Arc::new(process.amqp()),
        address: queue,
        too_large: Some(9 << 20),
        leaves_out_repetitions: false,
        has_nowhere: true,
        is_real: true,
    };
    all(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_keeps_the_contract() {
    let Some(process) = Process::start(Kind::Nats) else { return };
    let bench = Bench {
        broker: Arc::new(process.nats_client()),
        address: subject,
        too_large: Some(2 << 20),
        leaves_out_repetitions: true,
        has_nowhere: true,
        is_real: true,
    };
    all(&bench).await;
}
