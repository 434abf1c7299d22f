//! NATS `JetStream`.
//!
//! A source is a durable pull consumer with explicit acknowledgements, each confirmed by the server. What is published
//! carries the flow's id for it, by which a stream leaves out repetitions within its window. The client would reconnect by
//! itself; a connection that was lost is thrown away instead, with whoever waits for it told.

mod answers;
mod connect;
mod headers;
mod look;
mod sink;
mod source;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_nats::jetstream::context::GetStreamByNameErrorKind;
use async_nats::jetstream::stream::{Config, StorageType};
use futures_util::TryStreamExt;

use super::super::broker::{Boxed, Broker, Look, Lost, Sink, Source};
use super::{Secret, Tls};
use crate::rules::channel::Address;
use connect::Link;

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `nats://` or `tls://host:port`, one for each server of a cluster.
    pub urls: Vec<String>,
    /// How we say who we are.
    pub identity: Identity,
    /// For `tls`; a certificate of our own may say who we are.
    pub tls: Tls,
    /// For how long a message that was given out may go without a word: so long after a gateway was killed its messages
    /// come again. At least four seconds where messages may wait: the gateway speaks every three.
    pub ack_wait: Duration,
    /// How many servers keep the gateway's own streams.
    pub replicas: usize,
    /// How long it may take to connect.
    pub patience: Duration,
}

/// How we say who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Identity {
    /// Not at all, or by the client certificate.
    #[default]
    None,
    /// By a password.
    User {
        /// Who.
        name: String,
        /// The password.
        password: Secret,
    },
    /// By a token.
    Token(Secret),
    /// By an nkey's seed.
    Nkey(Secret),
    /// By a file of credentials: a JWT and a seed.
    File(PathBuf),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            identity: Identity::None,
            tls: Tls::default(),
            ack_wait: Duration::from_secs(10),
            replicas: 1,
            patience: Duration::from_secs(10),
        }
    }
}

/// A server or a cluster of them. Clones share the connection that is published over.
#[derive(Debug, Clone)]
pub struct Nats {
    settings: Arc<Settings>,
    publishing: Arc<Publishing>,
}

#[derive(Debug, Default)]
struct Publishing {
    link: Mutex<Weak<Link>>,
    /// One at a time makes it.
    connecting: tokio::sync::Mutex<()>,
}

impl Nats {
    /// One that is reached like this.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), publishing: Arc::default() }
    }

    async fn publishing(&self) -> Result<Arc<Link>, Lost> {
        let _one = self.publishing.connecting.lock().await;
        let there = || self.publishing.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = there().upgrade().filter(|link| link.is_good()) {
            return Ok(link);
        }
        let link = Link::open(&self.settings, "bifocal").await?;
        *there() = Arc::downgrade(&link);
        Ok(link)
    }

    async fn make_stream(&self, subject: &str, stream: Option<&str>) -> Result<(), Lost> {
        let link = self.publishing().await?;
        let failed = |error: &dyn std::fmt::Display| Lost::when(&format!("subject {subject}"), error);
        match link.context.stream_by_subject(subject).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
        let config = Config {
            name: stream.map_or_else(|| plain(subject), str::to_owned),
            subjects: vec![subject.to_owned()],
            storage: StorageType::File,
            num_replicas: self.settings.replicas,
            ..Config::default()
        };
        link.context.create_stream(config).await.map(|_| ()).map_err(|error| failed(&error))
    }

    async fn waiting_at(&self, subject: &str, stream: Option<&str>, name: &str) -> Result<Option<u64>, Lost> {
        let link = self.publishing().await?;
        let stream = source::stream(&link, subject, stream).await?;
        if let Ok(info) = stream.consumer_info(name).await {
            return Ok(Some(info.num_pending + info.num_ack_pending as u64));
        }
        // Nobody has read it by this name: all of it waits.
        let failed = |error: &dyn std::fmt::Display| Lost::when(&format!("subject {subject}"), error);
        let subjects = stream.info_with_subjects(subject).await.map_err(|error| failed(&error))?;
        let counts: Vec<(String, usize)> = subjects.try_collect().await.map_err(|error| failed(&error))?;
        Ok(Some(counts.iter().map(|(_, count)| *count as u64).sum()))
    }
}

impl Broker for Nats {
    fn source<'b>(
        &'b self,
        address: &'b Address,
        name: &'b str,
        most: usize,
    ) -> Boxed<'b, Result<Box<dyn Source>, Lost>> {
        Box::pin(async move {
            let Address::Subject { subject, stream, .. } = address else {
                return Err(Lost(format!("{address} is none of this broker")));
            };
            source::open(&self.settings, (subject, stream.as_deref()), name, most).await
        })
    }

    fn sink(&self) -> Boxed<'_, Result<Box<dyn Sink>, Lost>> {
        Box::pin(async move { Ok(sink::open(self.publishing().await?)) })
    }

    fn make<'b>(&'b self, address: &'b Address) -> Boxed<'b, Result<(), Lost>> {
        Box::pin(async move {
            match address {
                Address::Subject { subject, stream, .. } => self.make_stream(subject, stream.as_deref()).await,
                _ => Err(Lost(format!("{address} is none of this broker"))),
            }
        })
    }

    fn takes(&self, address: &Address) -> bool {
        matches!(address, Address::Subject { .. } | Address::ReplyTo { .. })
    }

    fn waiting<'b>(&'b self, address: &'b Address, name: &'b str) -> Boxed<'b, Result<Option<u64>, Lost>> {
        Box::pin(async move {
            match address {
                Address::Subject { subject, stream, .. } => self.waiting_at(subject, stream.as_deref(), name).await,
                _ => Ok(None),
            }
        })
    }

    fn look<'b>(&'b self, address: &'b Address, after: Option<&'b str>) -> Boxed<'b, Result<Box<dyn Look>, Lost>> {
        Box::pin(async move {
            let Address::Subject { subject, stream, .. } = address else {
                return Err(Lost(format!("{address} is none of this broker")));
            };
            look::open(self.publishing().await?, (subject, stream.as_deref()), after).await
        })
    }

    fn dead_letters(&self, broker: &str, flow: &str) -> Address {
        let name = plain(flow);
        Address::Subject {
            broker: broker.to_owned(),
            subject: format!("bifocal.dead.{name}"),
            stream: Some(format!("bifocal-dead-{name}")),
        }
    }

    fn reply_address(&self, broker: &str, named: &str) -> Option<Address> {
        // A subject that begins with `$` tells the server what to do: nobody's reply may.
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|one| one.is_ascii_graphic() && one != b'*' && one != b'>')
        };
        let is_subject = named.len() <= 255 && !named.starts_with('$') && named.split('.').all(is_word);
        is_subject.then(|| Address::Subject { broker: broker.to_owned(), subject: named.to_owned(), stream: None })
    }

    fn reply_name(&self, address: &Address) -> Option<String> {
        match address {
            Address::Subject { subject, .. } if !subject.contains(['*', '>']) => Some(subject.clone()),
            _ => None,
        }
    }
}

/// A name as one token of a subject, or a stream's.
fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_ascii_alphanumeric() || one == '_' { one } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_go_to_subjects_that_are_nobodys_orders() {
        let broker = Nats::new(Settings::default());
        let goes = |named: &str| broker.reply_address("m", named).is_some();
        assert!(goes("orders.back") && goes("_INBOX.a7.1"));
        for bad in
            ["", "$JS.API.STREAM.DELETE.ORDERS", "$SYS.x", "a.*", "a.>", "a..b", ".a", "a b", "a\r\nPUB x 0", "ä"]
        {
            assert!(!goes(bad), "{bad}");
        }
    }
}
