//! A dead letter: the message as it came, with what happened to it in headers beside its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::super::message::{Message, Value};
use super::super::translate::Poison;
use crate::gateway::rfc3339;
use crate::path::percent;

/// What the headers of a dead letter begin with. No message of another kind has such a header when it goes on.
const PREFIX: &str = "bifocal-dead-";
/// On what was sent on from the dead letters: the letter's id.
pub const REDRIVE: &str = "bifocal-redrive";

/// What a letter says of its message. Nothing of it is a value of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// By which it is known, however often it comes back.
    pub id: String,
    /// A stable word for what was wrong.
    pub reason: String,
    /// For operators.
    pub detail: String,
    /// The place in the message that was at fault, in its writer's terms.
    pub place: String,
    /// The flow: `orders/orders.created/v2`.
    pub flow: String,
    /// The version that the message was in; empty: nobody knows.
    pub from: String,
    /// The version that it was to become.
    pub to: String,
    /// The rules that it was translated by.
    pub rules: String,
    /// Where it stood at its source; empty: the broker has no such thing.
    pub position: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first taken (RFC 3339).
    pub first_at: String,
    /// When it became this letter.
    pub last_at: String,
    /// Letters of one flow are in the order of this number, which is that of their messages.
    pub order: u64,
    /// How often it was sent on and came back.
    pub returns: u32,
}

/// A letter, taken apart.
#[derive(Debug, Clone)]
pub struct Letter {
    /// What it says.
    pub facts: Facts,
    /// The message as it came.
    pub message: Message,
}

/// The last number that a message got.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The time in nanoseconds, but always more than the time before: a clock that is put back does not turn letters around.
pub(in crate::messaging) fn next_order() -> u64 {
    let now = u64::try_from(now().as_nanos()).unwrap_or(u64::MAX);
    let before = LAST.fetch_max(now, Ordering::Relaxed);
    if before < now { now } else { LAST.fetch_add(1, Ordering::Relaxed).saturating_add(1) }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Facts {
    /// What is to be said of a message that is poison for one version's readers. `since`: how long ago it was taken.
    pub(in crate::messaging) fn of(message: &Message, poison: &Poison, (order, since): (u64, Duration)) -> Self {
        let mut facts = Self { order, first_at: rfc3339(now().saturating_sub(since)), ..Self::default() };
        facts.blame(poison);
        // Told apart without its headers, which brokers add to.
        facts.id = digest(&[&message.body]);
        facts
    }

    /// Why it is a letter, from now on.
    pub(in crate::messaging) fn blame(&mut self, poison: &Poison) {
        poison.reason.clone_into(&mut self.reason);
        self.detail.clone_from(&poison.detail);
        self.place.clone_from(&poison.place);
        self.last_at = rfc3339(now());
    }

    /// Gives it its id: the same when the same message becomes a letter again because nobody knows that it has.
    pub(in crate::messaging) fn identify(&mut self) {
        let apart = if self.position.is_empty() { self.order.to_string() } else { self.position.clone() };
        self.id = digest(&[self.id.as_bytes(), self.flow.as_bytes(), self.to.as_bytes(), apart.as_bytes()]);
    }

    /// By which a broker that can takes this letter once. One that comes back is another one.
    pub(in crate::messaging) fn once(&self) -> String {
        format!("{}.{}", self.id, self.returns)
    }

    /// What must be read as it was written.
    fn names(&self) -> [(&'static str, &str); 5] {
        [("id", &self.id), ("flow", &self.flow), ("from", &self.from), ("to", &self.to), ("position", &self.position)]
    }

    /// What is only shown.
    fn words(&self) -> [(&'static str, &str); 5] {
        [
            ("reason", &self.reason),
            ("detail", &self.detail),
            ("place", &self.place),
            ("rules", &self.rules),
            ("first-at", &self.first_at),
        ]
    }
}

impl Letter {
    /// The letter as a message.
    pub(in crate::messaging) fn write(&self) -> Message {
        let mut letter = self.message.clone();
        clean(&mut letter);
        let Facts { attempts, order, returns, last_at, .. } = &self.facts;
        let mut say = |name: &str, text: &str| {
            if !text.is_empty() {
                letter.headers.push(format!("{PREFIX}{name}"), Value::text(text));
            }
        };
        for (name, text) in self.facts.names() {
            say(name, &encoded(text));
        }
        for (name, text) in self.facts.words() {
            say(name, &printable(text));
        }
        say("last-at", last_at);
        say("attempts", &attempts.to_string());
        say("order", &order.to_string());
        say("returns", &returns.to_string());
        let properties = &self.message.properties;
        say("expiration", &encoded(properties.expiration.as_deref().unwrap_or_default()));
        say("routing", &encoded(properties.routing.as_deref().unwrap_or_default()));
        match properties.persistent {
            Some(true) => {}
            Some(false) => say("transient", "true"),
            None => say("transient", "unsaid"),
        }
        // It must stay until somebody has looked at it.
        letter.properties.expiration = None;
        letter.properties.persistent = Some(true);
        letter
    }

    /// A message that was found among the dead letters; none: no flow has put it there.
    pub fn read(found: Message) -> Option<Self> {
        let said = |name: &str| found.headers.get(&format!("{PREFIX}{name}")).unwrap_or_default().to_owned();
        let named = |name: &str| percent::decode(&said(name)).unwrap_or_else(|| said(name));
        let facts = Facts {
            id: named("id"),
            reason: said("reason"),
            detail: said("detail"),
            place: said("place"),
            flow: named("flow"),
            from: named("from"),
            to: named("to"),
            rules: said("rules"),
            position: named("position"),
            attempts: said("attempts").parse().unwrap_or_default(),
            first_at: said("first-at"),
            last_at: said("last-at"),
            order: said("order").parse().unwrap_or_default(),
            returns: said("returns").parse().unwrap_or_default(),
        };
        if facts.flow.is_empty() || facts.id.is_empty() {
            return None;
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        let (expiration, routing, transient) = (some(named("expiration")), some(named("routing")), said("transient"));
        let mut message = found;
        clean(&mut message);
        let properties = &mut message.properties;
        (properties.expiration, properties.routing) = (expiration, routing);
        match transient.as_str() {
            "true" => properties.persistent = Some(false),
            "unsaid" => properties.persistent = None,
            _ => {}
        }
        // A broker that takes ids once shows ours where the writer gave none.
        properties.message_id.take_if(|id| *id == facts.once());
        Some(Self { facts, message })
    }
}

/// Takes away what only a letter has, and what a writer has put there in our name.
fn clean(message: &mut Message) {
    let ours = |name: &&str| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    let names: Vec<String> = message.headers.iter().map(|(name, _)| name).filter(ours).map(str::to_owned).collect();
    for name in names {
        message.headers.remove(&name);
    }
}

/// A name as every broker's headers can hold it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            percent::encode_byte(byte, &mut out);
        }
    }
    out
}

/// Places of a message are its writer's words: nothing that a header cannot hold stays in one.
fn printable(text: &str) -> String {
    let plain = |one: char| if one == ' ' || one.is_ascii_graphic() { one } else { '?' };
    let text: String = text.chars().map(plain).take(1000).collect();
    text.trim().to_owned()
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let first = hash.finalize().iter().take(8).fold(0_u64, |first, byte| (first << 8) | u64::from(*byte));
    format!("{first:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(message: &Message) -> Letter {
        let mut facts = Facts::of(message, &Poison::new("rule_error", "a\r\nb é"), (next_order(), Duration::ZERO));
        (facts.flow, facts.to, facts.attempts) = ("shop/orders/v1".into(), "v2".into(), 1);
        facts.identify();
        Letter { facts, message: message.clone() }
    }

    #[test]
    fn a_letter_is_the_message_and_its_facts() {
        let mut message = Message { body: "x".into(), ..Message::default() };
        message.properties.expiration = Some("1000".into());
        message.properties.routing = Some("orders.née 5%".into());
        message.properties.persistent = Some(false);
        message.headers.push("x", Value::text("1"));
        message.headers.push("Bifocal-Dead-Reason", Value::text("forged"));
        message.headers.push("bifocal-dead-from", Value::text("forged"));
        let written = letter(&message).write();
        assert_eq!((written.properties.expiration.as_deref(), written.properties.persistent), (None, Some(true)));
        let read = Letter::read(written).unwrap();
        assert_eq!((read.facts.reason.as_str(), read.facts.from.as_str()), ("rule_error", ""));
        assert_eq!(read.facts.detail, "a??b ?");
        assert_eq!(read.message.properties, message.properties);
        let names: Vec<_> = read.message.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x"]);
        assert!(Letter::read(message).is_none(), "somebody else's message");
    }

    #[test]
    fn letters_have_an_order_and_an_id() {
        let message = Message::default();
        let (one, two) = (letter(&message), letter(&message));
        assert!(one.facts.order < two.facts.order);
        assert_ne!(one.facts.id, two.facts.id, "without a position two may be two");
        let mut at = [one, two];
        for letter in &mut at {
            "S/7".clone_into(&mut letter.facts.position);
            letter.facts.id = digest(&[b"x"]);
            letter.facts.identify();
        }
        assert_eq!(at[0].facts.id, at[1].facts.id, "one message that is given out again");
    }
}
