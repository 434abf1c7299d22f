//! The endpoints of one version's service: who is asked next, and whether anybody may be asked at all.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use http::Uri;
use tokio::sync::Notify;

use super::balance::{Candidate, choose};
use super::budget::Budget;
use super::endpoint::{Endpoint, Reason, State, Waits};
use super::policy::Policy;
use crate::rules::ast::StatusKey;
use crate::rules::upstream::Upstream;

/// The service of one version.
#[derive(Debug)]
pub(in crate::gateway) struct Cluster {
    pub(super) service: String,
    pub(super) version: String,
    /// Of what it was made.
    pub(super) upstream: Upstream,
    /// Where the service is, in the addresses that it tells.
    base: Uri,
    /// The base address's path, without a slash at its end.
    prefix: String,
    pub(super) policy: Policy,
    members: Members,
    pub(super) ledger: Arc<Ledger>,
    /// Something is to be looked at: an endpoint takes no connections.
    pub(super) alarm: Notify,
    /// Whether it is not looked after any more: its endpoints may be another one's.
    pub(super) is_over: AtomicBool,
    pub(super) resolution: Mutex<Resolution>,
    /// One look-up at a time.
    pub(super) looking: tokio::sync::Mutex<()>,
}

/// What goes on counting whatever becomes of the configuration.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    turn: AtomicU64,
    pub(super) budget: Budget,
    pub(super) retries: AtomicU64,
    /// Not sent again because too many others were.
    pub(super) exhausted: AtomicU64,
    /// Refused because too many requests were in flight or waiting.
    pub(super) refused: AtomicU64,
    /// Refused because there was no endpoint to ask.
    pub(super) unavailable: AtomicU64,
    /// One endpoint at a time is left out, so that never too many are.
    ejecting: Mutex<()>,
}

impl Ledger {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// How a name was last looked up.
#[derive(Debug, Default)]
pub(super) struct Resolution {
    pub(super) at: Option<SystemTime>,
    /// Why what is known is old.
    pub(super) problem: Option<String>,
}

/// One of the endpoints.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: u32,
    /// Lower ones first.
    pub(super) priority: u16,
}

#[derive(Debug)]
enum Members {
    Fixed(Arc<[Member]>),
    /// Replaced when a name has other addresses; otherwise only read.
    Found(RwLock<Arc<[Member]>>),
}

/// Why nobody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no endpoint that could answer.
    Unavailable,
    /// Too many requests are in work already.
    Overloaded,
}

impl Cluster {
    pub(super) fn new(
        (service, version): (&str, &str),
        upstream: &Upstream,
        policy: Policy,
        members: Vec<Member>,
        ledger: Arc<Ledger>,
    ) -> Option<Self> {
        let base = upstream.base()?.clone();
        let is_fixed = matches!(upstream.source, crate::rules::upstream::Source::Fixed(_));
        Some(Self {
            service: service.to_owned(),
            version: version.to_owned(),
            upstream: upstream.clone(),
            prefix: base.path().trim_end_matches('/').to_owned(),
            base,
            policy,
            members: if is_fixed {
                Members::Fixed(members.into())
            } else {
                Members::Found(RwLock::new(members.into()))
            },
            ledger,
            alarm: Notify::new(),
            is_over: AtomicBool::new(false),
            resolution: Mutex::default(),
            looking: tokio::sync::Mutex::new(()),
        })
    }

    /// Where the service is, in the addresses that it tells.
    pub(in crate::gateway) fn base(&self) -> &Uri {
        &self.base
    }

    /// What all paths begin with.
    pub(in crate::gateway) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn members(&self) -> Arc<[Member]> {
        match &self.members {
            Members::Fixed(members) => members.clone(),
            Members::Found(members) => members.read().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Its name has other addresses.
    pub(super) fn replace(&self, members: Vec<Member>) {
        if let Members::Found(current) = &self.members {
            *current.write().unwrap_or_else(PoisonError::into_inner) = members.into();
        }
    }

    /// One more request, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Admitted, Refusal> {
        let most = self.policy.version_in_flight;
        if self.ledger.in_flight.fetch_add(1, Ordering::Relaxed) >= most {
            self.ledger.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.ledger.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded);
        }
        Ok(Admitted(self.clone()))
    }

    /// One more request that has no connection yet, unless there are too many.
    pub(super) fn wait(&self) -> Result<Waits<'_>, Refusal> {
        Waits::among(&self.ledger.waiting, self.policy.version_waiting).ok_or_else(|| self.overloaded())
    }

    pub(super) fn overloaded(&self) -> Refusal {
        self.ledger.refused.fetch_add(1, Ordering::Relaxed);
        Refusal::Overloaded
    }

    /// The endpoint that is next. Those in `tried` had the request before and get it only where `elsewhere` does not say
    /// otherwise and there is no other.
    pub(super) fn pick(&self, tried: &[u64], elsewhere: bool) -> Option<Arc<Endpoint>> {
        match &self.members {
            Members::Fixed(members) => self.pick_of(members, tried, elsewhere),
            Members::Found(_) => self.pick_of(&self.members(), tried, elsewhere),
        }
    }

    fn pick_of(&self, members: &[Member], tried: &[u64], elsewhere: bool) -> Option<Arc<Endpoint>> {
        if let [only] = members {
            let is_free = !elsewhere || !tried.contains(&only.endpoint.id);
            let may = is_free && !matches!(only.endpoint.state(), State::Unreachable | State::Unhealthy);
            return may.then(|| only.endpoint.clone());
        }
        let believes = self.believes_ejections(members);
        let is_usable = |state: State| match state {
            State::Up => true,
            State::Ejected => !believes,
            State::Unhealthy | State::Unreachable => false,
        };
        let choose = |again: bool, full: bool| {
            let candidate = |at: usize| {
                let Some(member) = members.get(at) else { return Candidate { weight: 0, load: 0, priority: 0 } };
                let endpoint = &member.endpoint;
                let may = is_usable(endpoint.state())
                    && (again || !tried.contains(&endpoint.id))
                    && (full || !endpoint.is_full(&self.policy));
                let warmth = if self.policy.slow_start.is_some() { endpoint.warmth(&self.policy) } else { 1 };
                let weight = u64::from(member.weight) * warmth;
                Candidate { weight: if may { weight } else { 0 }, load: endpoint.load(), priority: member.priority }
            };
            let turn = || self.ledger.turn.fetch_add(1, Ordering::Relaxed);
            choose(self.policy.balance, members.len(), candidate, chance, turn)
        };
        let found = choose(false, false).or_else(|| choose(false, true));
        let found = if elsewhere { found } else { found.or_else(|| choose(true, true)) };
        found.and_then(|at| members.get(at)).map(|member| member.endpoint.clone())
    }

    /// Whether those that are left out stay so: not when too few are in use. What a health check says, or that there is
    /// nothing to connect to, is certain, and so it is always believed.
    fn believes_ejections(&self, members: &[Member]) -> bool {
        let Some(eject) = &self.policy.eject else { return false };
        let up = members.iter().filter(|member| member.endpoint.state() == State::Up).count();
        up > 0 && up * 100 >= eject.panic * members.len()
    }

    /// There was nobody to ask.
    pub(super) fn unavailable(&self) -> Refusal {
        self.ledger.unavailable.fetch_add(1, Ordering::Relaxed);
        Refusal::Unavailable
    }

    /// A request to an endpoint failed: it may be left out for that.
    pub(super) fn failed(&self, endpoint: &Endpoint, reason: Reason) {
        if !endpoint.failed(reason, self.policy.eject.as_ref()) {
            return;
        }
        let Some(eject) = &self.policy.eject else { return };
        let _turn = self.ledger.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members();
        let out = members.iter().filter(|member| member.endpoint.state() == State::Ejected).count();
        if (out + 1) * 100 <= eject.share * members.len() && endpoint.state() == State::Up {
            endpoint.eject(eject);
        }
    }

    /// An endpoint could not be reached.
    pub(super) fn unreached(&self, endpoint: &Endpoint, is_late: bool) {
        self.failed(endpoint, if is_late { Reason::Timeout } else { Reason::Connect });
        if endpoint.unreached(self.policy.unreachable_after) {
            self.alarm.notify_one();
        }
    }

    /// Whether an answer with this status says that the endpoint is in trouble.
    pub(super) fn is_failure(&self, status: u16) -> bool {
        self.policy.eject.as_ref().is_some_and(|eject| covers(&eject.status, status))
    }
}

pub(super) fn covers(statuses: &[StatusKey], status: u16) -> bool {
    statuses.iter().any(|one| one.covers(status))
}

/// Held while a request is in work.
#[derive(Debug)]
pub(super) struct Admitted(pub(super) Arc<Cluster>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.ledger.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number by chance, for spreading things and no more (xorshift*, Vigna 2016).
pub(super) fn chance() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
    }
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
}
