//! Dead letters on real brokers.

use std::sync::Arc;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use bifocal::messaging::flow::{Bounds, Flow, State};
use bifocal::messaging::letters::{Errand, Filter, Letters, Outcome};
use bifocal::messaging::message::Value;
use bifocal::messaging::seen::{Seen, Volatile};
use bifocal::rules::channel::Address;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::broker_process::{Kind, Process};
use super::contract::subject;
use super::letters::{everything, mended, outcomes};
use super::{Fixed, RULES, flows, header, message, plan, queue, text};

const PATIENCE: Duration = Duration::from_secs(60);

/// One flow, from `in` to `out`.
struct Line {
    flow: Flow,
    rules: Arc<Fixed>,
    service: String,
}

fn written(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Rabbit => format!("{{broker: m, queue: {name}}}"),
        Kind::Nats => format!("{{broker: m, subject: {name}, stream: S-{name}}}"),
    }
}

fn address(kind: Kind, name: &str) -> Address {
    if kind == Kind::Rabbit { queue(name) } else { subject(name) }
}

impl Line {
    async fn lay(kind: Kind, broker: &Arc<dyn Broker>, more: &str) -> Self {
        let service = format!(
            "versions: {{v1: , v2: }}\nchannels:\n  orders:\n{more}    versions:\n      v1: {{ingress: {}}}\n      \
             v2: {{egress: {}}}\n",
            written(kind, "in"),
            written(kind, "out")
        );
        let rules = Fixed::new(plan(&service, RULES));
        let seen: Arc<dyn Seen> = Arc::new(Volatile::default());
        let mut flow = flows(broker, &rules, &seen).remove(0);
        let dead = address(kind, "dead");
        flow.status = Flow::status("shop", &flow.of, dead.clone());
        flow.dead = (broker.clone(), dead);
        flow.bounds = Bounds { longest_pause: Duration::from_millis(500), ..flow.bounds };
        for name in ["in", "out"] {
            broker.make(&address(kind, name)).await.unwrap();
        }
        Self { flow, rules, service }
    }

    fn run(&self) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(self.flow.clone().run(stopped)))
    }

    fn letters(&self) -> Letters {
        Letters::new(vec![self.flow.clone()], Arc::default())
    }

    /// Waits until there are as many letters.
    async fn letters_are(&self, count: usize) {
        let letters = self.letters();
        let waiting = async {
            while letters.list(&Filter::default(), 100).await.rows.len() != count {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never {count} letters"));
    }
}

async fn write(broker: &Arc<dyn Broker>, to: &Address, messages: Vec<bifocal::messaging::message::Message>) {
    let mut sink = broker.sink().await.unwrap();
    for message in messages {
        let confirm = sink.enqueue(to, message, None).await.unwrap();
        timeout(PATIENCE, confirm).await.unwrap().unwrap();
    }
}

/// Waits until a broker says that so many wait.
async fn waits(broker: &Arc<dyn Broker>, at: &Address, reader: &str, count: u64) {
    let waiting = async {
        while broker.waiting(at, reader).await.ok().flatten() != Some(count) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never {count} at {at}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_real_brokers_are_listed_and_sent_on() {
    for kind in [Kind::Rabbit, Kind::Nats] {
        let Some(process) = Process::start(kind) else { continue };
        let broker: Arc<dyn Broker> = match kind {
            Kind::Rabbit => Arc::new(process.amqp()),
            Kind::Nats => Arc::new(process.nats_client()),
        };
        let line = Line::lay(kind, &broker, "").await;
        let (stop, task) = line.run();
        let mut poison = message("a", None, r#"{"total":"x"}"#);
        poison.headers.push("X-Shop", Value::text("s"));
        let mut nameless = message("", None, r#"{"total":"y"}"#);
        nameless.properties.message_id = None;
        let all = vec![poison, nameless, message("c", None, "no"), message("d", None, r#"{"total":1}"#)];
        write(&broker, &address(kind, "in"), all).await;
        line.letters_are(3).await;
        let letters = line.letters();
        // By the rules of then all of them come back, and each is still there once.
        let again = letters.redrive(&everything()).await;
        assert!(again.problems.is_empty(), "{kind:?}: {again:?}");
        assert!(outcomes(&again.letters).iter().all(|one| matches!(one, Outcome::Again(..))), "{kind:?}: {again:?}");
        let rows = letters.list(&Filter::default(), 10).await.rows;
        assert_eq!(rows.iter().map(|row| row.facts.attempts).collect::<Vec<_>>(), [2, 2, 2], "{kind:?}");
        let (_, letter, _) = letters.show("shop/orders/v1", &rows[0].facts.id).await.unwrap().unwrap();
        assert_eq!((text(&letter.message), header(&letter.message, "X-Shop")), (r#"{"total":"x"}"#, "s"));
        let (_, letter, _) = letters.show("shop/orders/v1", &rows[1].facts.id).await.unwrap().unwrap();
        assert_eq!(letter.message.properties.message_id, None, "{kind:?}: the writer gave none");

        line.rules.replace(plan(&line.service, &mended()));
        let done = letters.redrive(&Errand { before: Some(again.before), ..everything() }).await;
        assert!(done.letters.is_empty(), "{kind:?}: what has come back since then: {done:?}");
        let mut done = letters.redrive(&everything()).await;
        done.letters.sort_by_key(|(facts, _)| facts.order);
        assert!(
            matches!(outcomes(&done.letters)[..], [Outcome::Sent, Outcome::Sent, Outcome::Again("not_json", ..)]),
            "{kind:?}: {done:?}"
        );
        assert_eq!(letters.list(&Filter::default(), 10).await.rows.len(), 1, "{kind:?}");
        let mut reader = broker.source(&address(kind, "out"), "r", 10).await.unwrap();
        let mut come = Vec::new();
        for _ in 0..3 {
            let one = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
            come.push((text(&one.message).to_owned(), header(&one.message, "bifocal-redrive").is_empty()));
            one.settle.done().await.unwrap();
        }
        let expected = [(r#"{"price":"0.01"}"#, true), (r#"{"price":"x"}"#, false), (r#"{"price":"y"}"#, false)];
        assert_eq!(come, expected.map(|(text, is_new)| (text.to_owned(), is_new)), "{kind:?}");
        stop.send(true).unwrap();
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_address_that_is_down_stops_the_intake() {
    let (Some(rabbit), Some(mut nats)) = (Process::start(Kind::Rabbit), Process::start(Kind::Nats)) else { return };
    let broker: Arc<dyn Broker> = Arc::new(rabbit.amqp());
    let mut line = Line::lay(Kind::Rabbit, &broker, "").await;
    line.flow.bounds.in_flight = 4;
    line.flow.bounds.confirm = Duration::from_secs(2);
    line.flow.dead = (Arc::new(nats.nats_client()), subject("dead"));
    let (stop, task) = line.run();
    write(&broker, &queue("in"), vec![message("first", None, r#"{"total":1}"#)]).await;
    waits(&broker, &queue("out"), "r", 1).await;
    nats.kill_9();
    write(&broker, &queue("in"), vec![message("poison", None, "no")]).await;
    let waiting = async {
        while !matches!(line.flow.status.state(), State::Waiting(_)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
    let good = (0..20).map(|id| message(&format!("good {id}"), None, r#"{"total":1}"#)).collect();
    write(&broker, &queue("in"), good).await;
    // A broker may have handed over as many as may be under way; the rest stays where it is, and so does the poison.
    waits(&broker, &queue("in"), "r", 17).await;
    assert_eq!(broker.waiting(&queue("out"), "r").await.unwrap(), Some(1), "nothing is taken meanwhile");
    nats.restart();
    line.letters_are(1).await;
    waits(&broker, &queue("out"), "r", 21).await;
    waits(&broker, &queue("in"), "r", 0).await;
    let rows = line.letters().list(&Filter::default(), 10).await.rows;
    assert_eq!((rows[0].facts.reason.as_str(), rows[0].facts.position.as_str()), ("not_json", ""));
    stop.send(true).unwrap();
    task.await.unwrap();
}
