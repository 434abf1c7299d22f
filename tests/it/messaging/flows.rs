//! What a flow does with messages, one kind at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bifocal::messaging::broker::{Boxed, Unpublished};
use bifocal::messaging::brokers::memory::{Faults, Memory, Step};
use bifocal::messaging::flow::State;
use bifocal::messaging::message::Message;

use tokio::sync::Notify;

use super::{Fixed, RULES, Running, arrived, header, message, plan, queue, service, text};

#[tokio::test]
async fn messages_reach_the_readers_of_the_other_version() {
    let broker = Memory::default();
    let running = Running::start(&broker, &Fixed::new(plan(&service(""), RULES)));
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":1999,"nick":"x","big":9007199254740993}"#));
    broker.put(&queue("in.v2"), message("b", None, r#"{"price":"0.05","name":"y"}"#));
    let up = arrived(&broker, &queue("out.v2"), 1).await;
    let down = arrived(&broker, &queue("out.v1"), 1).await;
    assert_eq!(text(&up[0]), r#"{"price":"19.99","name":"x","big":9007199254740993}"#);
    assert_eq!(text(&down[0]), r#"{"total":5,"nick":"y"}"#);
    assert_eq!(up[0].properties.message_id.as_deref(), Some("a"), "the writer's id stays what it is");
    assert_eq!(header(&up[0], "bifocal-version"), "v2");
    assert_eq!(header(&up[0], "bifocal-path"), "shop/orders@v1>v2");
    running.stop().await;
    assert_eq!(broker.unsettled(&queue("in.v1")) + broker.unsettled(&queue("in.v2")), 0);
}

#[tokio::test]
async fn poison_goes_to_the_dead_letters_and_neighbours_flow_on() {
    let broker = Memory::default();
    let running = Running::start(&broker, &Fixed::new(plan(&service("    attempts: 3\n"), RULES)));
    let deep = "[".repeat(100_000);
    let large = format!("\"{}\"", "x".repeat(11 << 20));
    let mut other_type = message("t", None, "{}");
    other_type.properties.content_type = Some("application/avro".into());
    let mut unknown = message("u", None, "{}");
    unknown.headers.set("bifocal-version", "v99");
    let mut looping = message("l", None, "{}");
    looping.headers.set("bifocal-path", ["other/x@a>b"; 8].join(", "));
    let not_utf8 = Message { body: vec![b'"', 0xff, b'"'].into(), ..Message::default() };
    let poison = [
        (message("1", None, r#"{"a":"#), "not_json"),
        (message("2", None, ""), "not_json"),
        (message("3", None, r#"{"total":1,"total":2}"#), "not_json"),
        (message("4", None, &deep), "not_json"),
        (message("5", None, &large), "too_large"),
        (message("6", None, r#"{"total":"many"}"#), "rule_error"),
        (not_utf8, "not_json"),
        (other_type, "not_json"),
        (unknown, "unknown_version"),
        (looping, "loop"),
    ];
    for (index, (bad, _)) in poison.iter().enumerate() {
        broker.put(&queue("in.v1"), bad.clone());
        broker.put(&queue("in.v1"), message(&format!("good-{index}"), None, &format!(r#"{{"total":{index}}}"#)));
    }
    let dead = arrived(&broker, &queue("dead"), poison.len()).await;
    let good = arrived(&broker, &queue("out.v2"), poison.len()).await;
    assert_eq!(good.len(), poison.len());
    for (letter, (bad, reason)) in dead.iter().zip(&poison) {
        assert_eq!(header(letter, "bifocal-dead-reason"), *reason, "{:?}", header(letter, "bifocal-dead-detail"));
        assert_eq!(letter.body, bad.body, "the original bytes");
        assert_eq!(header(letter, "bifocal-dead-flow"), "shop/orders/v1");
        assert_eq!(header(letter, "bifocal-dead-to"), "v2");
        assert!(!header(letter, "bifocal-dead-detail").contains("many"), "no value of the message");
    }
    running.stop().await;
    assert_eq!(broker.unsettled(&queue("in.v1")), 0);
}

#[tokio::test]
async fn an_id_that_was_seen_is_left_out_and_one_with_another_body_is_told() {
    let broker = Memory::default();
    let running = Running::start(&broker, &Fixed::new(plan(&service(""), RULES)));
    for _ in 0..3 {
        broker.put(&queue("in.v1"), message("a", None, r#"{"total":1}"#));
    }
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":2}"#));
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":3}"#));
    let dead = arrived(&broker, &queue("dead"), 1).await;
    let out = arrived(&broker, &queue("out.v2"), 2).await;
    running.stop().await;
    assert_eq!(header(&dead[0], "bifocal-dead-reason"), "id_conflict");
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), [r#"{"price":"0.01"}"#, r#"{"price":"0.03"}"#]);
    assert_eq!(broker.all(&queue("out.v2")).len(), 2);
}

#[tokio::test]
async fn a_halted_flow_goes_on_with_better_rules() {
    let broker = Memory::default();
    let rules = Fixed::new(plan(&service("    on_poison: halt\n"), RULES));
    let running = Running::start(&broker, &rules);
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":1}"#));
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":"x"}"#));
    broker.put(&queue("in.v1"), message("c", None, r#"{"total":3}"#));
    arrived(&broker, &queue("out.v2"), 1).await;
    let status = running.flows.iter().find(|flow| flow.name == "shop/orders/v1").unwrap();
    while !matches!(status.state(), State::Halted(_)) {
        tokio::task::yield_now().await;
    }
    let mended = RULES
        .replace("{decimal: 2}", "{type: [any, any]}")
        .replace("total = price: {type: [any, any]}", "total = price");
    rules.replace(plan(&service("    on_poison: halt\n"), &mended));
    let out = arrived(&broker, &queue("out.v2"), 3).await;
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), [r#"{"price":"0.01"}"#, r#"{"price":"x"}"#, r#"{"price":3}"#]);
    running.stop().await;
}

/// Confirms the first message when it is told to, and the second one not at all.
#[derive(Default)]
struct Hesitant {
    asked: AtomicUsize,
    first: Arc<Notify>,
}

impl Faults for Hesitant {
    fn at<'f>(&'f self, step: Step, at: &'f str, _: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
        Box::pin(async move {
            if step != Step::Store || !at.contains("/out.v2") {
                return Ok(());
            }
            match self.asked.fetch_add(1, Ordering::SeqCst) {
                0 => self.first.notified().await,
                1 => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    return Err(Unpublished::Refused("not now".into()));
                }
                _ => {}
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_flow_is_about_to_halt_poison_is_no_letter() {
    let faults = Hesitant::default();
    let first = faults.first.clone();
    let broker = Memory::with_faults(Box::new(faults));
    broker.put(&queue("in.v1"), message("k", Some("key"), r#"{"total":1}"#));
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":2}"#));
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":"x"}"#));
    let running = Running::start(&broker, &Fixed::new(plan(&service("    on_poison: halt\n"), RULES)));
    // By then the second one would have been sent again, and the poison with it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.notify_one();
    let status = running.flows.iter().find(|flow| flow.name == "shop/orders/v1").unwrap();
    while !matches!(status.state(), State::Halted(_)) {
        tokio::task::yield_now().await;
    }
    assert!(broker.all(&queue("dead")).is_empty());
    assert_eq!(broker.unsettled(&queue("in.v1")), 2, "the poison, and the one that was not confirmed");
    running.stop().await;
}

#[tokio::test]
async fn behind_a_parked_message_its_key_waits_with_the_dead_letters() {
    let broker = Memory::default();
    let running = Running::start(&broker, &Fixed::new(plan(&service("    on_poison: park_key\n"), RULES)));
    for (id, key, total) in [("1", "a", "1"), ("2", "b", "\"x\""), ("3", "b", "2"), ("4", "a", "3"), ("5", "b", "4")] {
        broker.put(&queue("in.v1"), message(id, Some(key), &format!(r#"{{"total":{total}}}"#)));
    }
    let dead = arrived(&broker, &queue("dead"), 3).await;
    let out = arrived(&broker, &queue("out.v2"), 2).await;
    let reasons: Vec<_> = dead.iter().map(|one| header(one, "bifocal-dead-reason")).collect();
    assert_eq!(reasons, ["rule_error", "parked", "parked"]);
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), [r#"{"price":"0.01"}"#, r#"{"price":"0.03"}"#]);
    running.stop().await;
}

#[tokio::test]
async fn a_mirror_shows_each_message_once_and_stops() {
    let broker = Memory::default();
    let both = "versions: {v1: , v2: }\nchannels:\n  orders:\n    topology: mirror\n    versions:\n      \
                v1: {ingress: {broker: m, stream: S, subject: o.v1}, egress: {broker: m, subject: o.v1}}\n      \
                v2: {ingress: {broker: m, stream: S, subject: o.v2}, egress: {broker: m, subject: o.v2}}\n";
    let running = Running::start(&broker, &Fixed::new(plan(both, RULES)));
    let subject = |name: &str| bifocal::rules::channel::Address::Subject {
        broker: "m".into(),
        subject: name.into(),
        stream: None,
    };
    broker.put(&subject("o.v1"), message("a", None, r#"{"total":1}"#));
    broker.put(&subject("o.v2"), message("b", None, r#"{"price":"0.02"}"#));
    arrived(&broker, &subject("o.v1"), 2).await;
    arrived(&broker, &subject("o.v2"), 2).await;
    for flow in &running.flows {
        while flow.counts.settled.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    }
    running.stop().await;
    let texts = |name| broker.all(&subject(name)).iter().map(|one| text(one).to_owned()).collect::<Vec<_>>();
    assert_eq!(texts("o.v1"), [r#"{"total":1}"#, r#"{"total":2}"#]);
    assert_eq!(texts("o.v2"), [r#"{"price":"0.02"}"#, r#"{"price":"0.01"}"#]);
}
