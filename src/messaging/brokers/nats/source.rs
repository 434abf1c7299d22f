//! A subject of a stream that is read.
//!
//! Messages are pulled ahead into a line of our own, and the server hears of them until they are settled. Those that an
//! earlier reader of the name had and did not settle come again only after a while, behind newer ones: the newer wait for
//! them, so that nothing overtakes.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::Subject;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, interval, sleep_until};

use super::super::super::broker::{Boxed, Inbound, Lost, Settle, Source};
use super::super::super::message::Message;
use super::answers::silence;
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
    let state = State {
        messages: Some(messages),
        waiting: VecDeque::new(),
        given: VecDeque::new(),
        old: Some(old),
        lost: None,
        reader: None,
    };
    let shared = Arc::new(Line(Mutex::new(state)));
    let every = (settings.ack_wait / 3).clamp(Duration::from_millis(100), HEARTBEAT / 2);
    let watching = tokio::spawn(watch(link.clone(), shared.clone(), every));
    Ok(Box::new(Reader { line: shared, link, watching, stream: before.stream_name }))
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
struct Line(Mutex<State>);

struct State {
    /// Whence they come; none: no more are wanted.
    messages: Option<pull::Stream>,
    /// By their place in the stream.
    waiting: VecDeque<(u64, Waiting)>,
    /// Given out and not settled, by their place.
    given: VecDeque<(u64, Subject)>,
    old: Option<Old>,
    lost: Option<String>,
    /// Who waits for more.
    reader: Option<Waker>,
}

struct Waiting {
    message: async_nats::Message,
    /// Whether it was given out before.
    redelivered: bool,
    /// When the stream took it, in nanoseconds of the epoch.
    published: u64,
}

/// Puts something in its place; most come last.
fn put<T>(line: &mut VecDeque<(u64, T)>, at: u64, one: T) {
    if line.back().is_none_or(|(last, _)| *last < at) {
        line.push_back((at, one));
        return;
    }
    match line.binary_search_by_key(&at, |(at, _)| *at) {
        Ok(found) => {
            if let Some((_, slot)) = line.get_mut(found) {
                *slot = one;
            }
        }
        Err(behind) => line.insert(behind, (at, one)),
    }
}

/// Takes what is in a place; it is mostly the first.
fn remove<T>(line: &mut VecDeque<(u64, T)>, at: u64) {
    if let Ok(found) = line.binary_search_by_key(&at, |(at, _)| *at) {
        line.remove(found);
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts whatever has come into the line.
    fn fill(&mut self, context: &mut Context<'_>) {
        while self.lost.is_none()
            && let Some(messages) = &mut self.messages
        {
            match messages.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(message))) => {
                    let message = message.message;
                    let place = message.reply.as_deref().and_then(Place::of);
                    let Some(Place { at, delivered, published }) = place else { continue };
                    put(&mut self.waiting, at, Waiting { message, redelivered: delivered > 1, published });
                }
                Poll::Ready(Some(Err(error))) => self.lost = Some(error.to_string()),
                Poll::Ready(None) => self.lost = Some("the server has ended the subscription".to_owned()),
                Poll::Pending => break,
            }
        }
    }

    /// The next message, if it is its turn; else when to look again.
    fn take(&mut self) -> Result<(u64, Waiting), Option<Instant>> {
        if let Some(old) = &self.old {
            let come = self.waiting.iter().take_while(|(at, _)| *at <= old.last).count();
            if come < old.open && Instant::now() < old.until {
                return Err(Some(old.until));
            }
            self.old = None;
        }
        let (at, waiting) = self.waiting.pop_front().ok_or(None)?;
        if let Some(reply) = &waiting.message.reply {
            put(&mut self.given, at, reply.clone());
        }
        Ok((at, waiting))
    }

    fn settled(&mut self, at: u64) {
        remove(&mut self.given, at);
    }

    /// Takes no more, and answers what is not given out, by its place.
    fn end(&mut self) -> BTreeMap<u64, Subject> {
        self.fill(&mut Context::from_waker(Waker::noop()));
        self.messages = None;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.filter_map(|(at, one)| Some((at, one.message.reply?))).collect()
    }

    /// Whoever waits looks again.
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// What the address of an acknowledgement says of its message.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// In the stream.
    at: u64,
    /// How often it was given out.
    delivered: u64,
    /// When the stream took it, in nanoseconds of the epoch.
    published: u64,
}

impl Place {
    /// Of `$JS.ACK.<stream>.<consumer>.<delivered>.<place>.<place for the consumer>.<time>.<pending>`; newer servers have
    /// the domain and the account before the stream, and may have more at the end.
    fn of(reply: &str) -> Option<Self> {
        let told = reply.strip_prefix("$JS.ACK.")?.as_bytes();
        let is_new = told.iter().filter(|one| **one == b'.').nth(7).is_some();
        let mut parts = told.split(|one| *one == b'.').skip(if is_new { 4 } else { 2 });
        let mut number = || number(parts.next()?);
        let (delivered, at, _, published) = (number()?, number()?, number()?, number()?);
        Some(Self { at, delivered, published })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    digits.iter().try_fold(0, add).filter(|_| !digits.is_empty())
}

/// Tells the server that messages in the line are not forgotten, and the line when the connection is lost. It looks for
/// messages, too: nobody may have asked for them for a while.
async fn watch(link: Arc<Link>, shared: Arc<Line>, every: Duration) {
    let mut lost = std::pin::pin!(link.lost());
    let mut speak = interval(every);
    loop {
        tokio::select! {
            _ = speak.tick() => {
                let waiting: Vec<Subject> = {
                    let mut state = shared.state();
                    // What comes later wakes the reader, as it would have.
                    let waker = state.reader.clone();
                    state.fill(&mut Context::from_waker(waker.as_ref().unwrap_or(Waker::noop())));
                    if !state.waiting.is_empty() || state.lost.is_some() {
                        state.wake();
                    }
                    state.waiting.iter().filter_map(|(_, one)| one.message.reply.clone()).collect()
                };
                for reply in waiting {
                    // A connection that is gone is found out by the others.
                    let _ = link.client.publish(reply, AckKind::Progress.into()).await;
                }
            }
            () = &mut lost => break,
        }
    }
    let mut state = shared.state();
    state.lost.get_or_insert_with(|| "the connection is gone".to_owned());
    state.wake();
}

struct Reader {
    line: Arc<Line>,
    link: Arc<Link>,
    watching: JoinHandle<()>,
    /// The stream's name.
    stream: String,
}

impl Source for Reader {
    fn next(&mut self) -> Boxed<'_, Result<Inbound, Lost>> {
        let mut timer = None;
        Box::pin(poll_fn(move |context| self.poll(context, &mut timer)))
    }

    fn stop(&mut self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.watching.abort();
            let waiting = self.line.state().end();
            give_back(&self.link, waiting.into_values().collect()).await;
        })
    }
}

impl Reader {
    fn poll(&self, context: &mut Context<'_>, timer: &mut Option<Pin<Box<Sleep>>>) -> Poll<Result<Inbound, Lost>> {
        let mut state = self.line.state();
        loop {
            if state.waiting.is_empty() || state.old.is_some() {
                state.fill(context);
            }
            if let Some(why) = &state.lost {
                return Poll::Ready(Err(Lost(why.clone())));
            }
            let until = match state.take() {
                Ok((at, waiting)) => {
                    drop(state);
                    return Poll::Ready(Ok(self.inbound(at, waiting)));
                }
                Err(until) => until,
            };
            *timer = until.map(|until| timer.take().unwrap_or_else(|| Box::pin(sleep_until(until))));
            if timer.as_mut().is_none_or(|timer| timer.as_mut().poll(context).is_pending()) {
                break;
            }
            *timer = None;
        }
        if state.reader.as_ref().is_none_or(|reader| !reader.will_wake(context.waker())) {
            state.reader = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn inbound(&self, at: u64, Waiting { message, redelivered, published }: Waiting) -> Inbound {
        let position = Some([self.stream.as_str(), "/", at.to_string().as_str()].concat());
        let async_nats::Message { subject, reply, payload, headers, .. } = message;
        let (headers, properties) = headers::read(headers.as_ref(), &subject);
        let waited = waited(published);
        let settle = Settled { line: self.line.clone(), link: self.link.clone(), at, reply };
        let message = Message { body: payload, properties, headers };
        Inbound { message, position, redelivered, waited, settle: Box::new(settle) }
    }
}

/// How long ago that was. A clock that is put forward while this process runs makes nothing older.
fn waited(published: u64) -> Duration {
    static BEGAN: OnceLock<(SystemTime, Instant)> = OnceLock::new();
    let (clock, began) = BEGAN.get_or_init(|| (SystemTime::now(), Instant::now()));
    let now = clock.duration_since(UNIX_EPOCH).unwrap_or_default() + began.elapsed();
    now.saturating_sub(Duration::from_nanos(published))
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.watching.abort();
        let replies: Vec<Subject> = {
            let mut state = self.line.state();
            let mut all = state.end();
            all.extend(std::mem::take(&mut state.given));
            all.into_values().collect()
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
            let failed = |error: &dyn std::fmt::Display| Lost::when("the message could not be acknowledged", error);
            // The answer says that the server has it: an acknowledgement that is lost is a message that comes again.
            let asked = self.link.answers.ask(reply, None, Bytes::from(AckKind::Ack)).await;
            let answer = asked.map_err(|error| failed(&error))?.await;
            match answer {
                Ok(answer) if answer.is_nobody => return Err(failed(&"nobody takes it")),
                Ok(_) => {}
                Err(_) => return Err(failed(&silence())),
            }
            self.line.state().settled(self.at);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_addresses_of_acknowledgements_are_read() {
        let place = Some(Place { at: 42, delivered: 2, published: 1_700_000_000_000_000_007 });
        assert_eq!(Place::of("$JS.ACK.S.c.2.42.7.1700000000000000007.3"), place);
        assert_eq!(Place::of("$JS.ACK._.HASH.S.c.2.42.7.1700000000000000007.3"), place);
        assert_eq!(Place::of("$JS.ACK.hub.HASH.S.c.2.42.7.1700000000000000007.3.random.more"), place);
        for other in [
            "",
            "$JS.ACK.",
            "$JS.ACK.S.c.2.42",
            "$JS.ACK.S.c.2.x.7.1.3",
            "$JS.ACK.S.c.2..7.1.3",
            "$JS.ACK.S.c.2.18446744073709551616.7.1.3",
            "_INBOX.a.b.2.42.7.1.3",
        ] {
            assert_eq!(Place::of(other), None, "{other}");
        }
    }

    #[test]
    fn each_comes_to_its_place() {
        let mut line = VecDeque::new();
        for (at, one) in [(3, 'a'), (5, 'b'), (4, 'c'), (1, 'd'), (5, 'e')] {
            put(&mut line, at, one);
        }
        assert_eq!(line, [(1, 'd'), (3, 'a'), (4, 'c'), (5, 'e')]);
        for at in [4, 4, 5] {
            remove(&mut line, at);
        }
        assert_eq!(line, [(1, 'd'), (3, 'a')], "nothing stays of those behind the first");
    }
}
