//! Messages that cannot be carried: each goes to the dead letters for its reason, and its neighbours flow on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bifocal::messaging::broker::{Boxed, Unpublished};
use bifocal::messaging::brokers::memory::{Faults, Memory, Step};
use bifocal::messaging::letters::{Filter, Letter};
use bifocal::messaging::message::{Message, Value};
use serde::Deserialize;

use super::super::gateway::cases::case_file;
use super::{Fixed, RULES, Running, arrived, header, message, plan, queue, service, text};

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
    /// Rows of the shared file that other tests see to.
    elsewhere: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    name: String,
    shared: Option<String>,
    text: String,
    bytes: Option<Vec<u8>>,
    repeat: Option<(String, usize)>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    headers: BTreeMap<String, String>,
    reason: String,
    place: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus() -> Corpus {
    serde_json::from_str(&std::fs::read_to_string(root().join("tests/corpus/messages/poison.json")).unwrap()).unwrap()
}

impl Case {
    fn message(&self) -> Message {
        let mut made = message(&self.name, None, &self.text);
        if let Some((text, times)) = &self.repeat {
            made.body = text.repeat(*times).into();
        }
        if let Some(bytes) = &self.bytes {
            made.body = bytes.clone().into();
        }
        if let Some(of) = &self.content_type {
            made.properties.content_type = Some(of.clone());
        }
        made.properties.content_encoding.clone_from(&self.content_encoding);
        for (name, value) in &self.headers {
            made.headers.push(name.as_str(), Value::text(value.as_str()));
        }
        made
    }
}

#[tokio::test]
async fn each_goes_to_the_dead_letters_for_its_reason() {
    let broker = Memory::default();
    let running = Running::start(&broker, &Fixed::new(plan(&service(""), RULES)));
    let cases = corpus().cases;
    for (index, case) in cases.iter().enumerate() {
        broker.put(&queue("in.v1"), case.message());
        broker.put(&queue("in.v1"), message(&format!("good {index}"), None, &format!(r#"{{"total":{index}}}"#)));
    }
    let dead = arrived(&broker, &queue("dead"), cases.len()).await;
    let good = arrived(&broker, &queue("out.v2"), cases.len()).await;
    assert_eq!((dead.len(), good.len()), (cases.len(), cases.len()));
    let listed = format!("{:?}", running.letters.list(&Filter::default(), 100).await);
    // Longer than what stands in times and digests by chance.
    assert!(!listed.contains("41111111") && !listed.contains("s3cr3t"), "no value of a message: {listed}");
    for (found, case) in dead.into_iter().zip(&cases) {
        let Letter { facts, message } = Letter::read(found).unwrap();
        let expected = case.message();
        let name = &case.name;
        assert_eq!((&facts.reason, &facts.place), (&case.reason, &case.place), "{name}: {}", facts.detail);
        assert_eq!((&message.body, &message.properties), (&expected.body, &expected.properties), "{name}");
        for (name, value) in &case.headers {
            assert_eq!(header(&message, name), value);
        }
        assert_eq!((facts.flow.as_str(), facts.to.as_str(), facts.attempts), ("shop/orders/v1", "v2", 1), "{name}");
    }
    running.stop().await;
    assert_eq!(broker.unsettled(&queue("in.v1")), 0);
}

/// Every row of the shared cases that must end among the dead letters is tried here, or by the test that is named.
#[test]
fn the_shared_cases_are_all_known() {
    let Some(file) = case_file("messages.json") else { return };
    let shared: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let rows = shared["cases"].as_array().unwrap();
    let all: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let corpus = corpus();
    let here: BTreeSet<&str> = corpus.cases.iter().filter_map(|case| case.shared.as_deref()).collect();
    let elsewhere: BTreeSet<&str> = corpus.elsewhere.keys().map(String::as_str).collect();
    for id in here.iter().chain(&elsewhere) {
        assert!(all.contains(id), "there is no shared case `{id}` any more");
    }
    for row in rows {
        let id = row["id"].as_str().unwrap();
        let expected = row["expect"].as_str().unwrap();
        let ours = row["brokers"].as_array().unwrap().iter().any(|broker| broker == "rabbitmq" || broker == "nats");
        if ours && (expected.contains("DLQ") || expected.contains("dead-letter")) && id != "subject-inject" {
            assert!(here.contains(id) || elsewhere.contains(id), "nobody tries `{id}`: {expected}");
        }
    }
    let tests: String = ["flows.rs", "letters_real.rs", "poison.rs"]
        .map(|name| std::fs::read_to_string(root().join("tests/it/messaging").join(name)).unwrap())
        .concat();
    for (id, name) in &corpus.elsewhere {
        assert!(tests.contains(&format!("async fn {name}()")), "`{id}` is said to be tried by `{name}`");
    }
}

/// Answers as told when a message of an id is published to readers.
struct Refusing(Vec<(&'static str, Unpublished)>);

impl Faults for Refusing {
    fn at<'f>(&'f self, step: Step, at: &'f str, message: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
        let id = message.and_then(|message| message.properties.message_id.as_deref());
        let refused = self.0.iter().find(|(refused, _)| Some(*refused) == id);
        let refused = refused.filter(|_| step == Step::Publish && at.contains("/out."));
        Box::pin(std::future::ready(refused.map_or(Ok(()), |(_, why)| Err(why.clone()))))
    }
}

/// The reasons of all letters by the ids of their messages, once there are as many, and the bodies of what has arrived.
async fn ends(broker: &Memory, letters: usize, others: usize) -> (Vec<(String, String)>, Vec<String>) {
    let dead = arrived(broker, &queue("dead"), letters).await;
    let good = arrived(broker, &queue("out.v2"), others).await;
    let ends = dead
        .iter()
        .map(|one| (one.properties.message_id.clone().unwrap(), header(one, "bifocal-dead-reason").to_owned()));
    (ends.collect(), good.iter().map(|one| text(one).to_owned()).collect())
}

fn named(ends: &[(String, String)]) -> Vec<(&str, &str)> {
    ends.iter().map(|(id, reason)| (id.as_str(), reason.as_str())).collect()
}

#[tokio::test]
async fn what_a_broker_will_never_take_goes_to_the_dead_letters() {
    let refused = vec![
        ("a", Unpublished::Unroutable),
        ("b", Unpublished::TooLarge),
        ("c", Unpublished::Unwritable("header x".into())),
    ];
    let broker = Memory::with_faults(Box::new(Refusing(refused)));
    let running = Running::start(&broker, &Fixed::new(plan(&service(""), RULES)));
    for id in ["a", "b", "c", "d"] {
        broker.put(&queue("in.v1"), message(id, None, r#"{"total":1}"#));
    }
    let (ends, good) = ends(&broker, 3, 1).await;
    assert_eq!(named(&ends), [("a", "unroutable"), ("b", "too_large"), ("c", "unwritable")]);
    assert_eq!(good, [r#"{"price":"0.01"}"#]);
    running.stop().await;
}

#[tokio::test]
async fn what_is_refused_as_often_as_the_channel_says_goes_to_the_dead_letters() {
    let broker = Memory::with_faults(Box::new(Refusing(vec![("a", Unpublished::Refused("no".into()))])));
    let running = Running::start(&broker, &Fixed::new(plan(&service("    attempts: 3\n"), RULES)));
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":1}"#));
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":2}"#));
    let (ends, good) = ends(&broker, 1, 1).await;
    assert_eq!(named(&ends), [("a", "attempts_exhausted")]);
    assert_eq!(good, [r#"{"price":"0.02"}"#]);
    running.stop().await;
}

/// An interface whose orders have a total of at least one.
fn interface(member: &str) -> String {
    format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths: {{}}\ncomponents:\n  schemas:\n    Order:\n      \
         type: object\n      required: [{member}]\n      properties:\n        {member}: {{type: integer, minimum: 1}}\n        \
         note: {{type: string, maxLength: 3}}\n"
    )
}

fn validating(channel: &str, rules: &str) -> Result<bifocal::plan::ServicePlan, String> {
    let service = service(channel).replace("{v1: , v2: }", "{v1: {openapi: v1.json}, v2: {openapi: v2.json}}");
    let (old, new) = (interface("total"), interface("price"));
    let files = [("service.yaml", &*service), ("v1-v2.yaml", rules), ("v1.json", &*old), ("v2.json", &*new)];
    let report = bifocal::rules::prove_service(&bifocal::rules::load::ServiceSources::from_texts("shop", files));
    let told = format!("{:?}", report.diagnostics);
    report.checked.map(|checked| bifocal::plan::ServicePlan::compile(&checked)).ok_or(told)
}

#[tokio::test]
async fn what_breaks_its_schema_goes_to_the_dead_letters_where_the_channel_says_so() {
    let rules = "types:\n  Order:\n    - total = price\n    - note\nmessages:\n  orders: Order\n";
    let bodies = [
        (r#"{"total":1,"note":"long"}"#, "note"),
        (r#"{"total":0}"#, "total"),
        (r#"{"note":"s"}"#, ""),
        (r#"{"total":1,"note":"s"}"#, "good"),
    ];
    for (channel, letters) in [("    validate: true\n", 3), ("    validate: false\n", 0)] {
        let broker = Memory::default();
        let running = Running::start(&broker, &Fixed::new(validating(channel, rules).unwrap().into()));
        for (body, _) in bodies {
            broker.put(&queue("in.v1"), message(body, None, body));
        }
        let (ends, good) = ends(&broker, letters, bodies.len() - letters).await;
        assert!(ends.iter().all(|(_, reason)| reason == "schema_violation"), "{ends:?}");
        assert_eq!(good.last().map(String::as_str), Some(r#"{"price":1,"note":"s"}"#));
        let mut rows = running.letters.list(&Filter::default(), 10).await.rows;
        rows.sort_by_key(|row| row.facts.order);
        let places: Vec<&str> = rows.iter().map(|row| row.facts.place.as_str()).collect();
        assert_eq!(places, ["note", "total", ""][..letters]);
        running.stop().await;
    }
    let unnamed = rules.replace("orders: Order", "orders: same");
    let told = validating("    validate: true\n", &unnamed).unwrap_err();
    assert!(told.contains("`orders` has no schema of its messages in v1"), "{told}");
}

#[tokio::test]
async fn two_messages_with_one_id_are_told() {
    let broker = Memory::default();
    let running = Running::start(&broker, &Fixed::new(plan(&service(""), RULES)));
    for total in [1, 2] {
        broker.put(&queue("in.v1"), message("a", None, &format!(r#"{{"total":{total}}}"#)));
    }
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":3}"#));
    let (ends, good) = ends(&broker, 1, 2).await;
    assert_eq!(named(&ends), [("a", "id_conflict")]);
    assert_eq!(good, [r#"{"price":"0.01"}"#, r#"{"price":"0.03"}"#]);
    running.stop().await;
}

#[tokio::test]
async fn without_rules_for_its_channel_there_is_no_path() {
    let broker = Memory::default();
    let rules = Fixed::new(plan(&service(""), RULES));
    let running = Running::start(&broker, &rules);
    broker.put(&queue("in.v1"), message("a", None, r#"{"total":1}"#));
    arrived(&broker, &queue("out.v2"), 1).await;
    // The channel has another name, and the flow has not been stopped yet.
    let renamed = service("").replace("  orders:\n", "  others:\n");
    rules.replace(plan(&renamed, &RULES.replace("orders: Order", "others: Order")));
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":1}"#));
    let (ends, _) = ends(&broker, 1, 1).await;
    assert_eq!(named(&ends), [("b", "no_path")]);
    running.stop().await;
}

fn short_lived(id: &str, millis: u32) -> Message {
    let mut made = message(id, None, r#"{"total":1}"#);
    made.properties.expiration = Some(millis.to_string());
    made
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_too_long_is_expired() {
    let broker = Memory::default();
    broker.put(&queue("in.v1"), short_lived("a", 1000));
    broker.put(&queue("in.v1"), short_lived("b", 600_000));
    tokio::time::advance(Duration::from_secs(2)).await;
    broker.put(&queue("in.v1"), short_lived("c", 1000));
    let mut odd = short_lived("d", 0);
    odd.properties.expiration = Some("soon".into());
    broker.put(&queue("in.v1"), odd);
    let running = Running::start(&broker, &Fixed::new(plan(&service("    on_poison: halt\n"), RULES)));
    let (ends, good) = ends(&broker, 1, 3).await;
    assert_eq!(named(&ends), [("a", "expired")], "and the flow does not halt for it");
    assert_eq!(good.len(), 3);
    // Whoever sends it on wants it all the same.
    let done = running.letters.redrive(&super::letters::everything()).await;
    assert_eq!(done.letters.len(), 1);
    let sent = arrived(&broker, &queue("out.v2"), 4).await.remove(3);
    assert_eq!(sent.properties.expiration.as_deref(), Some("1000"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_hand_for_too_long_is_expired() {
    let broker = Memory::with_faults(Box::new(Refusing(vec![("a", Unpublished::Refused("not now".into()))])));
    let running = Running::start(&broker, &Fixed::new(plan(&service(""), RULES)));
    broker.put(&queue("in.v1"), short_lived("a", 500));
    broker.put(&queue("in.v1"), message("b", None, r#"{"total":2}"#));
    let (ends, good) = ends(&broker, 1, 1).await;
    assert_eq!(named(&ends), [("a", "expired")]);
    assert_eq!(good, [r#"{"price":"0.02"}"#]);
    running.stop().await;
}
