//! A queue that is read.

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Consumer};

use std::sync::Arc;
use std::time::Duration;

use super::super::super::broker::{Boxed, Inbound, Lost, Settle, Source};
use super::connect::Link;
use super::{Settings, properties, short};

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
    Ok(Box::new(Reader { consumer, channel, _link: link }))
}

struct Reader {
    consumer: Consumer,
    channel: Channel,
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
            let headers = delivery.properties.headers().as_ref();
            if headers.is_some_and(|headers| headers.contains_key("x-stream-offset")) {
                return Err(Lost("a stream does not keep what was read: it cannot be a source".to_owned()));
            }
            let message = properties::read(&mut delivery);
            let settle = Box::new(Settled(delivery.acker));
            Ok(Inbound { message, position: None, redelivered: delivery.redelivered, waited: Duration::ZERO, settle })
        })
    }

    fn stop(&mut self) -> Boxed<'_, ()> {
        Box::pin(async move {
            // A connection that is gone gives nothing out either.
            let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
        })
    }

    fn close(&mut self) -> Boxed<'_, ()> {
        Box::pin(async move {
            // What has come and was not taken goes back one by one: a quorum queue of RabbitMQ 3.10 loses the order of more
            // than 32 messages that it gets back at once.
            while let Some(Ok(delivery)) = self.consumer.next().await {
                let back = BasicNackOptions { multiple: false, requeue: true };
                if delivery.acker.nack(back).await.is_err() {
                    break;
                }
            }
            // Nobody answers an acknowledgement; an answer to what is said behind it says that it was heard.
            let _ = self.channel.close(200, "".into()).await;
        })
    }
}

/// Bound to the channel that the message came by: it does nothing on any other.
pub(super) struct Settled(pub(super) Acker);

impl Settle for Settled {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(async move {
            match self.0.ack(BasicAckOptions::default()).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Lost("the connection that the message came by is gone".to_owned())),
                Err(error) => Err(Lost::when("the connection that the message came by is gone", error)),
            }
        })
    }
}
