//! Channels: logical queues and topics, with an address for each version; as written and as checked.

use std::fmt;
use std::time::Duration;

use super::ast::Spanned;
use crate::diagnostic::Span;
use crate::path::query::Query;

/// An entry of `channels:` as written.
#[derive(Debug, Clone)]
pub struct ChannelDecl {
    /// Its name; rule files say under it what its messages are.
    pub name: Spanned<String>,
    /// Who reads what others wrote.
    pub topology: Option<Spanned<Topology>>,
    /// The version that every message is translated to first, in views.
    pub canonical: Option<Spanned<String>>,
    /// How a message's version is found.
    pub version_by: Vec<Spanned<MessageSource>>,
    /// How a message's id is found.
    pub id_by: Vec<Spanned<MessageSource>>,
    /// How a message's key is found.
    pub key_by: Vec<Spanned<MessageSource>>,
    /// What flows must guarantee.
    pub guarantee: Option<Spanned<Guarantee>>,
    /// Whether messages of one key stay in order.
    pub order: Option<Spanned<Order>>,
    /// What becomes of the messages behind one that cannot be translated.
    pub on_poison: Option<Spanned<OnPoison>>,
    /// How repeated ids are found out.
    pub dedup: Option<Dedup>,
    /// After how many attempts a message goes to the dead letters.
    pub attempts: Option<u32>,
    /// Whether messages must keep the schema of their version.
    pub validate: Option<Spanned<bool>>,
    /// Where dead letters go.
    pub dead_letter: Option<AddressDecl>,
    /// The service-wide answer to requests by message.
    pub replies: Option<RepliesDecl>,
    /// Its addresses by version.
    pub versions: Vec<ChannelVersionDecl>,
    /// Where the whole is written.
    pub span: Span,
}

/// A channel's addresses for one version, as written.
#[derive(Debug, Clone)]
pub struct ChannelVersionDecl {
    /// The version.
    pub version: Spanned<String>,
    /// The CloudEvents type of its messages.
    pub event_type: Option<Spanned<String>>,
    /// Where those who write this version write.
    pub ingress: Option<AddressDecl>,
    /// Where those who read this version read.
    pub egress: Option<AddressDecl>,
    /// Where the whole is written.
    pub span: Span,
}

/// `{broker: main, queue: orders}` as written.
#[derive(Debug, Clone)]
pub struct AddressDecl {
    /// Name of a broker in the settings.
    pub broker: Option<Spanned<String>>,
    /// What of it.
    pub parts: Vec<(Spanned<String>, Spanned<String>)>,
    /// Where the whole is written.
    pub span: Span,
}

/// `replies:` as written.
#[derive(Debug, Clone)]
pub struct RepliesDecl {
    /// The channel whose rules replies have.
    pub channel: Option<Spanned<String>>,
    /// Where services write their replies to: a queue or subject of the gateway's own.
    pub address: Option<AddressDecl>,
    /// How long a reply may take.
    pub timeout: Option<Duration>,
    /// Where the whole is written.
    pub span: Span,
}

/// Who reads what others wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// Everything goes to the canonical version; other versions read views of it.
    #[default]
    Views,
    /// Each version's address is written and read by its own clients; what is written to one appears at all others.
    Mirror,
}

/// What a flow promises of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// It arrives; after a failure perhaps more than once.
    AtLeastOnce,
    /// It arrives, and the target takes it once within its window, because it knows its id.
    EffectivelyOnce,
}

impl Guarantee {
    /// As it is written in files and told to operators.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::EffectivelyOnce => "effectively_once",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Whether messages of one key stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// First deliveries of a key are in the source's order.
    #[default]
    Key,
    /// None is kept.
    None,
}

/// What becomes of the messages behind one that cannot be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPoison {
    /// They go on.
    #[default]
    DeadLetter,
    /// Those of its key follow it, until it has been sent on.
    ParkKey,
    /// The flow stops there.
    Halt,
}

/// How repeated ids are found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedup {
    /// How long an id is known, from when it was first seen; zero: not at all.
    pub window: Duration,
    /// How many ids are known at once; the oldest go first.
    pub entries: u64,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { window: Duration::from_secs(24 * 3600), entries: 1_000_000 }
    }
}

/// Something of a message that names its version, id or key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageSource {
    /// A header's value.
    Header(String),
    /// The `type` of a CloudEvent, or the broker's own property of that name.
    EventType,
    /// A parameter of the content type.
    ContentType(String),
    /// What a query selects in `{header, body}`.
    Query(Query),
    /// The broker's own property of that name: `message_id`, `correlation_id`.
    MessageId,
    /// A CloudEvent's `source` and `id`.
    CloudEvent,
    /// A hash of the body: two messages with the same body are one.
    ContentHash,
}

/// One place of a broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A queue (AMQP).
    Queue {
        /// Name of the broker in the settings.
        broker: String,
        /// Its name.
        queue: String,
    },
    /// An exchange (AMQP); can be written only.
    Exchange {
        /// Name of the broker in the settings.
        broker: String,
        /// Its name.
        exchange: String,
        /// The routing key; none: the message's own.
        routing_key: Option<String>,
    },
    /// A subject of a stream (NATS JetStream).
    Subject {
        /// Name of the broker in the settings.
        broker: String,
        /// The subject.
        subject: String,
        /// The stream that has it; needed where it is read.
        stream: Option<String>,
    },
    /// Wherever a request says that it wants its reply; can be written only.
    ReplyTo {
        /// Name of the broker in the settings.
        broker: String,
    },
}

impl Address {
    /// Name of the broker in the settings.
    pub fn broker(&self) -> &str {
        match self {
            Self::Queue { broker, .. }
            | Self::Exchange { broker, .. }
            | Self::Subject { broker, .. }
            | Self::ReplyTo { broker } => broker,
        }
    }

    /// What it lets a flow promise that writes there.
    pub fn guarantee(&self) -> Guarantee {
        match self {
            Self::Queue { .. } | Self::Exchange { .. } | Self::ReplyTo { .. } => Guarantee::AtLeastOnce,
            Self::Subject { .. } => Guarantee::EffectivelyOnce,
        }
    }
}

impl Address {
    /// What it is written as, in pieces: where it is needed for each message, nothing is to be formatted.
    pub fn parts(&self) -> [&str; 5] {
        match self {
            Self::Queue { broker, queue } => [broker, ":queue/", queue, "", ""],
            Self::Exchange { broker, exchange, routing_key: None } => [broker, ":exchange/", exchange, "", ""],
            Self::Exchange { broker, exchange, routing_key: Some(key) } => [broker, ":exchange/", exchange, "/", key],
            Self::Subject { broker, subject, .. } => [broker, ":subject/", subject, "", ""],
            Self::ReplyTo { broker } => [broker, ":reply-to", "", "", ""],
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().into_iter().try_for_each(|part| out.write_str(part))
    }
}

/// One channel, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Who reads what others wrote.
    pub topology: Topology,
    /// How a message's version is found, before its address says it; tried in this order.
    pub version_by: Vec<MessageSource>,
    /// How its id is found; tried in this order.
    pub id_by: Vec<MessageSource>,
    /// How its key is found; tried in this order.
    pub key_by: Vec<MessageSource>,
    /// Whether messages of one key stay in order.
    pub order: Order,
    /// What becomes of the messages behind one that cannot be translated.
    pub on_poison: OnPoison,
    /// How repeated ids are found out.
    pub dedup: Dedup,
    /// After how many attempts a message goes to the dead letters; none: it is tried for ever.
    pub attempts: Option<u32>,
    /// Where it says that messages must keep the schema of their version.
    pub validate: Option<Span>,
    /// The CloudEvents types of its versions, by version index.
    pub event_types: Vec<(usize, String)>,
    /// What is read and where it goes.
    pub flows: Vec<Flow>,
    /// How requests by message are answered.
    pub replies: Option<Replies>,
}

/// What is read at one address, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// `orders.created/v2`
    pub name: String,
    /// The version of messages there that do not say theirs.
    pub version: usize,
    /// What is read.
    pub source: Address,
    /// Where it goes, at least one.
    pub targets: Vec<Target>,
    /// Where dead letters go; none: a place of the source's broker named after the flow.
    pub dead_letter: Option<Address>,
    /// What it carries.
    pub carries: Carries,
    /// How requests among its messages are answered.
    pub replies: Option<Replies>,
}

/// What a flow carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Messages of a channel, each to every target.
    Messages,
    /// Replies to requests, each to whoever has asked.
    Replies,
}

impl Flow {
    /// What it promises: the least that any of its targets does.
    pub fn guarantee(&self) -> Guarantee {
        self.targets.iter().map(|target| target.address.guarantee()).min().unwrap_or(Guarantee::AtLeastOnce)
    }
}

/// One version's readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The version.
    pub version: usize,
    /// Where they read.
    pub address: Address,
}

/// How requests by message are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    /// The channel whose rules replies have.
    pub channel: String,
    /// Where services write their replies to.
    pub address: Address,
    /// How long a reply may take.
    pub timeout: Duration,
}
