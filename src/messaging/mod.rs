//! Messages: the same rules for queues and topics.
//!
//! ```text
//! Source --take--> one snapshot --version, id--> translate for each target --> Sink --confirm--> mark --> settle
//! ```
//!
//! A flow ([`flow::Flow`]) knows nothing of any broker: each is a [`broker::Broker`], in a file or folder of
//! [`brokers`]. What a message is, is [`message::Message`]. Requests are answered by way of [`replies`].

pub mod broker;
pub mod brokers;
pub mod flow;
mod identify;
pub mod letters;
pub mod message;
pub mod publisher;
pub mod replies;
pub mod seen;
pub mod supervisor;
mod translate;
pub mod watermark;
