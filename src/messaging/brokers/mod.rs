//! One folder or file a broker; each is a [`super::broker::Broker`].

pub mod memory;
