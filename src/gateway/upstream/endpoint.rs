//! One address at which a service is asked, and what is known of it: shared by all threads, kept over reloads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use tokio::sync::Notify;

use super::clock;
use super::cluster::Cluster;
use super::policy::{Eject, Policy};

/// Which endpoint it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    /// Where connections go.
    pub(super) reach: Authority,
    /// What it is told as `Host`, and what its certificate must hold for.
    pub(super) host: Authority,
}

/// Why a request to an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Connect,
    Timeout,
    Broken,
    Status,
}

impl Reason {
    pub(super) const ALL: [(Self, &'static str); 4] =
        [(Self::Connect, "connect"), (Self::Timeout, "timeout"), (Self::Broken, "broken"), (Self::Status, "status")];
}

/// An endpoint.
#[derive(Debug)]
pub(in crate::gateway) struct Endpoint {
    /// The same for no other endpoint of this process.
    pub(super) id: u64,
    pub(super) place: Place,
    /// `Host` of requests to it, without a port that goes without saying.
    pub(super) host: HeaderValue,
    /// Where connections go.
    pub(super) address: Uri,
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
    open: AtomicUsize,
    idle: AtomicUsize,
    /// Failed connections in a row.
    unreached: AtomicU32,
    is_unreachable: AtomicBool,
    /// Its health check says so.
    is_unwell: AtomicBool,
    /// Failed requests in a row.
    failures: AtomicU32,
    /// When it may be used again; 0: it always might. See [`clock::now`].
    ejected_until: AtomicU64,
    /// Times in a row.
    ejections: AtomicU32,
    /// Since when it is in use, while that makes a difference; 0: for long.
    since: AtomicU64,
    /// How often a connection was found that nobody was at the other end of.
    vanished: AtomicU64,
    requests: AtomicU64,
    failed: [AtomicU64; Reason::ALL.len()],
    ejected: AtomicU64,
}

/// What an endpoint is good for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// Left out for what it has answered.
    Ejected,
    /// Its health check fails.
    Unhealthy,
    /// It takes no connections.
    Unreachable,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Numbers of an endpoint at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) in_flight: usize,
    pub(super) waiting: usize,
    pub(super) open: usize,
    pub(super) idle: usize,
    pub(super) requests: u64,
    pub(super) ejected: u64,
    /// In the order of [`Reason::ALL`].
    pub(super) failed: [u64; Reason::ALL.len()],
}

impl Endpoint {
    pub(super) fn new(place: Place, is_new: bool) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let address = Uri::builder().scheme(place.scheme.clone()).authority(place.reach.clone()).path_and_query("/");
        Some(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            host: host_of(&place)?,
            address: address.build().ok()?,
            place,
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            open: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            unreached: AtomicU32::new(0),
            is_unreachable: AtomicBool::new(false),
            is_unwell: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            since: AtomicU64::new(if is_new { clock::now() } else { 0 }),
            vanished: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failed: Default::default(),
            ejected: AtomicU64::new(0),
        })
    }

    /// Its address as people know it.
    pub(in crate::gateway) fn name(&self) -> &str {
        self.place.reach.as_str()
    }

    /// Where it is, in the addresses that it tells.
    pub(in crate::gateway) fn base(&self, cluster: &Cluster) -> Option<Uri> {
        let mut parts = cluster.base().clone().into_parts();
        parts.authority = Some(self.place.host.clone());
        Uri::from_parts(parts).ok()
    }

    /// The whole address there of what a request asks for.
    pub(in crate::gateway) fn url(&self, target: &Uri) -> Option<Uri> {
        let Place { scheme, host, .. } = &self.place;
        let target = target.path_and_query()?.clone();
        Uri::builder().scheme(scheme.clone()).authority(host.clone()).path_and_query(target).build().ok()
    }

    pub(super) fn state(&self) -> State {
        if self.is_unreachable.load(Ordering::Relaxed) {
            State::Unreachable
        } else if self.is_unwell.load(Ordering::Relaxed) {
            State::Unhealthy
        } else {
            let until = self.ejected_until.load(Ordering::Relaxed);
            if until != 0 && clock::now() < until { State::Ejected } else { State::Up }
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        let load = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        Numbers {
            in_flight: load(&self.in_flight),
            waiting: load(&self.waiting),
            open: load(&self.open),
            idle: load(&self.idle),
            requests: self.requests.load(Ordering::Relaxed),
            ejected: self.ejected.load(Ordering::Relaxed),
            failed: self.failed.each_ref().map(|count| count.load(Ordering::Relaxed)),
        }
    }

    /// Requests that it has or will have.
    pub(super) fn load(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed) + self.waiting.load(Ordering::Relaxed)
    }

    /// Percent of its weight that it has: less than all while it is new or has just come back.
    pub(super) fn warmth(&self, policy: &Policy) -> u64 {
        let Some(window) = policy.slow_start else { return 100 };
        let since = self.since.load(Ordering::Relaxed).max(self.ejected_until.load(Ordering::Relaxed));
        if since == 0 {
            return 100;
        }
        (clock::now().saturating_sub(since) * 100 / clock::millis(window).max(1)).clamp(10, 100)
    }

    /// A request is given to it. `None`: too many wait.
    pub(super) async fn enter(self: &Arc<Self>, policy: &Policy) -> Option<Slot> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let is_taken = self.waiting.load(Ordering::Relaxed) == 0 && self.take(policy.in_flight);
        if is_taken {
            return Some(Slot(self.clone()));
        }
        let _waits = Waits::among(&self.waiting, policy.waiting)?;
        loop {
            let freed = self.freed.notified();
            let mut freed = std::pin::pin!(freed);
            // From here on nothing that is freed goes unnoticed.
            freed.as_mut().enable();
            if self.take(policy.in_flight) {
                return Some(Slot(self.clone()));
            }
            freed.await;
        }
    }

    pub(super) fn is_full(&self, policy: &Policy) -> bool {
        policy.in_flight != usize::MAX && self.load() >= policy.in_flight
    }

    fn take(&self, most: usize) -> bool {
        take(&self.in_flight, most)
    }

    /// A connection is about to be opened. `None`: there are too many.
    pub(super) fn open(self: &Arc<Self>, policy: &Policy) -> Option<Open> {
        take(&self.open, policy.connections).then(|| Open(self.clone()))
    }

    /// A connection is about to be kept for the next request. `None`: there are enough.
    pub(super) fn keep(self: &Arc<Self>, most: usize) -> Option<Kept> {
        take(&self.idle, most).then(|| Kept(self.clone()))
    }

    /// Nobody is at the other end of a connection: whatever all its threads had open by now is likely to lead nowhere.
    pub(super) fn vanish(&self) {
        self.vanished.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub(super) fn vanished(&self) -> u64 {
        self.vanished.load(Ordering::Relaxed)
    }

    /// A connection could be made.
    pub(super) fn reached(&self) {
        if self.unreached.load(Ordering::Relaxed) != 0 {
            self.unreached.store(0, Ordering::Relaxed);
        }
        if self.is_unreachable.load(Ordering::Relaxed) && self.is_unreachable.swap(false, Ordering::Relaxed) {
            self.since.store(clock::now(), Ordering::Relaxed);
            tracing::info!(endpoint = self.name(), "takes connections again");
        }
    }

    /// A connection could not be made. Whether it is now known to take none.
    pub(super) fn unreached(&self, after: u32) -> bool {
        let before = self.unreached.fetch_add(1, Ordering::Relaxed);
        let is_news = before.saturating_add(1) >= after && !self.is_unreachable.swap(true, Ordering::Relaxed);
        if is_news {
            tracing::warn!(endpoint = self.name(), "takes no connections; it is asked nothing until it does");
        }
        is_news
    }

    /// What its health check says.
    pub(super) fn checked(&self, is_well: bool) {
        if self.is_unwell.swap(!is_well, Ordering::SeqCst) == is_well {
            if is_well {
                self.since.store(clock::now(), Ordering::Relaxed);
                tracing::info!(endpoint = self.name(), "is healthy again");
            } else {
                tracing::warn!(endpoint = self.name(), "is not healthy");
            }
        }
    }

    /// A request was answered well.
    pub(super) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed. Whether that are so many in a row that it might be left out.
    pub(super) fn failed(&self, reason: Reason, eject: Option<&Eject>) -> bool {
        let at = Reason::ALL.iter().position(|(one, _)| *one == reason);
        if let Some(count) = at.and_then(|at| self.failed.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        eject.is_some_and(|eject| in_a_row >= eject.failures)
    }

    /// Leaves it out: longer, the oftener that happens. A time in use that is as long takes one of them back.
    pub(super) fn eject(&self, eject: &Eject) {
        let now = clock::now();
        let time = clock::millis(eject.time).max(1);
        let (until, before) = (self.ejected_until.load(Ordering::Relaxed), self.ejections.load(Ordering::Relaxed));
        let forgiven = u32::try_from(now.saturating_sub(until) / time).unwrap_or(u32::MAX);
        let ejections = before.saturating_sub(forgiven).saturating_add(1);
        let out = time.saturating_mul(ejections.into()).min(clock::millis(eject.longest));
        self.ejections.store(ejections, Ordering::Relaxed);
        self.ejected_until.store(now.saturating_add(out), Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.ejected.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(endpoint = self.name(), millis = out, "left out: too many failures in a row");
    }
}

fn take(count: &AtomicUsize, most: usize) -> bool {
    if most == usize::MAX {
        count.fetch_add(1, Ordering::SeqCst);
        return true;
    }
    let more = |count: usize| (count < most).then(|| count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
}

fn host_of(place: &Place) -> Option<HeaderValue> {
    let usual = if place.scheme == Scheme::HTTPS { 443 } else { 80 };
    let host = &place.host;
    let told = match host.port_u16() {
        Some(port) if port != usual => format!("{}:{port}", host.host()),
        _ => host.host().to_owned(),
    };
    HeaderValue::from_str(&told).ok()
}

/// Held while a request is with an endpoint.
#[derive(Debug)]
pub(super) struct Slot(Arc<Endpoint>);

impl Drop for Slot {
    fn drop(&mut self) {
        // In one order with what those do who wait: either they see that it is free, or they are seen here.
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) != 0 {
            self.0.freed.notify_one();
        }
    }
}

/// Held while a connection is open.
#[derive(Debug)]
pub(super) struct Open(pub(super) Arc<Endpoint>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Held while a connection waits for its next request.
#[derive(Debug)]
pub(super) struct Kept(Arc<Endpoint>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Held while a request waits.
#[derive(Debug)]
pub(super) struct Waits<'w>(&'w AtomicUsize);

impl<'w> Waits<'w> {
    /// One more. `None`: there are as many as may be.
    pub(super) fn among(waiting: &'w AtomicUsize, most: usize) -> Option<Self> {
        take(waiting, most).then(|| Self(waiting))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
