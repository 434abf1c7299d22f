//! Flows as operators see them.

use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::Flows;
use crate::gateway::access_log::rfc3339;
use crate::gateway::ledger::Filter;
use crate::messaging::flow::Status;
use crate::messaging::supervisor::Listed;

impl Flows {
    /// Every flow, or those of one service, with how much waits for each by its broker's word of now.
    pub(in crate::gateway) async fn as_json(&self, filter: &Filter) -> Value {
        let all = self.supervisor.flows();
        let is_asked = |flow: &Listed| filter.service.as_ref().is_none_or(|wanted| *wanted == flow.spec.service);
        let asked = all.iter().filter(|(_, flow)| is_asked(flow)).map(|(name, flow)| async move {
            let waiting = match &flow.status {
                Some(status) => self.supervisor.waiting(status).await,
                None => None,
            };
            self.told(name, flow, waiting)
        });
        let flows: Vec<Value> = join_all(asked).await;
        json!({"flows": flows, "ready": self.troubles().is_empty()})
    }

    /// Why flows do not take messages, a line each; none: all do, or there are none.
    pub(in crate::gateway) fn troubles(&self) -> Vec<String> {
        if !self.have_begun() {
            return vec!["flows: the process before still has them".to_owned()];
        }
        self.supervisor.troubles().into_iter().map(|(name, why)| format!("{name}: {why}")).collect()
    }

    fn told(&self, name: &str, flow: &Listed, waiting: Option<u64>) -> Value {
        let of = &flow.spec.flow;
        let targets: Vec<String> = of.targets.iter().map(|target| target.address.to_string()).collect();
        let mut told = json!({
            "name": name,
            "service": flow.spec.service,
            "channel": flow.spec.channel,
            "source": of.source.to_string(),
            "targets": targets,
            "guarantee": of.guarantee().name(),
            "state": state(flow),
            "waiting": waiting,
        });
        let Some(members) = told.as_object_mut() else { return told };
        let reason = flow.status.as_ref().and_then(|status| status.state().reason().map(str::to_owned));
        if let Some(reason) = flow.refused.clone().or(reason) {
            members.insert("reason".to_owned(), reason.into());
        }
        if let Some(status) = &flow.status {
            let rate = self.rates().rate(name);
            members.insert("dead_letters_at".to_owned(), status.dead.to_string().into());
            let since = rfc3339(status.since.duration_since(UNIX_EPOCH).unwrap_or_default());
            members.insert("since".to_owned(), since.into());
            let rates = json!({"received": tenths(rate.received), "published": tenths(rate.published)});
            members.insert("per_second".to_owned(), rates);
            members.extend(counts(status));
        }
        told
    }
}

/// One word.
pub(super) fn state(flow: &Listed) -> &'static str {
    flow.status.as_ref().map_or("refused", |status| status.state().name())
}

fn counts(status: &Status) -> Map<String, Value> {
    let counts = &status.counts;
    let load = |count: &std::sync::atomic::AtomicU64| Value::from(count.load(Ordering::Relaxed));
    let letters = status.dead_letters().into_iter().map(|(reason, count)| (reason.to_owned(), count.into()));
    let mut all = Map::new();
    all.insert("in_flight".to_owned(), counts.in_flight.load(Ordering::Relaxed).into());
    all.insert("in_flight_bytes".to_owned(), counts.in_flight_bytes.load(Ordering::Relaxed).into());
    for (name, count) in [
        ("received", &counts.received),
        ("published", &counts.published),
        ("settled", &counts.settled),
        ("deduplicated", &counts.deduplicated),
        ("redelivered", &counts.redelivered),
        ("retried", &counts.retried),
        ("dropped_members", &counts.dropped_members),
    ] {
        all.insert(name.to_owned(), load(count));
    }
    all.insert("dead_letters".to_owned(), letters.collect::<Map<_, _>>().into());
    all
}

fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
