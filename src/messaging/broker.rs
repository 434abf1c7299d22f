//! What every broker is to a flow: a source that gives messages out until they are settled, and a sink that confirms them.
//!
//! A sink's [`Sink::enqueue`] keeps the order of calls; the [`Confirm`] that it returns is the broker's word that the message
//! is safe. The two are apart so that order is kept without waiting for each message.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::message::Message;
use crate::rules::channel::Address;

/// A future in a box.
pub type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Resolves when the broker has a message for good, or says why it has not.
pub type Confirm = Boxed<'static, Result<(), Unpublished>>;

/// A broker with its settings; connections are made by sources and sinks.
pub trait Broker: fmt::Debug + Send + Sync {
    /// Begins to read an address. `most` messages may be unsettled at a time; `name` is the same over restarts.
    fn source<'b>(
        &'b self,
        address: &'b Address,
        name: &'b str,
        most: usize,
    ) -> Boxed<'b, Result<Box<dyn Source>, Lost>>;

    /// Opens what messages are published by.
    fn sink(&self) -> Boxed<'_, Result<Box<dyn Sink>, Lost>>;

    /// Makes an address that is the gateway's own, unless it is there.
    fn make<'b>(&'b self, address: &'b Address) -> Boxed<'b, Result<(), Lost>>;

    /// Whether it takes this kind of address.
    fn takes(&self, address: &Address) -> bool;

    /// How many messages wait at an address for a reader of this name, if the broker can tell.
    fn waiting<'b>(&'b self, address: &'b Address, name: &'b str) -> Boxed<'b, Result<Option<u64>, Lost>>;

    /// Looks through what is at an address, from behind the position `after`, or its beginning, to where it ends now.
    /// Brokers without positions begin at the beginning.
    fn look<'b>(&'b self, address: &'b Address, after: Option<&'b str>) -> Boxed<'b, Result<Box<dyn Look>, Lost>>;

    /// Where the dead letters of a flow go if nothing else is said; `broker` is its own name in the settings.
    fn dead_letters(&self, broker: &str, flow: &str) -> Address;

    /// The place that a requester has named for its reply; `broker` is its own name in the settings. None: what it says is
    /// no place that its like may have replies at.
    fn reply_address(&self, broker: &str, named: &str) -> Option<Address>;

    /// How a request names an address as the place for its reply; none: it cannot.
    fn reply_name(&self, address: &Address) -> Option<String>;
}

/// Where messages come from. Dropping it gives back what is not settled.
pub trait Source: Send {
    /// The next message. Waits for it; may be dropped while it waits.
    fn next(&mut self) -> Boxed<'_, Result<Inbound, Lost>>;

    /// Asks for no more messages; those that have come may still be settled.
    fn stop(&mut self) -> Boxed<'_, ()>;

    /// Waits until the broker has heard of all that was settled, where settling alone does not say so.
    fn close(&mut self) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What looks through an address once, and takes away only what is settled. Others may not see what it has shown until it
/// ends. Dropping it gives everything else back, sooner or later.
pub trait Look: Send {
    /// The next message; none: that was all.
    fn next(&mut self) -> Boxed<'_, Result<Option<Inbound>, Lost>>;

    /// Gives back what is not settled; resolves when others can see it again.
    fn end(self: Box<Self>) -> Boxed<'static, ()>;
}

/// Where messages go to.
pub trait Sink: Send {
    /// Hands a message over, behind those before it. `once` is the id by which a broker that can leaves out repetitions.
    fn enqueue<'s>(
        &'s mut self,
        to: &'s Address,
        message: Message,
        once: Option<String>,
    ) -> Boxed<'s, Result<Confirm, Lost>>;

    /// Why the broker confirms nothing at the moment, where it has said so itself: what it was handed is waited for, and not
    /// handed over again.
    fn held(&self) -> Option<String> {
        None
    }
}

/// A message that was received.
pub struct Inbound {
    /// The message.
    pub message: Message,
    /// Where it stood, the same when it comes again; none: the broker has no such thing.
    pub position: Option<String>,
    /// Whether it may have been here before.
    pub redelivered: bool,
    /// How long it has been at a broker that does not look at `expiration` itself; zero at those that do.
    pub waited: Duration,
    /// How the broker is told what became of it.
    pub settle: Box<dyn Settle>,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Inbound({:?})", self.position)
    }
}

/// How a broker is told what became of a message. Dropping it tells nothing: the broker gives the message out again when
/// its source is gone.
pub trait Settle: Send {
    /// It is done with, and the broker may forget it.
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>>;

    /// It is still in work.
    fn working(&self) -> Boxed<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The connection is gone, or what stands behind it.
#[derive(Debug, Clone)]
pub struct Lost(pub String);

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Lost {}

impl Lost {
    /// With what was tried.
    pub fn when(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Why a message was not published.
#[derive(Debug, Clone)]
pub enum Unpublished {
    /// The broker has nowhere to put it.
    Unroutable,
    /// It is larger than the broker takes.
    TooLarge,
    /// It cannot be written as the broker writes messages: which part.
    Unwritable(String),
    /// The broker refused it this time.
    Refused(String),
    /// Nobody knows whether it has arrived.
    Lost(String),
}

impl Unpublished {
    /// The reason for the dead letters, where another attempt would end the same way.
    pub fn permanent(&self) -> Option<&'static str> {
        match self {
            Self::Unroutable => Some("unroutable"),
            Self::TooLarge => Some("too_large"),
            Self::Unwritable(_) => Some("unwritable"),
            Self::Refused(_) | Self::Lost(_) => None,
        }
    }
}

impl fmt::Display for Unpublished {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unroutable => out.write_str("nothing takes messages at this address"),
            Self::TooLarge => out.write_str("larger than the broker takes"),
            Self::Unwritable(part) => write!(out, "{part} cannot be written there"),
            Self::Refused(why) => write!(out, "refused: {why}"),
            Self::Lost(why) => write!(out, "no confirmation: {why}"),
        }
    }
}
