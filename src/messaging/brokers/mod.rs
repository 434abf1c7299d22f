//! One folder or file a broker; each is a [`super::broker::Broker`].

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
mod secret;
#[cfg(any(feature = "amqp", feature = "nats"))]
mod tls;

pub use secret::Secret;
#[cfg(any(feature = "amqp", feature = "nats"))]
pub use tls::Tls;
