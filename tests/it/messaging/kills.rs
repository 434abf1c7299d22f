//! Gateways and brokers that are killed while messages flow: nothing is lost, nothing overtakes.
//!
//! The process that is killed is this program, started again for [`runs_flows`] alone. `tests/full/messages` runs the long
//! form.

#![expect(clippy::cast_precision_loss, reason = "rates of some thousand messages")]
#![expect(clippy::print_stdout, reason = "the long form is run for its table")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bifocal::messaging::broker::{Broker, Source};
use bifocal::messaging::brokers::amqp::{self, Amqp};
use bifocal::messaging::brokers::nats::{self, Nats};
use bifocal::messaging::flow::{Bounds, Flow, Rules};
use bifocal::messaging::replies::pending::Pending;
use bifocal::messaging::seen::Volatile;
use bifocal::rules::channel::Address;
use bifocal::store::Store;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::watch;
use tokio::time::timeout;

use super::broker_process::{Kind, Process};
use super::contract::subject;
use super::{Fixed, RULES, message, plan, queue, text, until_it_serves};

/// What the process that is killed is told: how it carries, and from where to where.
const TOLD: &str = "BIFOCAL_KILLS";

/// A broker at a port.
pub(super) fn broker(kind: Kind, port: u16) -> Arc<dyn Broker> {
    match kind {
        Kind::Rabbit => {
            let urls = vec![format!("amqp://guest:guest@127.0.0.1:{port}/%2f")];
            Arc::new(Amqp::new(amqp::Settings { urls, ..amqp::Settings::default() }))
        }
        Kind::Nats => {
            let urls = vec![format!("nats://127.0.0.1:{port}")];
            Arc::new(Nats::new(nats::Settings { urls, ack_wait: Duration::from_secs(4), ..nats::Settings::default() }))
        }
    }
}

fn address(kind: Kind, name: &str) -> Address {
    if kind == Kind::Rabbit { queue(name) } else { subject(name) }
}

/// The flow from the readers of one version to those of the other.
pub(super) fn flow(source: (Kind, Arc<dyn Broker>, &str), target: (Kind, Arc<dyn Broker>, &str)) -> Flow {
    let written = |kind: Kind, name: &str| match kind {
        Kind::Rabbit => format!("{{broker: m, queue: {name}}}"),
        Kind::Nats => format!("{{broker: m, subject: {name}, stream: S-{name}}}"),
    };
    let service = format!(
        "versions: {{v1: , v2: }}\nchannels:\n  orders:\n    versions:\n      v1: {{ingress: {}}}\n      v2: {{egress: {}}}\n",
        written(source.0, source.2),
        written(target.0, target.2)
    );
    let rules = Fixed::new(plan(&service, RULES));
    let plan = rules.snapshot("shop").unwrap().plan;
    let channel = plan.channels.first().unwrap();
    let of = channel.flows.first().unwrap().clone();
    Flow {
        service: "shop".into(),
        channel: channel.name.clone(),
        status: Flow::status("shop", &of, address(source.0, &format!("{}-dead", source.2))),
        of,
        dead: (source.1.clone(), address(source.0, &format!("{}-dead", source.2))),
        source: source.1,
        targets: vec![target.1],
        seen: Arc::new(Volatile::default()),
        pending: Pending::new(Store::memory()),
        rules,
        bounds: Bounds { in_flight: 64, longest_pause: Duration::from_secs(1), ..Bounds::default() },
    }
}

/// The process that is killed. Without being told, it is no test.
#[tokio::test(flavor = "multi_thread")]
async fn runs_flows() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let parts: Vec<&str> = told.split(' ').collect();
    let kind = |text: &str| if text == "Rabbit" { Kind::Rabbit } else { Kind::Nats };
    let [how, from_kind, from_port, from, to_kind, to_port, to, memory] = parts[..] else { panic!("{told}") };
    let (from_kind, to_kind) = (kind(from_kind), kind(to_kind));
    let source = broker(from_kind, from_port.parse().unwrap());
    let target = broker(to_kind, to_port.parse().unwrap());
    if how == "flow" {
        let (_stop, stopped) = watch::channel(false);
        flow((from_kind, source, from), (to_kind, target, to)).run(stopped).await;
    } else {
        naive(how, (&*source, address(from_kind, from)), (&*target, address(to_kind, to)), memory).await;
    }
}

/// Bridges as they are often written: one acknowledges first, the other remembers first.
async fn naive(how: &str, (source, from): (&dyn Broker, Address), (target, to): (&dyn Broker, Address), memory: &str) {
    let mut seen: BTreeSet<String> =
        std::fs::read_to_string(memory).unwrap_or_default().lines().map(str::to_owned).collect();
    let mut file = std::fs::File::options().create(true).append(true).open(memory).unwrap();
    let mut reader = source.source(&from, "naive", 64).await.unwrap();
    let mut sink = target.sink().await.unwrap();
    loop {
        let mut batch = vec![reader.next().await.unwrap()];
        while let Ok(one) = timeout(Duration::from_millis(5), reader.next()).await {
            batch.push(one.unwrap());
            if batch.len() == 64 {
                break;
            }
        }
        let mut settles = Vec::new();
        let mut messages = Vec::new();
        for one in batch {
            let id = one.message.properties.message_id.clone().unwrap();
            if how == "ack-first" {
                one.settle.done().await.unwrap();
                messages.push(one.message);
            } else {
                if seen.insert(id.clone()) {
                    writeln!(file, "{id}").unwrap();
                    messages.push(one.message);
                }
                settles.push(one.settle);
            }
        }
        for message in messages {
            sink.enqueue(&to, message, None).await.unwrap().await.unwrap();
        }
        for settle in settles {
            settle.done().await.unwrap();
        }
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) lost: usize,
    pub(super) duplicates: usize,
    pub(super) reordered: usize,
    wrong: usize,
}

struct Run<'r> {
    how: &'r str,
    from: (&'r Process, Kind),
    to: (&'r Process, Kind),
    count: usize,
    kills: usize,
}

impl Run<'_> {
    fn name(&self) -> String {
        format!("{}-{:?}-{:?}", self.how, self.from.1, self.to.1)
    }

    fn child(&self, memory: &str) -> Child {
        let (from, to) = (format!("from-{}", self.name()), format!("to-{}", self.name()));
        let told = format!(
            "{} {:?} {} {from} {:?} {} {to} {memory}",
            self.how, self.from.1, self.from.0.port, self.to.1, self.to.0.port
        );
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "messaging::kills::runs_flows", "--nocapture"])
            .env(TOLD, told)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn run(&self) -> Outcome {
        let source = broker(self.from.1, self.from.0.port);
        let target = broker(self.to.1, self.to.0.port);
        let from = address(self.from.1, &format!("from-{}", self.name()));
        let to = address(self.to.1, &format!("to-{}", self.name()));
        source.make(&from).await.unwrap();
        target.make(&to).await.unwrap();
        let mut sink = source.sink().await.unwrap();
        let mut confirms = Vec::new();
        for id in 0..self.count {
            let one = message(&id.to_string(), None, &format!(r#"{{"total":{id},"nick":"n"}}"#));
            confirms.push(sink.enqueue(&from, one, None).await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
        let began = Instant::now();
        let memory = tempfile::NamedTempFile::new().unwrap();
        let memory = memory.path().to_str().unwrap().to_owned();
        let mut child = self.child(&memory);
        for kill in 1..=self.kills {
            // In the middle of the work, wherever that is by then.
            let until = (self.count * kill / (self.kills + 1)) as u64;
            let since = Instant::now();
            while target.waiting(&to, "nobody").await.unwrap().unwrap() < until
                && since.elapsed() < Duration::from_secs(20)
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            child = self.child(&memory);
        }
        let mut judge = Judge::default();
        let mut reader = target.source(&to, "judge", 512).await.unwrap();
        judge.read(&mut reader, self.count, Duration::from_secs(if self.how == "flow" { 60 } else { 8 })).await;
        let seconds = began.elapsed().as_secs_f64();
        // What comes twice may come late.
        judge.read(&mut reader, usize::MAX, Duration::from_secs(2)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let outcome = judge.outcome(self.count, self.how == "flow");
        println!(
            "{:<24} {:>7} messages {:>3} kills: lost {:>4} duplicates {:>4} reordered {:>4} wrong {:>3}; {:>5.0} a second",
            self.name(),
            self.count,
            self.kills,
            outcome.lost,
            outcome.duplicates,
            outcome.reordered,
            outcome.wrong,
            self.count as f64 / seconds
        );
        outcome
    }
}

/// Reads what has arrived.
#[derive(Default)]
pub(super) struct Judge {
    seen: BTreeMap<usize, usize>,
    firsts: Vec<usize>,
    bodies: Vec<(usize, String)>,
}

impl Judge {
    /// Until as many different ones have come, or none comes for a while.
    pub(super) async fn read(&mut self, reader: &mut Box<dyn Source>, until: usize, patience: Duration) {
        while self.seen.len() < until {
            let Ok(one) = timeout(patience, reader.next()).await else { return };
            let one = one.unwrap();
            let id = one.message.properties.message_id.as_deref().unwrap().parse().unwrap();
            let times = self.seen.entry(id).or_default();
            *times += 1;
            if *times == 1 {
                self.firsts.push(id);
            }
            self.bodies.push((id, text(&one.message).to_owned()));
            one.settle.done().await.unwrap();
        }
    }

    pub(super) fn outcome(&self, count: usize, is_translated: bool) -> Outcome {
        let reference = |id: usize| format!(r#"{{"price":"{}.{:02}","name":"n"}}"#, id / 100, id % 100);
        Outcome {
            lost: count - self.seen.len(),
            duplicates: self.seen.values().map(|times| times - 1).sum(),
            reordered: self.firsts.iter().zip(self.firsts.iter().skip(1)).filter(|(one, next)| one > next).count(),
            wrong: self.bodies.iter().filter(|(id, body)| is_translated && *body != reference(*id)).count(),
        }
    }
}

/// A quorum queue that gives nothing to a new reader before the old one is gone, and what it had is back in its place. After
/// a crash, any other gives out what is behind that for as long as it takes to find out.
async fn single_active(port: u16, name: &str) {
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), durable, arguments).await.unwrap();
}

pub(super) fn number(name: &str, short: usize) -> usize {
    std::env::var(name).ok().map_or(short, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_loses_nothing() {
    let (Some(rabbit), Some(nats)) = (Process::start(Kind::Rabbit), Process::start(Kind::Nats)) else { return };
    let (count, kills) = (number("BIFOCAL_MESSAGES", 1500), number("BIFOCAL_KILL_COUNT", 3));
    let (rabbit, nats) = ((&rabbit, Kind::Rabbit), (&nats, Kind::Nats));
    for (from, to) in [(rabbit, rabbit), (nats, nats), (rabbit, nats), (nats, rabbit)] {
        let run = Run { how: "flow", from, to, count, kills };
        let outcome = run.run().await;
        let what = format!("{}: {outcome:?}", run.name());
        assert_eq!((outcome.lost, outcome.reordered, outcome.wrong), (0, 0, 0), "{what}");
        let most = if to.1 == Kind::Nats { 0 } else { kills * 64 };
        assert!(outcome.duplicates <= most, "{what}");
    }
    for how in ["ack-first", "mark-first"] {
        let outcome = Run { how, from: rabbit, to: rabbit, count, kills: kills.min(3) }.run().await;
        assert!(outcome.lost > 0, "the checks do not bite: {how} {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_loses_nothing_and_its_flow_goes_on() {
    let (count, kills) = (number("BIFOCAL_MESSAGES", 400), number("BIFOCAL_BROKER_KILLS", 1));
    for kind in [Kind::Rabbit, Kind::Nats] {
        let Some(mut process) = Process::start(kind) else { continue };
        let client = broker(kind, process.port);
        let (from, to) = (address(kind, "in"), address(kind, "out"));
        if kind == Kind::Rabbit {
            single_active(process.port, "in").await;
        }
        for at in [&from, &to] {
            client.make(at).await.unwrap();
        }
        let (stop, stopped) = watch::channel(false);
        let carrying = flow((kind, client.clone(), "in"), (kind, client.clone(), "out"));
        let status = carrying.status.clone();
        let carrying = tokio::spawn(carrying.run(stopped));
        let (mut judge, mut next, began) = (Judge::default(), 0, Instant::now());
        for round in 0..=kills {
            let mut sink = until_it_serves(async || client.sink().await).await;
            let mut confirms = Vec::new();
            for id in next..next + count {
                let one = message(&id.to_string(), None, &format!(r#"{{"total":{id},"nick":"n"}}"#));
                confirms.push(sink.enqueue(&from, one, None).await.unwrap());
            }
            next += count;
            for confirm in confirms {
                confirm.await.unwrap();
            }
            drop(sink);
            if round < kills {
                let half = (next - count / 2) as u64;
                while status.counts.published.load(std::sync::atomic::Ordering::Relaxed) < half {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                process.restart();
            }
        }
        let mut reader = until_it_serves(async || client.source(&to, "judge", 512).await).await;
        judge.read(&mut reader, next, Duration::from_secs(60)).await;
        let rate = next as f64 / began.elapsed().as_secs_f64();
        judge.read(&mut reader, usize::MAX, Duration::from_secs(1)).await;
        stop.send(true).unwrap();
        carrying.await.unwrap();
        let outcome = judge.outcome(next, true);
        println!("{kind:?}: {next} messages, {kills} kills of the broker: {outcome:?}; {rate:.0} a second");
        assert_eq!((outcome.lost, outcome.reordered, outcome.wrong), (0, 0, 0), "{kind:?}: {outcome:?}");
        assert!(outcome.duplicates <= kills * if kind == Kind::Nats { 0 } else { 64 }, "{kind:?}: {outcome:?}");
    }
}
