//! Which message was returned.
//!
//! A broker returns what it can put nowhere, and confirms it all the same, the return first. The client hangs each returned
//! message on whichever confirmation comes next, in whatever order it counts those that are confirmed at once: the two need
//! not belong together. What it does keep is this: returned messages wait in one line, and every confirmation takes the
//! first of it along. So a confirmation that came without one came when the line was empty: if its message was returned, that
//! hung on an earlier confirmation, and has been seen. One that came with another's tells nothing of its own, until a later
//! one comes without, or none is outstanding.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use lapin::message::BasicReturnMessage;
use lapin::types::ShortString;
use lapin::{Confirmation, ErrorKind};
use tokio::sync::{mpsc, oneshot};

use super::super::super::broker::{Boxed, Unpublished};
use super::connect::Link;

/// How often in a row nothing must be ready before all that was has been seen: the pool pauses of itself now and then.
const QUIET: u8 = 3;

/// A message that was published and is not confirmed.
pub(super) struct Published {
    pub(super) what: What,
    pub(super) tell: oneshot::Sender<Result<(), Unpublished>>,
}

/// By what a returned message is known again. Two that are the same in all of this may stand for one another.
pub(super) struct What {
    pub(super) exchange: ShortString,
    pub(super) routing: ShortString,
    pub(super) message_id: Option<ShortString>,
    pub(super) body: Bytes,
}

impl What {
    fn is(&self, returned: &BasicReturnMessage) -> bool {
        self.exchange == returned.exchange
            && self.routing == returned.routing_key
            && self.message_id == *returned.properties.message_id()
            && self.body == returned.data
    }
}

/// A publication under way.
pub(super) type Publishing = Boxed<'static, lapin::Result<Confirmation>>;

type Resolved = (u64, lapin::Result<Confirmation>);

/// One that is out, by its number.
struct Out {
    at: u64,
    publishing: Publishing,
}

impl Future for Out {
    type Output = Resolved;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Resolved> {
        let at = self.at;
        self.publishing.as_mut().poll(cx).map(|result| (at, result))
    }
}

/// Tells everybody who published over a channel what became of it.
pub(super) struct Confirms {
    new: mpsc::Receiver<(Publishing, Published)>,
    is_closed: bool,
    out: FuturesUnordered<Out>,
    next: u64,
    /// Those that are out, in the order in which they were published; and those of which nothing is certain.
    open: std::collections::BTreeMap<u64, Open>,
    link: Arc<Link>,
    /// Hears how large a body may be.
    learn: Learn,
}

type Learn = Box<dyn Fn(&str) + Send>;

struct Open {
    published: Published,
    is_returned: bool,
    /// Confirmed, with another's returned message.
    is_confirmed: bool,
}

impl Confirms {
    pub(super) fn new(new: mpsc::Receiver<(Publishing, Published)>, link: Arc<Link>, learn: Learn) -> Self {
        let (out, open) = (FuturesUnordered::new(), std::collections::BTreeMap::new());
        Self { new, is_closed: false, out, next: 0, open, link, learn }
    }

    /// Until nobody publishes any more, and nobody waits.
    pub(super) async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.take_new(cx);
        let mut resolved: Vec<Resolved> = Vec::new();
        let mut quiet = 0;
        while quiet < QUIET {
            match Pin::new(&mut self.out).poll_next(cx) {
                Poll::Ready(Some(one)) => {
                    resolved.push(one);
                    quiet = 0;
                }
                Poll::Ready(None) => break,
                Poll::Pending => quiet += 1,
            }
        }
        if !resolved.is_empty() {
            self.settle(resolved);
        }
        if self.is_closed {
            self.open.retain(|_, open| !open.published.tell.is_closed());
            if self.open.is_empty() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn take_new(&mut self, cx: &mut Context<'_>) {
        while !self.is_closed {
            match self.new.poll_recv(cx) {
                Poll::Ready(Some((publishing, published))) => {
                    let at = self.next;
                    self.next += 1;
                    self.open.insert(at, Open { published, is_returned: false, is_confirmed: false });
                    self.out.push(Out { at, publishing });
                }
                Poll::Ready(None) => self.is_closed = true,
                Poll::Pending => break,
            }
        }
    }

    fn settle(&mut self, resolved: Vec<Resolved>) {
        let mut results = Vec::with_capacity(resolved.len());
        for (at, result) in resolved {
            match result {
                Ok(Confirmation::Ack(returned)) => results.push((at, true, self.note(returned))),
                Ok(Confirmation::Nack(returned)) => results.push((at, false, self.note(returned))),
                Ok(Confirmation::NotRequested) => {
                    self.tell(at, Err(Unpublished::Lost("the channel confirms nothing".to_owned())));
                }
                Err(error) => {
                    if let ErrorKind::ProtocolError(error) = error.kind() {
                        (self.learn)(error.get_message().as_str());
                    }
                    self.tell(at, Err(Unpublished::Lost(error.to_string())));
                }
            }
        }
        // Whatever hung in the line when those of before were confirmed has been seen by now.
        if results.iter().any(|(_, _, had_one)| !had_one) {
            self.decide();
        }
        for (at, is_stored, had_one) in results {
            let Some(open) = self.open.get_mut(&at) else { continue };
            if open.is_returned {
                self.tell(at, Err(Unpublished::Unroutable));
            } else if !is_stored {
                self.tell(at, Err(Unpublished::Refused("the broker has not stored it".to_owned())));
            } else if had_one {
                open.is_confirmed = true;
            } else {
                self.tell(at, Ok(()));
            }
        }
        if self.out.is_empty() {
            self.decide();
        }
    }

    /// A returned message belongs to the first of its kind that is out.
    fn note(&mut self, returned: Option<BasicReturnMessage>) -> bool {
        let Some(returned) = returned else { return false };
        let known = self.open.values_mut().find(|open| !open.is_returned && open.published.what.is(&returned));
        if let Some(open) = known {
            open.is_returned = true;
            return true;
        }
        // Whose it is nobody can tell: none of those that are out may count as stored.
        self.link.spoil();
        let all: Vec<u64> = self.open.keys().copied().collect();
        for at in all {
            self.tell(at, Err(Unpublished::Lost("a message was returned that nobody knows".to_owned())));
        }
        true
    }

    /// Nothing more can come of those that are confirmed.
    fn decide(&mut self) {
        let certain: Vec<u64> = self.open.iter().filter(|(_, open)| open.is_confirmed).map(|(at, _)| *at).collect();
        for at in certain {
            let is_returned = self.open.get(&at).is_some_and(|open| open.is_returned);
            self.tell(at, if is_returned { Err(Unpublished::Unroutable) } else { Ok(()) });
        }
    }

    fn tell(&mut self, at: u64, result: Result<(), Unpublished>) {
        if let Some(open) = self.open.remove(&at) {
            // Who does not wait any more does not want to know.
            let _ = open.published.tell.send(result);
        }
    }
}
