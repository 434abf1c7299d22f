//! A subject of a stream that is read.
//!
//! Messages are pulled ahead into a line of our own, and the server hears of them until they are settled. Those that an
//! earlier reader of the name had and did not settle come again only after a while, behind newer ones: the newer wait for
//! them, so that nothing overtakes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::Subject;
use async_nats::client::Request;
use async_nats::jetstream;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep_until};

use super::super::super::broker::{Boxed, Inbound, Lost, Settle, Source};
use super::super::super::message::Message;
use super::connect::Link;
use super::{Settings, headers};

/// How long the server keeps a request for messages.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long the server may say nothing meanwhile.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Messages that are asked for at a time, at most.
const BATCH: usize = 256;

/// The stream of a subject.
pub(super) async fn stream(link: &Link, subject: &str, stream: Option<&str>) -> Result<Stream, Lost> {
    let name = if let Some(name) = stream {
        name.to_owned()
    } else {
        let found = link.context.stream_by_subject(subject).await;
        found.map_err(|error| Lost::when(&format!("subject {subject}"), error))?
    };
    link.context.get_stream(&name).await.map_err(|error| Lost::when(&format!("stream {name}"), error))
}

/// Begins to read.
pub(super) async fn open(
    settings: &Settings,
    (subject, named): (&str, Option<&str>),
    name: &str,
    most: usize,
) -> Result<Box<dyn Source>, Lost> {
    let link = Link::open(settings, name).await?;
    let stream = stream(&link, subject, named).await?;
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        filter_subject: subject.to_owned(),
        max_ack_pending: i64::try_from(most).unwrap_or(i64::MAX),
        ..pull::Config::default()
    };
    let failed = |error: &dyn std::fmt::Display| Lost::when(&format!("consumer {name}"), error);
    let consumer: PullConsumer = stream.create_consumer(config).await.map_err(|error| failed(&error))?;
    let before = consumer.get_info().await.map_err(|error| failed(&error))?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(most.clamp(1, BATCH))
        .expires(EXPIRES)
        .heartbeat(HEARTBEAT)
        .messages()
        .await
        .map_err(|error| failed(&error))?;
    let old = Old {
        last: before.delivered.stream_sequence,
        open: before.num_ack_pending,
        until: Instant::now() + settings.ack_wait * 2,
    };
    let store =
        Arc::new(Line { state: Mutex::new(State { old: Some(old), ..State::default() }), changed: Notify::new() });
    let every = (settings.ack_wait / 3).max(Duration::from_millis(100));
    let pulling = tokio::spawn(pull(messages, link.clone(), store.clone(), every));
    Ok(Box::new(Reader { line: store, link, pulling, stream: before.stream_name }))
}

/// What was given out before, and not settled.
struct Old {
    /// The last message of it.
    last: u64,
    /// How many there are.
    open: usize,
    /// So long they are waited for: some may be gone from the stream.
    until: Instant,
}

/// Messages that have come and are not settled.
struct Line {
    state: Mutex<State>,
    changed: Notify,
}

struct Waiting {
    message: jetstream::Message,
    /// Whether it was given out before.
    redelivered: bool,
    /// When the stream took it, in nanoseconds of the epoch.
    published: i128,
}

#[derive(Default)]
struct State {
    /// By their place in the stream.
    waiting: BTreeMap<u64, Box<Waiting>>,
    /// Given out.
    given: BTreeMap<u64, Subject>,
    old: Option<Old>,
    lost: Option<String>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next message, if it is its turn; else when to look again.
    fn take(&mut self) -> Result<(u64, Box<Waiting>), Option<Instant>> {
        if let Some(old) = &self.old {
            let come = self.waiting.range(..=old.last).count();
            if come < old.open && Instant::now() < old.until {
                return Err(Some(old.until));
            }
            self.old = None;
        }
        let (at, waiting) = self.waiting.pop_first().ok_or(None)?;
        if let Some(reply) = &waiting.message.reply {
            self.given.insert(at, reply.clone());
        }
        Ok((at, waiting))
    }
}

/// Pulls messages into the line, and tells the server that those in it are not forgotten.
async fn pull(mut messages: pull::Stream, link: Arc<Link>, store: Arc<Line>, every: Duration) {
    let mut lost = std::pin::pin!(link.lost());
    let mut speak = interval(every);
    let why = loop {
        tokio::select! {
            next = messages.next() => match next {
                Some(Ok(message)) => {
                    let place = message.info().map(|info| {
                        (info.stream_sequence, info.delivered > 1, info.published.unix_timestamp_nanos())
                    });
                    let Ok((at, redelivered, published)) = place else { continue };
                    store.state().waiting.insert(at, Box::new(Waiting { message, redelivered, published }));
                    store.changed.notify_one();
                }
                Some(Err(error)) => break error.to_string(),
                None => break "the server has ended the subscription".to_owned(),
            },
            _ = speak.tick() => {
                let waiting: Vec<Subject> =
                    store.state().waiting.values().filter_map(|one| one.message.reply.clone()).collect();
                for reply in waiting {
                    // A connection that is gone is found out by the others.
                    let _ = link.client.publish(reply, AckKind::Progress.into()).await;
                }
            }
            () = &mut lost => break "the connection is gone".to_owned(),
        }
    };
    store.state().lost = Some(why);
    store.changed.notify_one();
}

struct Reader {
    line: Arc<Line>,
    link: Arc<Link>,
    pulling: JoinHandle<()>,
    /// The stream's name.
    stream: String,
}

impl Source for Reader {
    fn next(&mut self) -> Boxed<'_, Result<Inbound, Lost>> {
        Box::pin(async move {
            loop {
                let until = {
                    let mut state = self.line.state();
                    if let Some(why) = &state.lost {
                        return Err(Lost(why.clone()));
                    }
                    match state.take() {
                        Ok((at, waiting)) => {
                            drop(state);
                            return Ok(self.inbound(at, *waiting));
                        }
                        Err(until) => until,
                    }
                };
                // What changes between the look and here leaves its notice.
                match until {
                    None => self.line.changed.notified().await,
                    Some(until) => tokio::select! {
                        () = self.line.changed.notified() => {}
                        () = sleep_until(until) => {}
                    },
                }
            }
        })
    }

    fn stop(&mut self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.pulling.abort();
            let waiting = std::mem::take(&mut self.line.state().waiting);
            let replies = waiting.into_values().filter_map(|one| one.message.message.reply).collect();
            give_back(&self.link, replies).await;
        })
    }
}

impl Reader {
    fn inbound(&self, at: u64, Waiting { message, redelivered, published }: Waiting) -> Inbound {
        let position = Some(format!("{}/{at}", self.stream));
        let async_nats::Message { subject, reply, payload, headers, .. } = message.message;
        let (headers, properties) = headers::read(headers.as_ref(), &subject);
        let waited = waited(published);
        let settle = Settled { line: self.line.clone(), link: self.link.clone(), at, reply };
        let message = Message { body: payload, properties, headers };
        Inbound { message, position, redelivered, waited, settle: Box::new(settle) }
    }
}

/// How long ago that was. A clock that is put forward while this process runs makes nothing older.
fn waited(published: i128) -> Duration {
    static BEGAN: OnceLock<(SystemTime, Instant)> = OnceLock::new();
    let (clock, began) = BEGAN.get_or_init(|| (SystemTime::now(), Instant::now()));
    let now = clock.duration_since(UNIX_EPOCH).unwrap_or_default() + began.elapsed();
    now.saturating_sub(Duration::from_nanos(u64::try_from(published).unwrap_or(u64::MAX)))
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.pulling.abort();
        let replies = {
            let mut state = self.line.state();
            let waiting = std::mem::take(&mut state.waiting);
            let mut all = std::mem::take(&mut state.given);
            all.extend(waiting.into_iter().filter_map(|(at, one)| Some((at, one.message.message.reply?))));
            all.into_values().collect::<Vec<_>>()
        };
        let link = self.link.clone();
        // Without a runtime nobody is told, and the server finds out by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !replies.is_empty()
        {
            runtime.spawn(async move { give_back(&link, replies).await });
        }
    }
}

/// Gives messages back, in order.
async fn give_back(link: &Link, replies: Vec<Subject>) {
    for reply in replies {
        // What is not given back comes again after a while.
        let _ = link.client.publish(reply, AckKind::Nak(None).into()).await;
    }
    let _ = link.client.flush().await;
}

struct Settled {
    line: Arc<Line>,
    link: Arc<Link>,
    at: u64,
    reply: Option<Subject>,
}

impl Settle for Settled {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(async move {
            let Some(reply) = self.reply else { return Ok(()) };
            let request = Request::new().payload(Bytes::from(AckKind::Ack));
            // The answer says that the server has it: an acknowledgement that is lost is a message that comes again.
            tokio::select! {
                answer = self.link.client.send_request(reply, request) => {
                    answer.map_err(|error| Lost::when("the message could not be acknowledged", error))?;
                }
                () = self.link.lost() => return Err(Lost("the connection is gone".to_owned())),
            }
            self.line.state().given.remove(&self.at);
            Ok(())
        })
    }

    fn working(&self) -> Boxed<'static, ()> {
        let (reply, link) = (self.reply.clone(), self.link.clone());
        Box::pin(async move {
            if let Some(reply) = reply {
                // A connection that is gone is found out by the others.
                let _ = link.client.publish(reply, AckKind::Progress.into()).await;
            }
        })
    }
}
