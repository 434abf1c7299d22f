//! The access log's line of a request that goes to a service when its caller is not on the line any more.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::carry;
use super::order::{Answer, Order};
use crate::gateway::App;
use crate::gateway::headers::Identity;
use crate::gateway::introduction::Introduction;
use crate::gateway::record::{Entry, Facts};
use crate::gateway::trouble::{Side, Trouble};

/// Writes its line when it is dropped: what is broken off has one, too.
pub(super) struct Background {
    app: Arc<App>,
    /// `operation`, `once` or `cancel`.
    kind: &'static str,
    facts: Facts,
    order: Order,
    at: SystemTime,
    begun: Instant,
    came: Option<(u16, &'static str, usize)>,
    /// Only where its caller's own line is written already.
    if_left: bool,
}

impl Background {
    /// Begins to send `order`.
    pub(super) fn begin(app: &Arc<App>, kind: &'static str, order: &Order) -> Self {
        let (app, facts, order) = (app.clone(), Facts::default(), order.without_payload());
        let (at, begun) = (SystemTime::now(), Instant::now());
        Self { app, kind, facts, order, at, begun, came: None, if_left: false }
    }

    /// Begins to send `order` for a caller who waits, which has a line of its own.
    pub(super) fn for_caller(app: &Arc<App>, order: &Order, facts: Facts) -> Self {
        let mut new = Self::begin(app, "once", order);
        (new.facts, new.if_left) = (facts, true);
        new
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What came of it.
    pub(super) fn ended(&mut self, came: &Result<Answer, Trouble>) {
        self.came = Some(match came {
            Ok(answer) => {
                let status = answer.status();
                let outcome = match (status.is_server_error(), status.is_client_error()) {
                    (true, _) => "failed",
                    (_, true) => "refused",
                    _ => "ok",
                };
                (status.as_u16(), outcome, answer.body.len())
            }
            Err(trouble) => {
                let (status, code, _, side) = trouble.kind.row();
                self.facts.change(|known| known.fault = Some(code));
                let outcome = if side == Side::Caller { "refused" } else { "failed" };
                (trouble.status.unwrap_or(status).as_u16(), outcome, 0)
            }
        });
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let (request, trace) = self.order.names.clone();
        let identity = Identity::kept(request, trace);
        let caller = Introduction::new(self.order.peer, None);
        // 499 is what logs commonly call what nobody waited for.
        let (status, outcome, sent) = self.came.unwrap_or((499, "aborted", 0));
        self.facts.change(|known| {
            if self.if_left && !known.is_recorded {
                return;
            }
            if known.standing.is_none() {
                known.generation = Some(self.app.current.snapshot());
                known.standing = carry::standing_of(&self.app, &self.order).ok();
                let version = |name: &str| {
                    let versions = &known.standing.as_ref()?.plan.versions;
                    versions.iter().position(|version| version.name == name)
                };
                known.versions = version(&self.order.to.version).map(|asked| (asked, version(&self.order.served)));
            }
            known.background = Some(self.kind);
            self.app.access.write(&Entry {
                at: self.at,
                identity: &identity,
                method: &self.order.to.method,
                path: &self.order.to.path,
                caller: &caller,
                protocol: "http/1",
                status,
                outcome,
                duration: self.begun.elapsed(),
                response_bytes: sent as u64,
                known,
            });
        });
    }
}
