//! One folder or file a broker; each is a [`super::broker::Broker`].

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
mod secret;
#[cfg(any(feature = "amqp", feature = "nats"))]
mod tls;

/// The libraries that speak to brokers, by the targets of their log.
pub const CLIENTS: [&str; 2] = ["lapin", "async_nats"];

pub use secret::Secret;
#[cfg(any(feature = "amqp", feature = "nats"))]
pub use tls::Tls;
