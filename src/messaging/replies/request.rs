//! A message that asks for a reply, on its way to whoever answers.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::super::message::Message;
use super::pending::{Request, Requester};
use crate::rules::channel::Replies;
use crate::store::{millis, now};

/// What of a message's request is kept.
#[derive(Debug, Clone)]
pub(in crate::messaging) struct Asked {
    /// Names it, the same whenever the message comes.
    pub(in crate::messaging) key: String,
    pub(in crate::messaging) request: Request,
    /// Whether its name may be another's, too.
    pub(in crate::messaging) is_reused: bool,
}

/// Where a message comes from.
pub(in crate::messaging) struct Origin<'o> {
    /// The flow that has taken it.
    pub(in crate::messaging) flow: &'o str,
    /// The broker that it was read from.
    pub(in crate::messaging) broker: &'o str,
    /// By which it is known when it comes again.
    pub(in crate::messaging) id: Option<&'o str>,
    /// Its version's name.
    pub(in crate::messaging) version: &'o str,
}

impl Asked {
    /// What a message asks; none: it wants no reply.
    pub(in crate::messaging) fn of(message: &Message, origin: &Origin<'_>, replies: &Replies) -> Option<Self> {
        let reply_to = message.properties.reply_to.as_deref().filter(|text| !text.is_empty())?;
        let correlation_id = message.properties.correlation_id.clone();
        let said = correlation_id.as_deref().filter(|id| !id.is_empty());
        let once = match (origin.id, said) {
            (Some(_), _) | (None, Some(_)) => String::new(),
            // Nothing tells it from the next one.
            (None, None) => format!("{:016x}{:016x}", crate::gateway::random(), crate::gateway::random()),
        };
        let parts = [origin.flow, origin.broker, reply_to, said.unwrap_or(""), origin.id.unwrap_or(""), &once];
        let is_reused = origin.id.is_none();
        let request = Request {
            requester: Requester::Reader {
                broker: origin.broker.to_owned(),
                reply_to: reply_to.to_owned(),
                correlation_id: correlation_id.clone(),
            },
            version: origin.version.to_owned(),
            deadline: now().saturating_add(millis(replies.timeout)),
            turn: if is_reused { now() } else { 0 },
            answered: None,
        };
        Some(Self { key: key(&parts), request, is_reused })
    }

    /// Its correlation id for the services of a version.
    pub(in crate::messaging) fn correlation(&self, version: &str) -> String {
        correlation(&self.key, version)
    }
}

/// A name of 32 letters for what these tell from everything else.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The correlation id of a request to the services of a version: what answers says by it which one it answers, and in whose
/// terms where it says nothing else.
pub(crate) fn correlation(key: &str, version: &str) -> String {
    format!("{key}/{version}")
}

/// What [`correlation`] was given; none: it is no correlation id of the gateway.
pub(in crate::messaging) fn read_correlation(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(key, _)| key.len() == 32 && key.bytes().all(|one| one.is_ascii_hexdigit()))
}
