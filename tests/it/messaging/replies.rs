//! Requests by message: replies reach whoever has asked, in its version, once, whatever ends in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bifocal::messaging::broker::Broker;
use bifocal::messaging::brokers::memory::{Memory, Step};
use bifocal::messaging::flow::Rules;
use bifocal::messaging::message::Message;
use bifocal::messaging::replies::pending::Pending;
use bifocal::messaging::seen::{Seen, Volatile};
use bifocal::store::{Store, now};
use tokio::sync::watch;

use super::crashes::{Crash, Moody};
use super::{Fixed, Running, arrived, changed, flows_of, header, message, plan, queue, text, until};

/// An order is asked for by its number, and answered with its total or an error.
pub(super) const RULES: &str = "types:\n  Ask:\n    - number = id\n  Answer:\n    - on: state = status\n      cases:\n        \
    ok = OK: [total = price: {decimal: 2}]\n        failed = FAILED: [why = reason]\n\
    messages:\n  orders: Ask\n  answers: Answer\n";

/// Old requesters, a new service.
pub(super) fn service(timeout: &str) -> String {
    format!(
        "versions: {{v1: , v2: }}\nchannels:\n  answers: {{versions: {{v1: , v2: }}}}\n  orders:\n    \
         replies: {{channel: answers, address: {{broker: m, queue: own.replies}}, timeout: {timeout}}}\n    versions:\n      \
         v1: {{ingress: {{broker: m, queue: in.v1}}}}\n      v2: {{egress: {{broker: m, queue: out.v2}}}}\n"
    )
}

fn rules(timeout: &str) -> Arc<Fixed> {
    Fixed::new(plan(&service(timeout), RULES))
}

fn request(id: u64) -> Message {
    let mut asked = message(&format!("m{id}"), None, &format!(r#"{{"number":{id}}}"#));
    asked.properties.reply_to = Some("back".into());
    asked.properties.correlation_id = Some(format!("c{id}"));
    asked
}

/// What the new service answers to a request as it has come.
fn answer(asked: &Message) -> (String, Message) {
    let id: u64 = text(asked).trim_start_matches(r#"{"id":"#).trim_end_matches('}').parse().unwrap();
    let body = if id % 5 == 4 {
        format!(r#"{{"status":"FAILED","reason":"no {id}"}}"#)
    } else {
        format!(r#"{{"status":"OK","price":"{id}.50"}}"#)
    };
    let mut reply = message(&format!("r{id}"), None, &body);
    reply.properties.correlation_id.clone_from(&asked.properties.correlation_id);
    (asked.properties.reply_to.clone().unwrap(), reply)
}

fn expected(id: u64) -> String {
    if id % 5 == 4 {
        format!(r#"{{"state":"failed","why":"no {id}"}}"#)
    } else {
        format!(r#"{{"state":"ok","total":{}}}"#, id * 100 + 50)
    }
}

/// A service that is never ended: it answers every request that it has not seen.
#[derive(Default)]
struct Service(usize);

impl Service {
    fn work(&mut self, broker: &Memory) {
        let all = broker.all(&queue("out.v2"));
        for asked in all.iter().skip(self.0) {
            let (to, reply) = answer(asked);
            broker.put(&queue(&to), reply);
        }
        self.0 = all.len();
    }
}

fn start(broker: &Memory, rules: &Arc<Fixed>, pending: &Pending) -> Running {
    let shared: Arc<dyn Broker> = Arc::new(broker.clone());
    let seen: Arc<dyn Seen> = Arc::new(Volatile::default());
    Running::of(flows_of(&shared, rules, &seen, pending))
}

fn reasons(letters: &[Message]) -> Vec<&str> {
    letters.iter().map(|one| header(one, "bifocal-dead-reason")).collect()
}

#[tokio::test]
async fn a_reply_reaches_its_requester_in_its_version() {
    let (broker, rules) = (Memory::default(), rules("30s"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    broker.put(&queue("in.v1"), request(3));
    broker.put(&queue("in.v1"), request(4));
    let asked = arrived(&broker, &queue("out.v2"), 2).await;
    for one in &asked {
        assert_eq!(one.properties.reply_to.as_deref(), Some("own.replies"));
        assert_ne!(one.properties.correlation_id.as_deref(), Some("c3"));
        let (to, reply) = answer(one);
        broker.put(&queue(&to), reply);
    }
    let back = arrived(&broker, &queue("back"), 2).await;
    let correlation = |at: usize| back[at].properties.correlation_id.clone().unwrap();
    assert_eq!((text(&back[0]), correlation(0).as_str()), (r#"{"state":"ok","total":350}"#, "c3"));
    assert_eq!((text(&back[1]), correlation(1).as_str()), (r#"{"state":"failed","why":"no 4"}"#, "c4"));
    assert_eq!(back[0].properties.message_id.as_deref(), Some("r3"), "the service's id stays what it is");
    assert_eq!(header(&back[0], "bifocal-version"), "v1");
    running.stop().await;
    assert_eq!(broker.unsettled(&queue("own.replies")) + broker.unsettled(&queue("in.v1")), 0);
}

#[tokio::test]
async fn a_message_that_asks_nothing_passes_as_it_is() {
    let (broker, rules) = (Memory::default(), rules("30s"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    for (id, reply_to) in [(1, None), (2, Some("back")), (3, None), (4, Some(""))] {
        let mut one = request(id);
        one.properties.reply_to = reply_to.map(str::to_owned);
        broker.put(&queue("in.v1"), one);
    }
    let out = arrived(&broker, &queue("out.v2"), 4).await;
    running.stop().await;
    let ids: Vec<_> = out.iter().map(|one| one.properties.message_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["m1", "m2", "m3", "m4"], "in their order, though one of them waits until it is kept");
    let replies: Vec<_> = out.iter().map(|one| one.properties.reply_to.as_deref()).collect();
    assert_eq!(replies, [None, Some("own.replies"), None, Some("")]);
    assert_eq!(out[0].properties.correlation_id.as_deref(), Some("c1"));
}

#[tokio::test]
async fn only_the_first_reply_counts_and_the_others_are_kept_with_their_reason() {
    let (broker, rules) = (Memory::default(), rules("30s"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    broker.put(&queue("in.v1"), request(1));
    let asked = arrived(&broker, &queue("out.v2"), 1).await;
    let (_, first) = answer(&asked[0]);
    let mut second = first.clone();
    second.body = r#"{"status":"OK","price":"9.99"}"#.into();
    let mut unknown = first.clone();
    unknown.properties.correlation_id = Some(format!("{}/v2", "0".repeat(32)));
    let mut foreign = first.clone();
    foreign.properties.correlation_id = Some("c1".into());
    let mut none = first.clone();
    none.properties.correlation_id = None;
    // The first one comes again, as after a crash of the service.
    for one in [first.clone(), second, first, unknown, foreign, none] {
        broker.put(&queue("own.replies"), one);
    }
    let dead = arrived(&broker, &queue("dead"), 4).await;
    running.stop().await;
    assert_eq!(reasons(&dead), ["no_request"; 4]);
    assert_eq!(header(&dead[0], "bifocal-dead-flow"), "shop/orders/replies");
    let back = broker.all(&queue("back"));
    assert_eq!(back.iter().map(text).collect::<Vec<_>>(), [r#"{"state":"ok","total":150}"#]);
    assert_eq!(broker.unsettled(&queue("own.replies")), 0);
}

#[tokio::test]
async fn a_reply_that_comes_too_late_is_told() {
    let (broker, rules) = (Memory::default(), rules("1ms"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    broker.put(&queue("in.v1"), request(1));
    let asked = arrived(&broker, &queue("out.v2"), 1).await;
    let since = now();
    while now() <= since + 1 {
        tokio::task::yield_now().await;
    }
    let (to, reply) = answer(&asked[0]);
    broker.put(&queue(&to), reply.clone());
    let dead = arrived(&broker, &queue("dead"), 1).await;
    running.stop().await;
    assert_eq!(reasons(&dead), ["expired"]);
    assert_eq!(dead[0].body, reply.body, "the original bytes");
    assert_eq!(header(&dead[0], "bifocal-dead-to"), "v1");
    assert_eq!(broker.all(&queue("back")).len(), 0);
}

#[tokio::test]
async fn a_reply_that_cannot_be_translated_leaves_room_for_another() {
    let (broker, rules) = (Memory::default(), rules("30s"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    broker.put(&queue("in.v1"), request(1));
    let asked = arrived(&broker, &queue("out.v2"), 1).await;
    let (_, good) = answer(&asked[0]);
    let mut bad = good.clone();
    bad.body = r#"{"status":"OK","price":"many"}"#.into();
    broker.put(&queue("own.replies"), bad);
    broker.put(&queue("own.replies"), good);
    let back = arrived(&broker, &queue("back"), 1).await;
    running.stop().await;
    assert_eq!(text(&back[0]), r#"{"state":"ok","total":150}"#);
    assert_eq!(reasons(&broker.all(&queue("dead"))), ["rule_error"]);
}

#[tokio::test]
async fn requests_without_names_are_told_apart_and_those_of_one_name_are_asked_again() {
    let (broker, rules) = (Memory::default(), rules("30s"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    let mut service = Service::default();
    // Nothing tells the first two apart; the others have one correlation id, one after the other.
    for round in 0..2 {
        for correlation in [None, None, Some("again")] {
            let mut one = request(1);
            one.properties.message_id = None;
            one.headers.set("bifocal-key", "k");
            one.properties.correlation_id = correlation.map(str::to_owned);
            broker.put(&queue("in.v1"), one);
        }
        arrived(&broker, &queue("out.v2"), (round + 1) * 3).await;
        service.work(&broker);
        arrived(&broker, &queue("back"), (round + 1) * 3).await;
    }
    running.stop().await;
    assert_eq!(broker.all(&queue("dead")).len(), 0);
}

#[tokio::test]
async fn pending_requests_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, rules) = (Memory::default(), rules("1m"));
    let running = start(&broker, &rules, &Pending::new(Store::open(folder.path()).unwrap()));
    for id in 0..20 {
        broker.put(&queue("in.v1"), request(id));
    }
    arrived(&broker, &queue("out.v2"), 20).await;
    running.stop().await;
    Service::default().work(&broker);
    let running = start(&broker, &rules, &Pending::new(Store::open(folder.path()).unwrap()));
    let back = arrived(&broker, &queue("back"), 20).await;
    running.stop().await;
    all_answered(&back, 20, "restart");
    assert_eq!(back.len(), 20);
}

/// Nothing of requesters or of the service is left to do.
fn is_settled(broker: &Memory) -> bool {
    broker.unsettled(&queue("in.v1")) + broker.unsettled(&queue("own.replies")) == 0
}

/// Every requester has a reply, and every reply is right.
fn all_answered(back: &[Message], count: u64, what: &str) {
    let mut replies: BTreeMap<u64, usize> = BTreeMap::new();
    for one in back {
        let id: u64 = one.properties.correlation_id.as_deref().unwrap().trim_start_matches('c').parse().unwrap();
        assert_eq!(text(one), expected(id), "{what}");
        *replies.entry(id).or_default() += 1;
    }
    assert_eq!(replies.len() as u64, count, "{what}: {replies:?}");
}

#[tokio::test]
async fn a_crash_after_any_step_loses_no_request_and_no_reply() {
    const COUNT: u64 = 30;
    let steps = [
        (Step::Give, "in.v1"),
        (Step::Publish, "out.v2"),
        (Step::Store, "out.v2"),
        (Step::Settle, "in.v1"),
        (Step::Give, "own.replies"),
        (Step::Publish, "back"),
        (Step::Store, "back"),
        (Step::Settle, "own.replies"),
    ];
    for at in steps {
        for nth in [1, 2, 13] {
            let what = format!("{at:?} {nth}");
            let (broker, crash) = Crash::broker(at.0, Some(at.1));
            crash.arm(nth);
            let rules = rules("1m");
            let pending = Pending::new(Store::memory());
            for id in 0..COUNT {
                broker.put(&queue("in.v1"), request(id));
            }
            let mut service = Service::default();
            let seen: Arc<dyn Seen> = Arc::new(Volatile::default());
            let shared: Arc<dyn Broker> = Arc::new(broker.clone());
            {
                let (_stop, stopped) = watch::channel(false);
                let running = flows_of(&shared, &rules, &seen, &pending).into_iter();
                let mut all = Box::pin(futures_util::future::join_all(running.map(|flow| flow.run(stopped.clone()))));
                let mut crashed = Box::pin(crash.come());
                loop {
                    tokio::select! {
                        _ = &mut all => {}
                        () = &mut crashed => break,
                        () = changed(&broker) => service.work(&broker),
                    }
                }
            }
            // What was not written is forgotten; what waits for a reply was.
            let running = start(&broker, &rules, &pending);
            let ended = until(&broker, || {
                service.work(&broker);
                (is_settled(&broker) && broker.all(&queue("back")).len() as u64 >= COUNT).then_some(())
            })
            .await;
            let back = broker.all(&queue("back"));
            assert!(ended.is_some(), "{what}: {} replies, {:?}", back.len(), reasons(&broker.all(&queue("dead"))));
            running.stop().await;
            all_answered(&back, COUNT, &what);
            assert_eq!(reasons(&broker.all(&queue("dead"))), [""; 0], "{what}");
            // Only what was published and not yet marked comes twice.
            let most = if at.1 == "back" || at.1 == "own.replies" { COUNT } else { 0 };
            assert!(back.len() as u64 <= COUNT + most, "{what}: {}", back.len());
        }
    }
}

#[tokio::test]
async fn brokers_that_refuse_lose_nothing_either() {
    for seed in 0..6 {
        let broker = Moody::broker(seed, |step| if step == Step::Publish { 6 } else { 2 });
        let rules = rules("1m");
        let running = start(&broker, &rules, &Pending::new(Store::memory()));
        for id in 0..100 {
            let mut one = request(id);
            if seed % 2 == 0 {
                one.headers.set("bifocal-key", format!("k{}", id % 7));
            }
            broker.put(&queue("in.v1"), one);
        }
        let mut service = Service::default();
        let back = || broker.all(&queue("back"));
        let ended = until(&broker, || {
            service.work(&broker);
            let back = back();
            let answered: BTreeSet<_> = back.iter().map(|one| &one.properties.correlation_id).collect();
            (is_settled(&broker) && answered.len() == 100).then_some(())
        })
        .await;
        assert!(ended.is_some(), "seed {seed}: {} replies", back().len());
        all_answered(&back(), 100, &format!("seed {seed}"));
        running.stop().await;
    }
}

#[tokio::test]
async fn rules_that_change_meanwhile_count_for_the_reply() {
    let (broker, rules) = (Memory::default(), rules("30s"));
    let running = start(&broker, &rules, &Pending::new(Store::memory()));
    broker.put(&queue("in.v1"), request(1));
    let asked = arrived(&broker, &queue("out.v2"), 1).await;
    let better = RULES.replace("total = price", "sum = price");
    rules.replace(plan(&service("30s"), &better));
    assert!(rules.snapshot("shop").unwrap().generation > 1);
    let (to, reply) = answer(&asked[0]);
    broker.put(&queue(&to), reply);
    let back = arrived(&broker, &queue("back"), 1).await;
    running.stop().await;
    assert_eq!(text(&back[0]), r#"{"state":"ok","sum":150}"#);
}
