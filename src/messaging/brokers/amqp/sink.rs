//! What is published: in order, each confirmed, and each to somewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use lapin::Channel;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use tokio::sync::{mpsc, oneshot};

use super::super::super::broker::{Boxed, Confirm, Lost, Sink, Unpublished};
use super::super::super::message::Message;
use super::confirms::{Confirms, Published, Publishing, What};
use super::connect::Link;
use super::{Shared, properties};
use crate::rules::channel::Address;

/// Publications that may be on their way to whoever follows them: more than any flow has under way.
const MOST: usize = 1 << 16;

/// Opens a channel that confirms.
pub(super) async fn open(link: Arc<Link>, shared: Arc<Shared>) -> Result<Box<dyn Sink>, Lost> {
    let channel = link.channel().await?;
    let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
    selected.map_err(|error| Lost::when("confirmations", error))?;
    let (published, new) = mpsc::channel(MOST);
    let learning = shared.clone();
    let learn = Box::new(move |text: &str| {
        if let Some(largest) = largest_of(text) {
            learning.largest.store(largest, Ordering::Relaxed);
        }
    });
    tokio::spawn(Confirms::new(new, link.clone(), learn).run());
    Ok(Box::new(Writer { channel: Arc::new(channel), link, shared, published }))
}

/// The limit that a broker names when it closes a channel over a message that is larger.
fn largest_of(text: &str) -> Option<u64> {
    let (_, limit) = text.split_once("max size ")?;
    limit.trim().split(|one: char| !one.is_ascii_digit()).next()?.parse().ok()
}

struct Writer {
    /// To clone a channel is to clone a dozen handles.
    channel: Arc<Channel>,
    link: Arc<Link>,
    shared: Arc<Shared>,
    published: mpsc::Sender<(Publishing, Published)>,
}

impl Writer {
    fn publish(&self, to: &Address, mut message: Message) -> Result<Confirm, Unpublished> {
        if let Some(why) = self.link.blocked() {
            return Err(Unpublished::Refused(why));
        }
        let largest = self.shared.largest.load(Ordering::Relaxed);
        if largest > 0 && message.body.len() as u64 > largest {
            return Err(Unpublished::TooLarge);
        }
        let (exchange, routing) = place(to, &message)?;
        let (written, size) = properties::write(&mut message, &self.link.username)?;
        // They must fit in one frame, or the broker ends the connection.
        if size > self.link.frame as usize {
            return Err(Unpublished::Unwritable("headers, which are too large,".to_owned()));
        }
        let body = message.body;
        let what = What {
            exchange: exchange.clone(),
            routing: routing.clone(),
            message_id: written.message_id().clone(),
            body: body.clone(),
        };
        let channel = self.channel.clone();
        let options = BasicPublishOptions { mandatory: !is_direct(to), immediate: false };
        let mut publishing: Publishing =
            Box::pin(async move { channel.basic_publish(exchange, routing, options, &body, written).await?.await });
        // Its place in the order is that of this call. What it answers at once, it answers to whoever waits.
        let publishing = match (&mut publishing).now_or_never() {
            Some(result) => Box::pin(std::future::ready(result)),
            None => publishing,
        };
        let (tell, told) = oneshot::channel();
        let gone = || Unpublished::Lost("the connection is gone".to_owned());
        self.published.try_send((publishing, Published { what, tell })).map_err(|_| gone())?;
        let waiting = Waiting { link: self.link.clone(), is_over: false };
        Ok(Box::pin(async move {
            let mut waiting = waiting;
            let result = told.await;
            waiting.is_over = true;
            result.unwrap_or_else(|_| Err(gone()))
        }))
    }
}

impl Sink for Writer {
    fn enqueue<'s>(
        &'s mut self,
        to: &'s Address,
        message: Message,
        _: Option<String>,
    ) -> Boxed<'s, Result<Confirm, Lost>> {
        let handed = if self.link.is_good() && self.channel.status().connected() {
            Ok(self.publish(to, message).unwrap_or_else(|why| Box::pin(std::future::ready(Err(why)))))
        } else {
            Err(Lost("the connection is gone".to_owned()))
        };
        Box::pin(std::future::ready(handed))
    }

    fn held(&self) -> Option<String> {
        self.link.blocked()
    }
}

/// Exchange and routing key.
fn place(to: &Address, message: &Message) -> Result<(ShortString, ShortString), Unpublished> {
    let short =
        |text: &str, what: &str| ShortString::try_new(text).map_err(|_| Unpublished::Unwritable(what.to_owned()));
    match to {
        Address::Queue { queue, .. } => Ok((short("", "exchange")?, short(queue, "queue")?)),
        Address::Exchange { exchange, routing_key, .. } => {
            let key = routing_key.as_deref().or(message.properties.routing.as_deref()).unwrap_or_default();
            Ok((short(exchange, "exchange")?, short(key, "routing key")?))
        }
        Address::Subject { .. } | Address::ReplyTo { .. } => Err(Unpublished::Unroutable),
    }
}

/// Whether an address is a connection that waits for its reply: the broker knows no queue of this name, and would return
/// what must be put into one.
fn is_direct(to: &Address) -> bool {
    matches!(to, Address::Queue { queue, .. } if queue.starts_with("amq.rabbitmq.reply-to."))
}

/// Somebody who waits for a confirmation. One who stops waiting does not trust the connection; unless the broker has said
/// that it takes its time.
struct Waiting {
    link: Arc<Link>,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over && self.link.blocked().is_none() {
            self.link.spoil();
        }
    }
}
