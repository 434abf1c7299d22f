//! Looking through an address takes nothing but what is settled.

#![expect(clippy::indexing_slicing, reason = "the test has made as many")]

use bifocal::messaging::broker::{Inbound, Look};
use bifocal::messaging::message::Value;
use tokio::time::timeout;

use super::{Bench, PATIENCE, header, message, next, publish, text, waiting};

pub(super) async fn all(bench: &Bench) {
    what_is_looked_at_stays(bench).await;
    what_is_settled_is_gone(bench).await;
    a_look_that_is_cut_gives_back(bench).await;
    a_look_begins_behind_a_position(bench).await;
    everything_of_a_message_is_seen(bench).await;
}

async fn one(look: &mut Box<dyn Look>) -> Option<Inbound> {
    timeout(PATIENCE, look.next()).await.unwrap().unwrap()
}

/// Everything that one look shows. Brokers without positions may give back what was looked at in another order.
async fn looked_through(bench: &Bench, name: &str, after: Option<&str>) -> Vec<String> {
    let at = (bench.address)(name);
    let mut look = bench.broker.look(&at, after).await.unwrap();
    let mut all = Vec::new();
    let mut has_positions = false;
    while let Some(seen) = one(&mut look).await {
        all.push(text(&seen.message).to_owned());
        has_positions |= seen.position.is_some();
    }
    look.end().await;
    if !has_positions {
        all.sort_by_key(|id| id.parse::<u32>().unwrap_or(u32::MAX));
    }
    all
}

async fn filled(bench: &Bench, name: &str, count: usize) -> Vec<String> {
    let at = (bench.address)(name);
    bench.broker.make(&at).await.unwrap();
    let all: Vec<String> = (0..count).map(|id| id.to_string()).collect();
    let many = all.iter().map(|id| (message(id, None, id), None)).collect();
    publish(bench, &at, many).await.into_iter().for_each(|result| result.unwrap());
    all
}

async fn what_is_looked_at_stays(bench: &Bench) {
    let name = "contract-look";
    let at = (bench.address)(name);
    assert!(!bench.is_real || bench.broker.look(&at, None).await.is_err() || looked_through_fails(bench, name).await);
    bench.broker.make(&at).await.unwrap();
    assert!(looked_through(bench, name, None).await.is_empty());
    let mut expected = filled(bench, name, 80).await;
    let mut look = bench.broker.look(&at, None).await.unwrap();
    assert_eq!(text(&one(&mut look).await.unwrap().message), "0");
    // What comes while somebody looks is not shown: a look ends.
    publish(bench, &at, vec![(message("late", None, "late"), None)]).await.remove(0).unwrap();
    let mut count = 1;
    while one(&mut look).await.is_some() {
        count += 1;
    }
    assert_eq!(count, 80);
    look.end().await;
    expected.push("late".to_owned());
    for _ in 0..3 {
        assert_eq!(looked_through(bench, name, None).await, expected);
    }
    assert_eq!(waiting(bench, &at, "r", 81).await, 81);
    let mut source = bench.broker.source(&at, "r", 10).await.unwrap();
    let mut read = Vec::new();
    let mut has_positions = false;
    for _ in &expected {
        let come = next(&mut source).await;
        read.push(text(&come.message).to_owned());
        has_positions |= come.position.is_some();
        come.settle.done().await.unwrap();
    }
    if !has_positions {
        read.sort_by_key(|id| id.parse::<u32>().unwrap_or(u32::MAX));
    }
    assert_eq!(read, expected);
}

/// A broker may say only at the first message that there is no such address.
async fn looked_through_fails(bench: &Bench, name: &str) -> bool {
    let at = (bench.address)(name);
    let mut look = bench.broker.look(&at, None).await.unwrap();
    timeout(PATIENCE, look.next()).await.unwrap().is_err()
}

async fn what_is_settled_is_gone(bench: &Bench) {
    let name = "contract-look-settled";
    let mut expected = filled(bench, name, 20).await;
    let at = (bench.address)(name);
    let mut look = bench.broker.look(&at, None).await.unwrap();
    let mut kept = Vec::new();
    while let Some(seen) = one(&mut look).await {
        if ["3", "11", "19"].contains(&text(&seen.message)) {
            seen.settle.done().await.unwrap();
        } else {
            kept.push(seen);
        }
    }
    look.end().await;
    expected.retain(|id| !["3", "11", "19"].contains(&id.as_str()));
    assert_eq!(looked_through(bench, name, None).await, expected);
    assert_eq!(waiting(bench, &at, "r", 17).await, 17);
}

async fn a_look_that_is_cut_gives_back(bench: &Bench) {
    let name = "contract-look-cut";
    let mut expected = filled(bench, name, 10).await;
    expected.sort();
    let at = (bench.address)(name);
    let mut look = bench.broker.look(&at, None).await.unwrap();
    for _ in 0..5 {
        one(&mut look).await.unwrap();
    }
    drop(look);
    assert_eq!(waiting(bench, &at, "r", 10).await, 10);
    let mut all = looked_through(bench, name, None).await;
    all.sort();
    assert_eq!(all, expected);
}

async fn a_look_begins_behind_a_position(bench: &Bench) {
    let name = "contract-look-after";
    let expected = filled(bench, name, 10).await;
    let at = (bench.address)(name);
    let mut look = bench.broker.look(&at, None).await.unwrap();
    let mut positions = Vec::new();
    while let Some(seen) = one(&mut look).await {
        positions.push(seen.position);
    }
    look.end().await;
    let Some(fourth) = positions[3].as_deref() else {
        // Without positions it begins at the beginning.
        return assert_eq!(looked_through(bench, name, Some("x/3")).await, expected);
    };
    assert_eq!(looked_through(bench, name, Some(fourth)).await, expected[4..]);
    assert!(looked_through(bench, name, positions[9].as_deref()).await.is_empty());
}

async fn everything_of_a_message_is_seen(bench: &Bench) {
    let name = "contract-look-whole";
    let at = (bench.address)(name);
    bench.broker.make(&at).await.unwrap();
    let body: Vec<u8> = (0..=255).cycle().take(900_000).collect();
    let mut whole = message("the id", None, "");
    whole.body = body.into();
    whole.headers.push("X-Shop", Value::text("a: b"));
    whole.headers.push("X-Twice", Value::text("1"));
    whole.headers.push("X-Twice", Value::text("2"));
    whole.properties.correlation_id = Some("c".into());
    publish(bench, &at, vec![(whole.clone(), Some("once"))]).await.remove(0).unwrap();
    let mut look = bench.broker.look(&at, None).await.unwrap();
    let seen = one(&mut look).await.unwrap().message;
    look.end().await;
    assert_eq!(seen.body, whole.body);
    assert_eq!(header(&seen, "X-Shop"), "a: b");
    let twice: Vec<_> = seen.headers.iter().filter(|(name, _)| *name == "X-Twice").collect();
    let twice: Vec<_> = twice.iter().filter_map(|(_, value)| value.as_text()).collect();
    assert!(twice == ["1", "2"] || twice == [r#"["1","2"]"#], "{twice:?}");
    assert_eq!(seen.properties.message_id.as_deref(), Some("the id"));
    assert_eq!(seen.properties.correlation_id.as_deref(), Some("c"));
}
