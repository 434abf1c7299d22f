//! A queue that is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Consumer};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::super::broker::{Boxed, Inbound, Lost, Settle, Source};
use super::connect::Link;
use super::{Settings, properties, short};

/// A queue that gives nothing for that long has nothing under way.
const QUIET: Duration = Duration::from_millis(200);

/// Begins to read.
pub(super) async fn open(settings: &Settings, queue: &str, name: &str, most: usize) -> Result<Box<dyn Source>, Lost> {
    let failed = |error| Lost::when(&format!("queue {queue}"), error);
    let link = Link::open(settings, name).await?;
    let channel = link.channel().await?;
    let most = u16::try_from(most).unwrap_or(u16::MAX).max(1);
    channel.basic_qos(most, BasicQosOptions::default()).await.map_err(failed)?;
    // The broker makes up the tag.
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(short(queue)?, short("")?, options, FieldTable::default());
    let consumer = consuming.await.map_err(failed)?;
    let tally = Arc::new(Tally { settled: AtomicUsize::new(0), held: watch::channel(false).0 });
    Ok(Box::new(Reader { consumer, channel, most: usize::from(most), received: 0, tally, _link: link }))
}

struct Reader {
    consumer: Consumer,
    channel: Channel,
    /// How many messages the broker gives out without one of them being settled.
    most: usize,
    received: usize,
    tally: Arc<Tally>,
    /// Gone with the reader, and with it what is not settled.
    _link: Arc<Link>,
}

impl Source for Reader {
    fn next(&mut self) -> Boxed<'_, Result<Inbound, Lost>> {
        Box::pin(async move {
            let mut delivery = match self.consumer.next().await {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Err(Lost::when("the connection is gone", error)),
                None => return Err(Lost("the broker has ended the subscription: the queue is gone".to_owned())),
            };
            self.received += 1;
            let headers = delivery.properties.headers().as_ref();
            if headers.is_some_and(|headers| headers.contains_key("x-stream-offset")) {
                return Err(Lost("a stream does not keep what was read: it cannot be a source".to_owned()));
            }
            let message = properties::read(&mut delivery);
            let settle = Box::new(Held { settled: Settled(delivery.acker), tally: self.tally.clone() });
            Ok(Inbound { message, position: None, redelivered: delivery.redelivered, waited: Duration::ZERO, settle })
        })
    }

    fn stop(&mut self) -> Boxed<'_, ()> {
        Box::pin(async move {
            // A message that is on its way while its reader is cancelled comes back behind all others in a quorum queue. Once
            // there are as many as the broker gives out, or it has no more, none is on its way, as long as none is settled.
            // Those that are thrown away here are given out again.
            self.tally.held.send_replace(true);
            while self.received - self.tally.settled.load(Ordering::SeqCst) < self.most
                && let Ok(Some(Ok(_))) = timeout(QUIET, self.consumer.next()).await
            {
                self.received += 1;
            }
            // A connection that is gone gives nothing out either.
            let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
            self.tally.held.send_replace(false);
        })
    }

    fn close(&mut self) -> Boxed<'_, ()> {
        Box::pin(async move {
            // Nobody answers an acknowledgement; an answer to what is said behind it says that it was heard.
            let _ = self.channel.close(200, "".into()).await;
        })
    }
}

/// What a reader and its messages must agree on.
struct Tally {
    settled: AtomicUsize,
    /// Whether settling waits.
    held: watch::Sender<bool>,
}

/// Bound to the channel that the message came by: it does nothing on any other.
struct Held {
    settled: Settled,
    tally: Arc<Tally>,
}

impl Settle for Held {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(async move {
            let mut held = self.tally.held.subscribe();
            // The sender is here, so it cannot have gone.
            let _ = held.wait_for(|is_held| !is_held).await;
            self.tally.settled.fetch_add(1, Ordering::SeqCst);
            self.settled.acknowledge().await
        })
    }
}

/// The same, where nobody has to agree.
pub(super) struct Settled(pub(super) Acker);

impl Settled {
    async fn acknowledge(self) -> Result<(), Lost> {
        match self.0.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Lost("the connection that the message came by is gone".to_owned())),
            Err(error) => Err(Lost::when("the connection that the message came by is gone", error)),
        }
    }
}

impl Settle for Settled {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(self.acknowledge())
    }
}
