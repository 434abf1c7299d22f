//! One request, tried as often as it may be.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, Method, Request, Response, Uri};
use tokio::time::{Instant, sleep, timeout};

use super::asking::Asking;
use super::cluster::{Admitted, Cluster, chance, covers};
use super::endpoint::{Endpoint, Reason, Slot};
use super::failure::{Lost, is_callers, is_late, of_exchange};
use super::http2::{self, Load, Multiplexer, Unanswered};
use super::line::{Content, NoAnswer};
use super::payload::{Answer, Held, Payload};
use super::pool::{ConnectError, Connection, Pool};
use super::retry::{Again, Failed, is_repeatable, wait};
use super::{Outgoing, Sent, clock};
use crate::gateway::tls::Offer;

/// What is needed to try.
pub(super) struct Attempts<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) http2: &'a Multiplexer,
    pub(super) cluster: &'a Arc<Cluster>,
    /// When there must be an answer.
    pub(super) ends: Instant,
}

/// What is known of a request that has been tried.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The endpoints that had it, by id.
    tried: Vec<u64>,
    /// Who is asked next, where that is decided.
    pub(super) next: Option<Arc<Endpoint>>,
    /// Whether it met a connection that was closed while it waited for it. Nothing else comes of that: it is sent once
    /// more, at once, on a new connection.
    was_stale: bool,
    retries: u32,
}

/// An attempt that came to nothing.
struct Lack {
    lost: Lost,
    failed: Failed,
    /// Whether nothing of the request was sent.
    is_unsent: bool,
    /// Whether the connection had served before.
    is_stale: bool,
}

/// What came of asking on a connection that others use, too.
enum Shared {
    Answered(Response<Content>, Load),
    /// The endpoint speaks HTTP/1.1 alone.
    Declined,
}

/// Held while an answer is read.
#[derive(Debug)]
pub(super) struct Ticket {
    admitted: Admitted,
    endpoint: Arc<Endpoint>,
    _slot: Slot,
}

impl Ticket {
    /// The answer broke off.
    pub(super) fn broken(&self) {
        self.admitted.0.failed(&self.endpoint, Reason::Broken);
    }
}

impl Attempts<'_> {
    /// Sends a request until it is answered, or may not be sent again.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing,
        admitted: Admitted,
        sent: &mut Sent,
    ) -> Result<Response<Answer>, Lost> {
        let Outgoing { method, target, headers, body, .. } = outgoing;
        let is_repeatable = is_repeatable(&method, &headers, &body);
        let mut asking = Asking::new(build(method, target, headers, body), is_repeatable);
        self.cluster.ledger.budget.request(clock::now());
        let mut history = History::default();
        loop {
            let Some(endpoint) = history.next.take().or_else(|| self.cluster.pick(&[], false)) else {
                return Err(Lost::Refused(self.cluster.unavailable()));
            };
            sent.attempts += 1;
            sent.endpoint = Some(endpoint.clone());
            let Some(slot) = endpoint.enter(&self.cluster.policy).await else {
                return Err(Lost::Refused(self.cluster.overloaded()));
            };
            let tried = {
                // In one place, whichever way it is waited for.
                let once = pin!(self.once(&endpoint, &mut asking, history.was_stale, &mut sent.is_asked));
                match self.cluster.policy.attempt {
                    None => once.await,
                    Some(patience) => match timeout(patience, once).await {
                        Ok(tried) => tried,
                        Err(_) => Err(Box::new(self.late(&endpoint))),
                    },
                }
            };
            sent.is_asked = false;
            let lack = match tried {
                Ok((response, held)) => {
                    let status = response.status().as_u16();
                    if self.cluster.is_failure(status) {
                        self.cluster.failed(&endpoint, Reason::Status);
                    } else {
                        endpoint.answered();
                    }
                    let is_none = is_repeatable && covers(&self.cluster.policy.retry.status, status);
                    if !is_none || !self.may_go_on(Failed::Status, true, &endpoint, &mut history).await {
                        let ticket = Ticket { admitted, endpoint, _slot: slot };
                        return Ok(response.map(|body| Answer::new(body, held, ticket)));
                    }
                    sent.is_taken = true;
                    None
                }
                Err(lack) => Some(lack),
            };
            drop(slot);
            if let Some(lack) = lack {
                let Lack { lost, failed, is_unsent, is_stale } = *lack;
                sent.is_taken |= !is_unsent;
                let is_known = is_stale && !history.was_stale;
                if is_known && (is_unsent || (failed == Failed::Ended && is_repeatable)) {
                    // As if that connection had not been there.
                    history.was_stale = true;
                    history.next = Some(endpoint);
                    sent.attempts -= usize::from(is_unsent);
                } else if !self.may_go_on(failed, is_repeatable, &endpoint, &mut history).await {
                    return Err(lost);
                }
            }
            if !asking.again() {
                // Every way that leads here has a request.
                return Err(Lost::Refused(self.cluster.unavailable()));
            }
        }
    }

    /// Whether it may be sent again; if so, when this returns.
    pub(super) async fn may_go_on(
        &self,
        failed: Failed,
        is_repeatable: bool,
        at: &Endpoint,
        history: &mut History,
    ) -> bool {
        let Some(again) = failed.again(is_repeatable) else { return false };
        let (policy, ledger) = (&self.cluster.policy.retry, &self.cluster.ledger);
        if history.retries >= policy.attempts {
            return false;
        }
        history.tried.push(at.id);
        // Before it costs anything: is there somebody to ask?
        let Some(next) = self.cluster.pick(&history.tried, again == Again::Elsewhere) else { return false };
        let wait = wait(policy.backoff, history.retries, chance());
        if Instant::now() + wait >= self.ends {
            return false;
        }
        if !ledger.budget.take(clock::now(), policy.share, policy.floor) {
            ledger.exhausted.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        ledger.retries.fetch_add(1, Ordering::Relaxed);
        history.retries += 1;
        history.next = Some(next);
        history.was_stale = false;
        sleep(wait).await;
        true
    }

    fn late(&self, endpoint: &Endpoint) -> Lack {
        self.cluster.failed(endpoint, Reason::Timeout);
        Lack { lost: Lost::Late, failed: Failed::Late, is_unsent: false, is_stale: false }
    }

    /// One attempt.
    async fn once(
        &self,
        endpoint: &Arc<Endpoint>,
        asking: &mut Asking,
        fresh: bool,
        is_asked: &mut bool,
    ) -> Result<(Response<Content>, Held), Box<Lack>> {
        let policy = &self.cluster.policy;
        if let Some(offer) = http2::offer(policy.protocol, &endpoint.place.scheme) {
            match Box::pin(self.share(endpoint, offer, asking, is_asked)).await? {
                Shared::Answered(response, load) => return Ok((response, Held::Shared(load))),
                Shared::Declined => {}
            }
        }
        if fresh {
            // Those that waited beside it have most likely been closed, too.
            self.pool.forget(endpoint.id);
        }
        let Connection { line, is_used, open, keep, pool } = match self.pool.take(endpoint, policy) {
            Some(connection) => connection,
            None => match Box::pin(self.connect(endpoint)).await {
                Ok(connection) => connection,
                Err(lost) => {
                    let failed = if matches!(lost, Lost::Refused(_)) { Failed::Broken } else { Failed::Connect };
                    return Err(Box::new(Lack { lost, failed, is_unsent: true, is_stale: false }));
                }
            },
        };
        *is_asked = true;
        asking.address(&endpoint.host);
        match line.exchange(asking).await {
            Ok((line, response)) => Ok((response, Held::Alone(Connection { line, is_used, open, keep, pool }))),
            Err(none) => {
                let NoAnswer { error, is_unsent } = *none;
                let failed = if is_unsent { Failed::Unsent } else { of_exchange(&error) };
                if !is_used && !is_callers(&error) {
                    self.cluster.failed(endpoint, Reason::Broken);
                }
                Err(Box::new(Lack { lost: Lost::Exchange(error), failed, is_unsent, is_stale: is_used }))
            }
        }
    }

    /// The same on a connection of HTTP/2.
    async fn share(
        &self,
        endpoint: &Arc<Endpoint>,
        offer: Offer,
        asking: &mut Asking,
        is_asked: &mut bool,
    ) -> Result<Shared, Box<Lack>> {
        asking.address(&endpoint.host);
        let request = asking.take();
        *is_asked = true;
        let unanswered = match self.http2.exchange(endpoint, &self.cluster.policy, offer, request).await {
            Ok((response, load)) => return Ok(Shared::Answered(response.map(Content::Hyper), load)),
            Err(unanswered) => unanswered,
        };
        let (lost, failed, request) = match unanswered {
            Unanswered::Declined(Some(request)) => {
                asking.give_back(Some(request));
                return Ok(Shared::Declined);
            }
            Unanswered::Declined(None) => (Lost::Late, Failed::Broken, None),
            Unanswered::Unreached(error, request) => {
                self.cluster.unreached(endpoint, is_late(&error));
                (Lost::Connect(error), Failed::Connect, request)
            }
            Unanswered::BodyBroke(error) => (Lost::Body(error), Failed::Broken, None),
            Unanswered::Broken(error, request) => {
                if !is_callers(&error) {
                    self.cluster.failed(endpoint, Reason::Broken);
                }
                let failed = if request.is_some() { Failed::Unsent } else { of_exchange(&error) };
                (Lost::Exchange(error), failed, request)
            }
        };
        let is_unsent = asking.give_back(request);
        Err(Box::new(Lack { lost, failed, is_unsent, is_stale: false }))
    }

    async fn connect(&self, endpoint: &Arc<Endpoint>) -> Result<Connection, Lost> {
        let _waits = self.cluster.wait().map_err(Lost::Refused)?;
        let connected = self.pool.connect(endpoint, &self.cluster.policy).await;
        self.note(endpoint, connected)
    }
}

impl Attempts<'_> {
    /// Whether an endpoint could be reached.
    pub(super) fn note<C>(&self, endpoint: &Endpoint, connected: Result<C, ConnectError>) -> Result<C, Lost> {
        match &connected {
            Ok(_) => endpoint.reached(),
            Err(error) => self.cluster.unreached(endpoint, is_late(error)),
        }
        connected.map_err(Lost::Connect)
    }
}

fn build(method: Method, target: Uri, headers: HeaderMap, body: Payload) -> Request<Payload> {
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, target);
    *request.headers_mut() = headers;
    request
}
