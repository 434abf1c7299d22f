//! Messages that are not read from a broker: each is published in its turn, and who has it hears what the broker says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::broker::{Broker, Confirm, Lost, Sink, Unpublished};
use super::message::Message;
use crate::rules::channel::Address;

/// Messages that wait for one broker; further ones are refused.
const WAITING: usize = 1024;

/// A message to be published.
#[derive(Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub to: Address,
    /// The message.
    pub message: Message,
    /// The id by which a broker that can leaves out repetitions.
    pub once: Option<String>,
    /// The gateway's own address that must be there before.
    pub replies: Option<Address>,
}

struct Waiting {
    outgoing: Outgoing,
    told: oneshot::Sender<Result<(), Unpublished>>,
}

/// Publishes messages.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Sender<Waiting>,
    waiting: Mutex<Option<mpsc::Receiver<Waiting>>>,
    /// How long a broker may take to confirm.
    patience: Duration,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Waiting({})", self.outgoing.to)
    }
}

impl Publisher {
    /// One that waits so long for a confirmation.
    pub fn new(patience: Duration) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        Self { queue, waiting: Mutex::new(Some(waiting)), patience }
    }

    /// Publishes from now on, in this runtime.
    pub fn begin(&self, brokers: BTreeMap<String, Arc<dyn Broker>>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            tokio::spawn(distribute(waiting, brokers, self.patience));
        }
    }

    /// Has a message published; resolves when its broker has confirmed it.
    ///
    /// # Errors
    /// It was not, or nobody knows.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<(), Unpublished> {
        let (told, answer) = oneshot::channel();
        let full = |_| Unpublished::Refused("too many messages wait to be published".to_owned());
        self.queue.try_send(Waiting { outgoing, told }).map_err(full)?;
        let silent = Unpublished::Lost("not confirmed in time".to_owned());
        match timeout(self.patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(silent),
        }
    }
}

/// Brokers do not wait for one another.
async fn distribute(
    mut waiting: mpsc::Receiver<Waiting>,
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    patience: Duration,
) {
    let mut lines: BTreeMap<String, mpsc::Sender<Waiting>> = BTreeMap::new();
    while let Some(one) = waiting.recv().await {
        let name = one.outgoing.to.broker();
        let line = match (lines.get(name), brokers.get(name)) {
            (Some(line), _) => line.clone(),
            (None, Some(broker)) => {
                let (line, own) = mpsc::channel(WAITING);
                tokio::spawn(publish_all(broker.clone(), own, patience));
                lines.insert(name.to_owned(), line.clone());
                line
            }
            (None, None) => {
                let why = format!("there is no `[brokers.{name}]` in the settings");
                // Whoever does not wait any more need not know.
                let _ = one.told.send(Err(Unpublished::Refused(why)));
                continue;
            }
        };
        if let Err(mpsc::error::TrySendError::Full(one) | mpsc::error::TrySendError::Closed(one)) = line.try_send(one) {
            let why = "too many messages wait for the broker".to_owned();
            let _ = one.told.send(Err(Unpublished::Refused(why)));
        }
    }
}

/// What is open at a broker.
struct Open {
    sink: Box<dyn Sink>,
    /// Own addresses that are there.
    made: BTreeSet<Address>,
    /// Somebody has waited in vain.
    is_spoilt: Arc<AtomicBool>,
}

async fn publish_all(broker: Arc<dyn Broker>, mut waiting: mpsc::Receiver<Waiting>, patience: Duration) {
    let mut open: Option<Open> = None;
    while let Some(Waiting { outgoing, told }) = waiting.recv().await {
        if told.is_closed() {
            continue;
        }
        if open.as_ref().is_some_and(|open| open.is_spoilt.load(Ordering::Relaxed)) {
            open = None;
        }
        let was_open = open.is_some();
        let mut handed = timeout(patience, hand(&*broker, &mut open, &outgoing)).await;
        if matches!(handed, Ok(Err(_))) && was_open {
            // What was open had gone meanwhile, and has taken nothing.
            open = None;
            handed = timeout(patience, hand(&*broker, &mut open, &outgoing)).await;
        }
        match handed {
            Ok(Ok(confirm)) => {
                let is_spoilt = open.as_ref().map(|open| open.is_spoilt.clone()).unwrap_or_default();
                tokio::spawn(async move {
                    let lost = |_| Err(Unpublished::Lost("not confirmed in time".to_owned()));
                    let result = timeout(patience, confirm).await.unwrap_or_else(lost);
                    if matches!(result, Err(Unpublished::Lost(_))) {
                        is_spoilt.store(true, Ordering::Relaxed);
                    }
                    let _ = told.send(result);
                });
            }
            Ok(Err(Lost(why))) => {
                open = None;
                let _ = told.send(Err(Unpublished::Refused(why)));
            }
            Err(_) => {
                open = None;
                let _ = told.send(Err(Unpublished::Refused("the broker does not answer".to_owned())));
            }
        }
    }
}

async fn hand(broker: &dyn Broker, open: &mut Option<Open>, outgoing: &Outgoing) -> Result<Confirm, Lost> {
    let open = match open {
        Some(open) => open,
        None => open.insert(Open { sink: broker.sink().await?, made: BTreeSet::new(), is_spoilt: Arc::default() }),
    };
    if let Some(replies) = outgoing.replies.as_ref().filter(|replies| !open.made.contains(replies)) {
        broker.make(replies).await?;
        open.made.insert(replies.clone());
    }
    open.sink.enqueue(&outgoing.to, outgoing.message.clone(), outgoing.once.clone()).await
}
