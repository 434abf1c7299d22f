//! `RabbitMQ` and other brokers that speak AMQP 0-9-1.
//!
//! A source has a connection of its own: what it has not settled is given out again when it goes, and an acknowledgement can
//! never meet another connection's message of the same number. What is published goes over another one, since a broker in
//! need stops those that publish. Nothing reconnects by itself; whatever is lost is thrown away whole.

mod confirms;
mod connect;
mod headers;
mod look;
mod properties;
mod sink;
mod source;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{ErrorKind, ExchangeKind};

use super::super::broker::{Boxed, Broker, Look, Lost, Sink, Source};
use super::{Secret, Tls};
use crate::rules::channel::Address;
use connect::Link;

/// How a broker is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `amqp://` or `amqps://host:port/vhost`, one for each node of a cluster; tried in turn. Without a path the virtual
    /// host is `/`.
    pub urls: Vec<String>,
    /// With `password`; none: what the URL says, else `guest`.
    pub username: Option<String>,
    /// With `username`.
    pub password: Option<Secret>,
    /// Whether the client certificate says who we are (SASL EXTERNAL), instead of a password.
    pub external: bool,
    /// For `amqps`.
    pub tls: Tls,
    /// How often each side shows that it is there; a connection that is silent for twice that long is given up.
    pub heartbeat: Duration,
    /// How long it may take to connect.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            username: None,
            password: None,
            external: false,
            tls: Tls::default(),
            heartbeat: Duration::from_secs(10),
            patience: Duration::from_secs(10),
        }
    }
}

/// A broker. Clones share the connection that is published over.
#[derive(Debug, Clone)]
pub struct Amqp {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The connection for publishing, while there is one.
    publishing: Mutex<Weak<Link>>,
    /// One at a time makes it.
    connecting: tokio::sync::Mutex<()>,
    /// The largest body, once the broker has said it; zero before.
    largest: AtomicU64,
}

impl Amqp {
    /// One that is reached like this.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), shared: Arc::default() }
    }

    /// The connection that is published over: the one that is there, if it is still good.
    async fn publishing(&self) -> Result<Arc<Link>, Lost> {
        let _one = self.shared.connecting.lock().await;
        let there = || self.shared.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = there().upgrade().filter(|link| link.is_good()) {
            return Ok(link);
        }
        let link = Link::open(&self.settings, "bifocal").await?;
        *there() = Arc::downgrade(&link);
        Ok(link)
    }

    async fn waiting_at(&self, queue: &str) -> Result<Option<u64>, Lost> {
        let link = self.publishing().await?;
        let channel = link.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(short(queue)?, passive, FieldTable::default()).await;
        let found = found.map_err(|error| Lost::when(&format!("queue {queue}"), error))?;
        Ok(Some(u64::from(found.message_count())))
    }

    async fn make_queue(&self, queue: &str) -> Result<(), Lost> {
        let link = self.publishing().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        // Whatever it is, it is there; asking ends the channel if it is not.
        let asked = link.channel().await?.queue_declare(short(queue)?, passive, FieldTable::default()).await;
        match asked {
            Ok(_) => return Ok(()),
            Err(error) if !is_not_found(&error) => return Err(Lost::when(&format!("queue {queue}"), error)),
            Err(_) => {}
        }
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        // Brokers of today drop what was looked at 20 times, unless another number is said.
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let made = link.channel().await?.queue_declare(short(queue)?, durable, arguments).await;
        made.map(|_| ()).map_err(|error| Lost::when(&format!("queue {queue}"), error))
    }

    async fn make_exchange(&self, exchange: &str) -> Result<(), Lost> {
        let link = self.publishing().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let channel = link.channel().await?;
        let asked = channel.exchange_declare(short(exchange)?, ExchangeKind::Topic, passive, FieldTable::default());
        asked.await.map_err(|error| Lost::when(&format!("exchange {exchange}"), error))
    }
}

impl Broker for Amqp {
    fn source<'b>(
        &'b self,
        address: &'b Address,
        name: &'b str,
        most: usize,
    ) -> Boxed<'b, Result<Box<dyn Source>, Lost>> {
        Box::pin(async move {
            let Address::Queue { queue, .. } = address else {
                return Err(Lost(format!("{address} cannot be read: bind a queue to it")));
            };
            source::open(&self.settings, queue, name, most).await
        })
    }

    fn sink(&self) -> Boxed<'_, Result<Box<dyn Sink>, Lost>> {
        Box::pin(async move {
            let link = self.publishing().await?;
            sink::open(link, self.shared.clone()).await
        })
    }

    fn make<'b>(&'b self, address: &'b Address) -> Boxed<'b, Result<(), Lost>> {
        Box::pin(async move {
            match address {
                Address::Queue { queue, .. } => self.make_queue(queue).await,
                // How an exchange routes is not the gateway's to decide.
                Address::Exchange { exchange, .. } => self.make_exchange(exchange).await,
                Address::Subject { .. } | Address::ReplyTo { .. } => {
                    Err(Lost(format!("{address} is none of this broker")))
                }
            }
        })
    }

    fn takes(&self, address: &Address) -> bool {
        matches!(address, Address::Queue { .. } | Address::Exchange { .. } | Address::ReplyTo { .. })
    }

    fn waiting<'b>(&'b self, address: &'b Address, _: &'b str) -> Boxed<'b, Result<Option<u64>, Lost>> {
        Box::pin(async move {
            match address {
                Address::Queue { queue, .. } => self.waiting_at(queue).await,
                Address::Exchange { .. } | Address::Subject { .. } | Address::ReplyTo { .. } => Ok(None),
            }
        })
    }

    fn look<'b>(&'b self, address: &'b Address, _: Option<&'b str>) -> Boxed<'b, Result<Box<dyn Look>, Lost>> {
        Box::pin(async move {
            let Address::Queue { queue, .. } = address else {
                return Err(Lost(format!("{address} cannot be read: bind a queue to it")));
            };
            look::open(&self.settings, queue).await
        })
    }

    fn dead_letters(&self, broker: &str, flow: &str) -> Address {
        Address::Queue { broker: broker.to_owned(), queue: format!("bifocal.dead.{flow}") }
    }

    fn reply_address(&self, broker: &str, named: &str) -> Option<Address> {
        let is_name = !named.is_empty() && named.len() <= 255 && !named.chars().any(char::is_control);
        // The broker's own places are nobody's reply address, but for direct reply-to once it has made it one connection's.
        let is_own = named.strip_prefix("amq.rabbitmq.").is_some_and(|rest| !rest.starts_with("reply-to."));
        (is_name && !is_own).then(|| Address::Queue { broker: broker.to_owned(), queue: named.to_owned() })
    }

    fn reply_name(&self, address: &Address) -> Option<String> {
        match address {
            Address::Queue { queue, .. } => Some(queue.clone()),
            Address::Exchange { .. } | Address::Subject { .. } | Address::ReplyTo { .. } => None,
        }
    }
}

/// A name as the protocol takes it: up to 255 bytes.
fn short(text: &str) -> Result<ShortString, Lost> {
    ShortString::try_new(text).map_err(|_| Lost("a name is longer than 255 bytes".to_owned()))
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == 404)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_go_to_queues_and_waiting_connections() {
        let broker = Amqp::new(Settings::default());
        let goes = |named: &str| broker.reply_address("m", named).is_some();
        assert!(goes("orders.back") && goes("amq.gen-JzTY20BRgKO") && goes("amq.rabbitmq.reply-to.g1h2AA5y"));
        let long = "q".repeat(256);
        for bad in ["", "amq.rabbitmq.reply-to", "amq.rabbitmq.trace", "a\nb", &long] {
            assert!(!goes(bad), "{bad}");
        }
        let at = Address::Queue { broker: "m".into(), queue: "shop.replies".into() };
        assert_eq!(broker.reply_name(&at).as_deref(), Some("shop.replies"));
    }
}
