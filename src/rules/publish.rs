//! Calls that become messages; as written and as checked.

use std::time::Duration;

use super::ast::Spanned;
use super::channel::{Address, Replies};
use crate::diagnostic::Span;
use crate::path::template::Template;

/// The longest time that a caller can be made to wait for the reply to a message.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An entry of `publish:` as written: `POST /v2/orders: {channel: orders, wait: 5s}`.
#[derive(Debug, Clone)]
pub struct PublishDecl {
    /// The request, in the newest version's terms.
    pub route: Template,
    /// The channel that its body becomes a message of.
    pub channel: Option<Spanned<String>>,
    /// How long its caller waits for a reply, where it says nothing else.
    pub wait: Option<Spanned<Duration>>,
    /// The headers of the request that the message has, too.
    pub headers: Vec<Spanned<String>>,
    /// Where the whole is written.
    pub span: Span,
}

/// A call whose body becomes a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The request, in the newest version's terms.
    pub route: Template,
    /// The channel that its body becomes a message of.
    pub channel: String,
    /// The version that messages are written in.
    pub version: usize,
    /// Where they are written to.
    pub address: Address,
    /// How long a caller waits for a reply, where it says nothing else.
    pub wait: Option<Duration>,
    /// The headers of the request that the message has, too, in lower case.
    pub headers: Vec<String>,
    /// How messages are replied to; none: they are not.
    pub replies: Option<Replies>,
}
