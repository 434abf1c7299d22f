//! Operations as operators see them: neither what was asked nor what came.

use serde_json::{Value, json};

use super::operation::{self, Operation};
use super::{Asynchronous, broken};
use crate::gateway::ledger::Filter;
use crate::gateway::trouble::Trouble;
use crate::store::now;

/// Operations that are listed.
const LISTED: usize = 1000;

/// One of them, without its request and its answer.
struct Seen {
    id: String,
    operation: Operation,
}

impl Asynchronous {
    /// Operations of one service or version, or all: those that are not over first, the oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub(in crate::gateway) fn as_json(&self, filter: &Filter) -> Result<Value, Trouble> {
        let mut seen = Vec::new();
        let now = now();
        if let Some(store) = self.keeper.opened() {
            let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
            let look = |id: &str, found: Operation| {
                let order = &found.order;
                let is_asked = fits(&filter.service, &order.service) && fits(&filter.version, &order.from.version);
                if is_asked && found.ends > now {
                    let order = order.without_payload();
                    seen.push(Seen { id: id.to_owned(), operation: Operation { order, answer: None, ..found } });
                }
            };
            operation::visit(&store, look).map_err(|error| broken(&error))?;
        }
        seen.sort_by_key(|one| (!one.operation.state.is_open(), one.operation.created));
        let left_out = seen.len().saturating_sub(LISTED);
        let operations: Vec<Value> = seen.iter().take(LISTED).map(|one| one.as_json(now)).collect();
        Ok(json!({"operations": operations, "left_out": left_out}))
    }
}

impl Seen {
    fn as_json(&self, now: u64) -> Value {
        let Operation { state, created, updated, ends, order, .. } = &self.operation;
        let seconds = |from: u64, to: u64| to.saturating_sub(from) / 1000;
        json!({
            "id": self.id,
            "service": order.service,
            "state": state.name(),
            "version": order.from.version,
            "served": order.served,
            "request_id": order.names.0,
            "age": seconds(*created, now),
            "in_state": seconds(*updated, now),
            "ends_in": seconds(now, *ends),
        })
    }
}
