//! What the server answers to what is sent to it.
//!
//! Whatever asks for an answer is numbered, and one subscription has the answers to all of a connection: the client's own
//! requests each make up a random name, a place in a table and a timer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_nats::client::{PublishError, PublishErrorKind};
use async_nats::{Client, HeaderMap, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use super::super::super::broker::Lost;
use super::connect::ANSWER;

/// How often it is looked for answers that have not come in time.
const EVERY: Duration = Duration::from_secs(5);
/// So many looks see one that has not come: by then it is late.
const LOOKS: u64 = ANSWER.as_secs() / EVERY.as_secs();

/// What was asked over one connection.
pub(super) struct Answers {
    client: Client,
    /// Answers go to this and their number.
    prefix: String,
    awaited: Arc<Mutex<Awaited>>,
    reading: JoinHandle<()>,
}

/// An answer.
pub(super) struct Answer {
    /// Whether nobody was there to hear the question.
    pub(super) is_nobody: bool,
    /// What it says.
    pub(super) payload: Bytes,
}

/// Resolves to the answer; to an error where none will come any more.
pub(super) type Awaiting = oneshot::Receiver<Answer>;

/// Those that wait, by number.
#[derive(Default)]
struct Awaited {
    /// The number of the first in the line.
    first: u64,
    /// Each with the looks before it. None: it has its answer, or nobody waits for it.
    line: VecDeque<Option<(u64, oneshot::Sender<Answer>)>>,
    /// How often it was looked for what is late.
    looks: u64,
    is_over: bool,
}

impl Awaited {
    fn ask(&mut self) -> Option<(u64, Awaiting)> {
        if self.is_over {
            return None;
        }
        let (tell, told) = oneshot::channel();
        self.line.push_back(Some((self.looks, tell)));
        Some((self.first + self.line.len() as u64 - 1, told))
    }

    fn take(&mut self, number: u64) -> Option<oneshot::Sender<Answer>> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let (_, tell) = self.line.get_mut(at)?.take()?;
        self.tidy();
        Some(tell)
    }

    /// Whoever has waited too long hears that nothing will come.
    fn give_up(&mut self) {
        self.looks += 1;
        for slot in &mut self.line {
            slot.take_if(|(before, _)| self.looks - *before > LOOKS);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        while self.line.front().is_some_and(Option::is_none) {
            self.line.pop_front();
            self.first += 1;
        }
    }
}

fn locked(awaited: &Mutex<Awaited>) -> MutexGuard<'_, Awaited> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// Over a connection, until it is `lost`.
    pub(super) async fn open(
        client: Client,
        lost: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, async_nats::SubscribeError> {
        let prefix = format!("{}.", client.new_inbox());
        let subscription = client.subscribe(format!("{prefix}*")).await?;
        let awaited = Arc::<Mutex<Awaited>>::default();
        let reading = tokio::spawn(read((subscription, prefix.len()), awaited.clone(), lost));
        Ok(Self { client, prefix, awaited, reading })
    }

    /// Sends something, behind what was sent before.
    pub(super) async fn ask(
        &self,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Awaiting, PublishError> {
        let Some((number, told)) = locked(&self.awaited).ask() else {
            return Err(PublishError::with_source(PublishErrorKind::Send, "the connection is gone"));
        };
        let reply = Subject::from([self.prefix.as_str(), number.to_string().as_str()].concat());
        let sending = async {
            match headers {
                Some(headers) => self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await,
                None => self.client.publish_with_reply(subject, reply, payload).await,
            }
        };
        let mut sending = std::pin::pin!(sending);
        // There is room for most at once: those need no timer.
        let sent = match poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await {
            Poll::Ready(sent) => sent,
            Poll::Pending => timeout(ANSWER, sending)
                .await
                .unwrap_or_else(|late| Err(PublishError::with_source(PublishErrorKind::Send, late))),
        };
        if sent.is_err() {
            locked(&self.awaited).take(number);
        }
        sent.map(|()| told)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.reading.abort();
        end(&self.awaited);
    }
}

/// Gives answers to those that wait for them. What they are sent to ends with their number, behind `prefix` bytes.
async fn read(
    (mut answers, prefix): (Subscriber, usize),
    awaited: Arc<Mutex<Awaited>>,
    lost: impl Future<Output = ()>,
) {
    let mut lost = std::pin::pin!(lost);
    let mut look = interval(EVERY);
    loop {
        tokio::select! {
            biased;
            answer = answers.next() => {
                let Some(answer) = answer else { break };
                let number = answer.subject.get(prefix..).and_then(|number| number.parse().ok());
                if let Some(tell) = number.and_then(|number| locked(&awaited).take(number)) {
                    let is_nobody = answer.status == Some(StatusCode::NO_RESPONDERS);
                    // Whoever does not wait any more has gone away.
                    let _ = tell.send(Answer { is_nobody, payload: answer.payload });
                }
            }
            () = &mut lost => break,
            _ = look.tick() => locked(&awaited).give_up(),
        }
    }
    end(&awaited);
}

/// Nothing will be answered any more.
fn end(awaited: &Mutex<Awaited>) {
    let mut awaited = locked(awaited);
    awaited.is_over = true;
    let line = std::mem::take(&mut awaited.line);
    drop(awaited);
    drop(line);
}

/// Of what was asked and will not be answered.
pub(super) fn silence() -> Lost {
    Lost("the connection is gone, or the server does not answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_answer() {
        let mut awaited = Awaited::default();
        let (first, _told) = awaited.ask().unwrap();
        let (second, mut told) = awaited.ask().unwrap();
        let answer = |text: &'static str| Answer { is_nobody: false, payload: Bytes::from_static(text.as_bytes()) };
        assert!(awaited.take(second).unwrap().send(answer("2")).is_ok());
        assert_eq!(told.try_recv().unwrap().payload, "2");
        assert!(awaited.take(second).is_none(), "it has been answered");
        assert!(awaited.take(second + 1).is_none(), "nobody has asked");
        assert!(awaited.take(first).is_some());
        assert!(awaited.line.is_empty());
        let (third, _told) = awaited.ask().unwrap();
        assert_eq!(third, second + 1);
        assert!(awaited.take(first).is_none(), "long answered");
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut awaited = Awaited::default();
        let (_, mut old) = awaited.ask().unwrap();
        for _ in 0..LOOKS {
            awaited.give_up();
            assert_eq!(old.try_recv().err(), Some(oneshot::error::TryRecvError::Empty));
        }
        let (young, mut told) = awaited.ask().unwrap();
        awaited.give_up();
        assert_eq!(old.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
        assert_eq!(told.try_recv().err(), Some(oneshot::error::TryRecvError::Empty));
        assert!(awaited.take(young).is_some());
    }
}
