//! A flow: takes messages from one source, has each translated for every target, and settles it when all have it.
//!
//! For each message, in this order and no other: receive, one snapshot of the rules, translate, publish, confirmation, mark
//! as done, settle. What happens between two of these loses nothing: an unsettled message is given out again.
//!
//! Messages of one key follow one another: the next is published when the one before is confirmed. Messages without a key
//! are one lane that is published without waiting; when one fails, nothing behind it is published until it, and those that
//! failed with it, have been published again in their order.

mod admit;
mod answer;
mod dead;
mod entry;
mod keep;
mod lanes;
mod parking;
mod publish;
mod run;
mod session;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

pub(super) use admit::hash_of;
pub(super) use session::{PARKED, parked};
pub use status::{Counts, State, Status};

use super::broker::Broker;
use super::replies::pending::Pending;
use super::seen::Seen;
use crate::plan::{Limits, ServicePlan};
use crate::rules::channel::{self, Address};
use session::{Ended, Session};

/// Bounds of every flow.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Messages that are taken and not settled.
    pub in_flight: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Bytes of a body.
    pub body: usize,
    /// How long a broker may take to confirm.
    pub confirm: Duration,
    /// The first pause after a failure; the pauses grow up to [`Bounds::longest_pause`].
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a flow may take to finish what it has when it is stopped.
    pub drain: Duration,
    /// Limits of translations.
    pub limits: Limits,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_flight: 256,
            bytes: 64 << 20,
            body: 10 << 20,
            confirm: Duration::from_secs(30),
            pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            limits: Limits::default(),
        }
    }
}

/// The rules as they are now.
pub trait Rules: Send + Sync {
    /// One snapshot for one message; none: the service is gone.
    fn snapshot(&self, service: &str) -> Option<Snapshot>;

    /// All services of now, and the number of their generation.
    fn plans(&self) -> (u64, Vec<Arc<ServicePlan>>);

    /// Resolves when there are other rules than those of this generation.
    fn changed(&self, generation: u64) -> super::broker::Boxed<'_, ()>;
}

/// Rules that one message is translated by.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The service.
    pub plan: Arc<ServicePlan>,
    /// Names its rules.
    pub rules: Arc<str>,
    /// Counts generations.
    pub generation: u64,
}

/// A flow and all that it needs.
#[derive(Clone)]
pub struct Flow {
    /// The service's name.
    pub service: String,
    /// The channel's name.
    pub channel: String,
    /// What is read and where it goes.
    pub of: channel::Flow,
    /// The broker of its source.
    pub source: Arc<dyn Broker>,
    /// The brokers of its targets, in their order.
    pub targets: Vec<Arc<dyn Broker>>,
    /// Where dead letters go.
    pub dead: (Arc<dyn Broker>, Address),
    /// What was done before.
    pub seen: Arc<dyn Seen>,
    /// Which requests wait for replies.
    pub pending: Pending,
    /// The rules.
    pub rules: Arc<dyn Rules>,
    /// Bounds.
    pub bounds: Bounds,
    /// What it tells of itself.
    pub status: Arc<Status>,
}

impl Flow {
    /// What operators see of a flow of these.
    pub fn status(service: &str, of: &channel::Flow, dead: Address) -> Arc<Status> {
        Arc::new(Status::new(format!("{service}/{}", of.name), (of.source.clone(), dead), of.guarantee()))
    }

    /// Runs until it is told to stop. What it has not settled by then is given out again by its broker.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut pause = self.bounds.pause;
        while !*stop.borrow() {
            self.status.becomes(State::Connecting);
            let ended = match Session::open(&self, &mut stop).await {
                Some(Ok(session)) => session.run(&mut stop, &mut pause).await,
                Some(Err(lost)) => Ended::Lost(lost.0),
                None => break,
            };
            match ended {
                Ended::Stopped => break,
                Ended::Lost(why) => {
                    self.status.becomes(State::Waiting(why));
                    self.rest(&mut stop, &mut pause).await;
                }
                Ended::Halted { why, generation } => {
                    self.status.becomes(State::Halted(why));
                    tokio::select! {
                        () = self.rules.changed(generation) => {}
                        () = stopped(&mut stop) => break,
                    }
                }
            }
        }
        self.status.becomes(State::Stopped);
    }

    /// Waits a while, longer each time.
    async fn rest(&self, stop: &mut watch::Receiver<bool>, pause: &mut Duration) {
        tokio::select! {
            () = sleep(jittered(*pause)) => {}
            () = stopped(stop) => {}
        }
        *pause = (*pause * 2).min(self.bounds.longest_pause);
    }
}

/// Up to a quarter less, so that flows that were cut at once do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    pause.mul_f64(1.0 - f64::from(nanos % 1000) / 4000.0)
}

/// Waits until it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stop.wait_for(|stop| *stop).await;
}
