//! What the log says of a broker that goes away and comes back: in our words, each reason once, and nothing else.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use bifocal::messaging::brokers::CLIENTS;
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::broker_process::{Kind, Process};
use super::kills::{broker, flow};
use super::queue;

const TOLD: &str = "BIFOCAL_TOLD_PORT";
const PATIENCE: Duration = Duration::from_secs(60);

/// The process whose log is read. Without being told, it is no test.
#[tokio::test(flavor = "multi_thread")]
async fn runs_a_flow_and_says_so() {
    let Ok(port) = std::env::var(TOLD) else { return };
    // As the gateway has it, where nobody has asked for more.
    let filter = CLIENTS.into_iter().fold(Targets::new().with_default(LevelFilter::INFO), |filter, client| {
        filter.with_target(client, LevelFilter::OFF)
    });
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(filter).with(layer).init();
    let rabbit = broker(Kind::Rabbit, port.parse().unwrap());
    let (_stop, stopped) = watch::channel(false);
    flow((Kind::Rabbit, rabbit.clone(), "in"), (Kind::Rabbit, rabbit, "out")).run(stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once() {
    let Some(mut process) = Process::start(Kind::Rabbit) else { return };
    let client = process.amqp();
    for name in ["in", "out"] {
        client.make(&queue(name)).await.unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "messaging::told::runs_a_flow_and_says_so", "--nocapture"])
        .env(TOLD, process.port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (say, said) = mpsc::sync_channel(1000);
    let errors = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| say.send(line)));
    let mut all = Vec::new();
    let mut until = |words: &str| {
        loop {
            let line = said.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never: {words}; {all:?}"));
            all.push(line);
            if all.last().is_some_and(|line| line.contains(words)) {
                return all.clone();
            }
        }
    };
    until("state=\"running\"");
    process.kill_9();
    until("cannot be reached");
    process.restart();
    let lines = until("state=\"running\"");
    child.kill().unwrap();
    child.wait().unwrap();

    let waits: Vec<&str> = lines.iter().filter(|line| line.contains("the flow waits")).map(String::as_str).collect();
    let reason = |line: &str| line.split_once("why=").unwrap().1.to_owned();
    let mut reasons: Vec<String> = waits.iter().map(|line| reason(line)).collect();
    let count = reasons.len();
    reasons.sort();
    reasons.dedup();
    assert_eq!(reasons.len(), count, "a reason is told twice: {lines:#?}");
    assert!((1..=4).contains(&count), "{lines:#?}");
    for line in &lines {
        let is_ours = line.contains("bifocal::messaging") && !line.contains("ERROR");
        assert!(is_ours, "{line}");
    }
    assert_eq!(lines.iter().filter(|line| line.contains("running")).count(), 2, "{lines:#?}");
}
