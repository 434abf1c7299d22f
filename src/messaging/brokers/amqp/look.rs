//! A queue that is looked through: messages are got one by one and given back at the end. A classic queue puts them back
//! where they were, a quorum queue in front, but not always in their order.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::ShortString;
use lapin::{Acker, Channel};

use super::super::super::broker::{Boxed, Inbound, Look, Lost};
use super::connect::Link;
use super::source::Settled;
use super::{Settings, properties, short};

/// Begins to look, over a connection of its own: what it has is given back when that goes, whatever happens.
pub(super) async fn open(settings: &Settings, queue: &str) -> Result<Box<dyn Look>, Lost> {
    let link = Link::open(settings, "bifocal-look").await?;
    let channel = link.channel().await?;
    Ok(Box::new(Looker { channel, link, queue: short(queue)?, left: None, shown: Vec::new() }))
}

struct Looker {
    channel: Channel,
    link: Arc<Link>,
    queue: ShortString,
    /// How many are to come; none: nobody knows yet.
    left: Option<u32>,
    shown: Vec<Acker>,
}

impl Look for Looker {
    fn next(&mut self) -> Boxed<'_, Result<Option<Inbound>, Lost>> {
        Box::pin(async move {
            if self.left == Some(0) {
                return Ok(None);
            }
            let got = self.channel.basic_get(self.queue.clone(), BasicGetOptions::default()).await;
            let got = got.map_err(|error| Lost::when(&format!("queue {}", self.queue), error))?;
            let Some(got) = got else {
                self.left = Some(0);
                return Ok(None);
            };
            // What comes after the first look is not counted.
            self.left = Some(self.left.map_or(got.message_count, |left| left - 1));
            let mut delivery = got.delivery;
            let message = properties::read(&mut delivery);
            self.shown.push(delivery.acker.clone());
            let settle = Box::new(Settled(delivery.acker));
            Ok(Some(Inbound {
                message,
                position: None,
                redelivered: delivery.redelivered,
                waited: Duration::ZERO,
                settle,
            }))
        })
    }

    fn end(self: Box<Self>) -> Boxed<'static, ()> {
        Box::pin(async move {
            let Self { channel, link, shown, .. } = *self;
            for one in shown {
                // What is settled is not given back. Where the connection is gone, the broker does it.
                let _ = one.nack(BasicNackOptions { multiple: false, requeue: true }).await;
            }
            let _ = channel.close(200, short("looked").unwrap_or_default()).await;
            drop(link);
        })
    }
}
