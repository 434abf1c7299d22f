//! Dead letters: what is in them, and sending them on.

use std::sync::Arc;

use bifocal::messaging::broker::{Boxed, Broker, Unpublished};
use bifocal::messaging::brokers::memory::{Faults, Memory, Step};
use bifocal::messaging::letters::{Errand, Facts, Filter, Letters, Outcome, Outlook};
use bifocal::messaging::message::{Message, Value};
use bifocal::messaging::seen::{Seen, Volatile};

use super::crashes::Crash;
use super::{Fixed, RULES, Running, arrived, changed, flows, header, message, plan, queue, service, text};

/// Rules that take any total.
pub(super) fn mended() -> String {
    RULES.replace("total = price: {decimal: 2}", "total = price")
}

pub(super) fn everything() -> Errand {
    Errand { most: 100, ..Errand::default() }
}

pub(super) fn outcomes(done: &[(Facts, Outcome)]) -> Vec<&Outcome> {
    done.iter().map(|(_, outcome)| outcome).collect()
}

/// Three versions, the newest canonical: what is written to it goes to the readers of both others.
fn three() -> &'static str {
    "versions: {v1: , v2: , v3: }\nchannels:\n  orders:\n    versions:\n      \
     v1: {egress: {broker: m, queue: out.v1}}\n      v2: {egress: {broker: m, queue: out.v2}}\n      \
     v3: {ingress: {broker: m, queue: in.v3}}\n"
}

#[tokio::test]
async fn a_letter_goes_to_its_readers_and_nobody_else() {
    let broker = Memory::default();
    let texts = |rules: &str| {
        let files = [
            ("service.yaml", three()),
            ("v1-v2.yaml", rules),
            ("v2-v3.yaml", "types:\n  Order:\n    - price = cost\nmessages:\n  orders: Order\n"),
        ];
        let report = bifocal::rules::prove_service(&bifocal::rules::load::ServiceSources::from_texts("shop", files));
        let checked = report.checked.unwrap_or_else(|| panic!("{:?}", report.diagnostics));
        Arc::new(bifocal::plan::ServicePlan::compile(&checked))
    };
    let rules = Fixed::new(texts(RULES));
    let running = Running::start(&broker, &rules);
    let mut poison = message("a", None, r#"{"cost":"much","name":"x"}"#);
    poison.headers.push("X-Shop", Value::text("s"));
    poison.properties.expiration = Some("600000".into());
    broker.put(&queue("in.v3"), poison.clone());
    arrived(&broker, &queue("dead"), 1).await;
    arrived(&broker, &queue("out.v2"), 1).await;

    let listed = running.letters.list(&Filter::default(), 10).await;
    assert!(listed.problems.is_empty() && !listed.more && listed.others == 0);
    let [row] = listed.rows.as_slice() else { panic!("{listed:?}") };
    let facts = &row.facts;
    assert_eq!((facts.flow.as_str(), facts.from.as_str(), facts.to.as_str()), ("shop/orders/v3", "v3", "v1"));
    assert_eq!((facts.reason.as_str(), facts.place.as_str(), facts.attempts), ("rule_error", "price", 1));
    assert_eq!((row.size, facts.rules.as_str()), (poison.body.len(), "r1"));
    assert!(!format!("{listed:?}").contains("much"), "no value of the message");

    let (_, letter, outlook) = running.letters.show("shop/orders/v3", &facts.id).await.unwrap().unwrap();
    assert_eq!((&letter.message.body, header(&letter.message, "X-Shop")), (&poison.body, "s"));
    assert_eq!(letter.message.properties.expiration, poison.properties.expiration);
    assert!(matches!(outlook, Outlook::Fails { reason: "rule_error", .. }), "{outlook:?}");
    assert!(running.letters.show("shop/orders/v3", "none").await.unwrap().is_none());

    // By the rules of now it comes back.
    let again = running.letters.redrive(&everything()).await;
    assert!(matches!(outcomes(&again.letters)[..], [Outcome::Again("rule_error", ..)]), "{again:?}");
    let back = &running.letters.list(&Filter::default(), 10).await.rows;
    assert_eq!((back.len(), back[0].facts.attempts, &back[0].facts.id), (1, 2, &facts.id));
    assert_eq!(back[0].facts.first_at, facts.first_at);

    rules.replace(texts(&mended()));
    let outlook = running.letters.show("shop/orders/v3", &facts.id).await.unwrap().unwrap().2;
    let Outlook::Goes { message, .. } = outlook else { panic!("{outlook:?}") };
    assert_eq!(text(&message), r#"{"total":"much","nick":"x"}"#);
    let dry = running.letters.redrive(&Errand { dry_run: true, ..everything() }).await;
    assert_eq!(outcomes(&dry.letters), [&Outcome::Sent]);
    assert_eq!((broker.all(&queue("out.v1")).len(), broker.all(&queue("dead")).len()), (0, 1));
    let done = running.letters.redrive(&everything()).await;
    assert_eq!((outcomes(&done.letters), done.more), (vec![&Outcome::Sent], false));
    let out = broker.all(&queue("out.v1"));
    assert_eq!(out.iter().map(text).collect::<Vec<_>>(), [r#"{"total":"much","nick":"x"}"#]);
    assert_eq!(out[0].properties.message_id.as_deref(), Some("a"), "the writer's id");
    assert_eq!(header(&out[0], "bifocal-redrive"), facts.id);
    assert_eq!(header(&out[0], "bifocal-path"), "shop/orders@v3>v1");
    assert!(out[0].headers.iter().all(|(name, _)| !name.starts_with("bifocal-dead")));
    assert_eq!(broker.all(&queue("out.v2")).len(), 1, "nobody else");
    assert!(broker.all(&queue("dead")).is_empty());
    running.stop().await;
}

#[tokio::test]
async fn letters_are_chosen_and_bounded() {
    let broker = Memory::default();
    let rules = Fixed::new(plan(&service(""), RULES));
    let running = Running::start(&broker, &rules);
    for id in 0..6 {
        broker.put(&queue("in.v1"), message(&id.to_string(), None, r#"{"total":"x"}"#));
    }
    broker.put(&queue("in.v2"), message("b", None, "no"));
    arrived(&broker, &queue("dead"), 7).await;
    broker.put(&queue("dead"), message("stranger", None, "{}"));
    let by = |flow: Option<&str>, reason: Option<&str>, to: Option<&str>| Filter {
        flow: flow.map(str::to_owned),
        reason: reason.map(str::to_owned),
        to: to.map(str::to_owned),
        id: None,
    };
    let list = async |filter: Filter, most| running.letters.list(&filter, most).await;
    let few = list(by(None, None, None), 3).await;
    assert_eq!((few.rows.len(), few.more), (3, true));
    assert_eq!(list(by(Some("shop/orders/v2"), None, None), 9).await.rows.len(), 1);
    assert_eq!(list(by(None, Some("not_json"), None), 9).await.rows.len(), 1);
    assert_eq!(list(by(None, None, Some("v2")), 9).await.rows.len(), 6);
    let all = list(by(None, None, None), 9).await;
    assert_eq!((all.rows.len(), all.others, all.more), (7, 1, false));

    rules.replace(plan(&service(""), &mended()));
    let mut errand = Errand { filter: by(None, Some("rule_error"), None), most: 4, ..Errand::default() };
    let first = running.letters.redrive(&errand).await;
    assert_eq!((first.letters.len(), first.more), (4, true));
    errand.before = Some(first.before);
    let second = running.letters.redrive(&errand).await;
    assert_eq!((second.letters.len(), second.more), (2, false));
    assert_eq!(broker.all(&queue("out.v2")).len(), 6);
    assert_eq!(broker.all(&queue("dead")).len(), 2, "the other letter, and what is not ours");
    let seventh =
        Errand { filter: Filter { id: Some(all.rows[6].facts.id.clone()), ..Filter::default() }, ..everything() };
    assert!(matches!(outcomes(&running.letters.redrive(&seventh).await.letters)[..], [Outcome::Again("not_json", ..)]));
    running.stop().await;
}

#[tokio::test]
async fn a_conflicting_id_is_no_reason_to_leave_a_letter_out() {
    let broker = Memory::default();
    let service = service("").replace("queue: out.v2", "subject: out.v2");
    let running = Running::start(&broker, &Fixed::new(plan(&service, RULES)));
    let out = bifocal::rules::channel::Address::Subject { broker: "m".into(), subject: "out.v2".into(), stream: None };
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":1}"#));
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":2}"#));
    arrived(&broker, &queue("dead"), 1).await;
    arrived(&broker, &out, 1).await;
    // Once with a crash before the letter is settled: the target takes it once all the same.
    let done = running.letters.redrive(&everything()).await;
    assert_eq!(outcomes(&done.letters), [&Outcome::Sent]);
    let texts: Vec<_> = broker.all(&out).iter().map(|one| text(one).to_owned()).collect();
    assert_eq!(texts, [r#"{"price":"0.01"}"#, r#"{"price":"0.02"}"#]);
    running.stop().await;
}

#[tokio::test]
async fn a_crash_while_letters_are_sent_on_loses_none() {
    for (step, at) in [
        (Step::Give, "dead"),
        (Step::Publish, "out.v2"),
        (Step::Store, "out.v2"),
        (Step::Settle, "dead"),
        (Step::Publish, "dead"),
        (Step::Store, "dead"),
    ] {
        let (broker, crash) = Crash::broker(step, Some(at));
        let rules = Fixed::new(plan(&service(""), RULES));
        let running = Running::start(&broker, &rules);
        for id in ["a", "b", "c"] {
            broker.put(&queue("in.v1"), message(id, None, r#"{"total":"x"}"#));
        }
        // One that no rules will help.
        broker.put(&queue("in.v1"), message("d", None, "no"));
        arrived(&broker, &queue("dead"), 4).await;
        rules.replace(plan(&service(""), &mended()));
        crash.arm(1);
        let all = everything();
        tokio::select! {
            done = running.letters.redrive(&all) => panic!("{step:?} {at}: no crash, {done:?}"),
            () = crash.come() => {}
        }
        running.letters.redrive(&everything()).await;
        let what = format!("{step:?} {at}");
        let out = broker.all(&queue("out.v2"));
        for id in ["a", "b", "c"] {
            let count = out.iter().filter(|one| one.properties.message_id.as_deref() == Some(id)).count();
            assert!((1..=2).contains(&count), "{what}: {id} {count} times");
        }
        let left = running.letters.list(&Filter::default(), 10).await.rows;
        assert!((1..=2).contains(&left.len()), "{what}: {left:?}");
        assert!(left.iter().all(|row| row.facts.reason == "not_json"), "{what}: {left:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_target_that_is_down_leaves_letters_as_they_are() {
    struct Down(Arc<std::sync::atomic::AtomicBool>);
    impl Faults for Down {
        fn at<'f>(&'f self, step: Step, at: &'f str, _: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
            let is_down = self.0.load(std::sync::atomic::Ordering::SeqCst);
            let fails = is_down && step == Step::Publish && at == "m:queue/out.v2";
            let result = if fails { Err(Unpublished::Refused("not now".into())) } else { Ok(()) };
            Box::pin(std::future::ready(result))
        }
    }
    let down = Arc::<std::sync::atomic::AtomicBool>::default();
    let broker = Memory::with_faults(Box::new(Down(down.clone())));
    let rules = Fixed::new(plan(&service(""), RULES));
    let running = Running::start(&broker, &rules);
    for id in ["a", "b"] {
        broker.put(&queue("in.v1"), message(id, None, r#"{"total":"x"}"#));
    }
    arrived(&broker, &queue("dead"), 2).await;
    rules.replace(plan(&service(""), &mended()));
    down.store(true, std::sync::atomic::Ordering::SeqCst);
    let done = running.letters.redrive(&everything()).await;
    assert!(outcomes(&done.letters).iter().all(|one| matches!(one, Outcome::Left(_))), "{done:?}");
    let left = running.letters.list(&Filter::default(), 10).await.rows;
    assert_eq!((left.len(), left[0].facts.attempts), (2, 1));
    down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(outcomes(&running.letters.redrive(&everything()).await.letters), [&Outcome::Sent, &Outcome::Sent]);
    running.stop().await;
}

/// The ids of a key's messages at an address.
fn ids(broker: &Memory, at: &str, key: &str) -> Vec<String> {
    let all = broker.all(&queue(at));
    let of_key = all.iter().filter(|one| header(one, "bifocal-key") == key);
    of_key.map(|one| one.properties.message_id.clone().unwrap()).collect()
}

#[tokio::test]
async fn a_parked_key_goes_on_in_order_when_its_letters_have() {
    let broker = Memory::default();
    let parking = service("    on_poison: park_key\n");
    let rules = Fixed::new(plan(&parking, RULES));
    let running = Running::start(&broker, &rules);
    let put = |id: u32, total: &str| {
        broker.put(&queue("in.v1"), message(&format!("{id:03}"), Some("k"), &format!(r#"{{"total":{total}}}"#)));
    };
    put(0, "\"x\"");
    (1..10).for_each(|id| put(id, "1"));
    arrived(&broker, &queue("dead"), 10).await;
    // A later one alone does not go before the first.
    let parked = Errand { filter: Filter { reason: Some("parked".into()), ..Filter::default() }, ..everything() };
    let done = running.letters.redrive(&parked).await;
    assert!(outcomes(&done.letters).iter().all(|one| **one == Outcome::Behind), "{done:?}");
    // One that fails again keeps its place.
    let done = running.letters.redrive(&everything()).await;
    assert!(matches!(outcomes(&done.letters)[0], Outcome::Again(..)), "{done:?}");
    assert!(outcomes(&done.letters)[1..].iter().all(|one| **one == Outcome::Behind), "{done:?}");
    assert_eq!((broker.all(&queue("dead")).len(), done.released), (10, 0));
    put(10, "1");
    arrived(&broker, &queue("dead"), 11).await;

    rules.replace(plan(&parking, &mended()));
    // More of the key come all the while.
    let writer = async {
        for id in 11..200 {
            put(id, "1");
            tokio::task::yield_now().await;
        }
    };
    let sender = async {
        let mut released = 0;
        while released == 0 {
            released = running.letters.redrive(&Errand { most: 1000, ..Errand::default() }).await.released;
        }
        released
    };
    let ((), released) = tokio::join!(writer, sender);
    assert_eq!(released, 1);
    while ids(&broker, "out.v2", "k").len() + ids(&broker, "dead", "k").len() < 200 {
        changed(&broker).await;
    }
    let expected: Vec<String> = (0..200).map(|id| format!("{id:03}")).collect();
    assert_eq!(ids(&broker, "out.v2", "k"), expected);
    assert!(broker.all(&queue("dead")).is_empty());
    running.stop().await;
}

#[tokio::test]
async fn letters_of_a_flow_that_is_gone_stay() {
    let broker = Memory::default();
    let rules = Fixed::new(plan(&service(""), RULES));
    let running = Running::start(&broker, &rules);
    broker.put(&queue("in.v1"), message("a", None, "no"));
    arrived(&broker, &queue("dead"), 1).await;
    running.stop().await;
    let shared: Arc<dyn Broker> = Arc::new(broker.clone());
    let seen: Arc<dyn Seen> = Arc::new(Volatile::default());
    let mut others = flows(&shared, &rules, &seen);
    others.retain(|flow| flow.status.name == "shop/orders/v2");
    let letters = Letters::new(others, Arc::default());
    let done = letters.redrive(&everything()).await;
    assert_eq!(outcomes(&done.letters), [&Outcome::Gone]);
    assert_eq!(broker.all(&queue("dead")).len(), 1);
}
