//! Dead letters: the message as it came, with the reason beside it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::message::{Message, Value};
use super::super::translate::Poison;
use super::Flow;
use super::entry::Entry;
use crate::gateway::rfc3339;

/// What the headers of a dead letter begin with.
const PREFIX: &str = "bifocal-dead-";
impl Flow {
    /// The letter for one target. It never holds more of the message than the message itself.
    pub(super) fn letter(&self, entry: &Entry, to: &str, poison: &Poison) -> Message {
        let mut letter = entry.message.clone();
        let mut say = |name: &str, text: &str| {
            if !text.is_empty() {
                letter.headers.remove(&format!("{PREFIX}{name}"));
                letter.headers.push(format!("{PREFIX}{name}"), Value::text(printable(text)));
            }
        };
        say("reason", poison.reason);
        say("detail", &poison.detail);
        say("place", &poison.place);
        say("flow", &self.status.name);
        say("from", &entry.from);
        say("to", to);
        say("rules", &entry.rules);
        say("position", entry.position.as_deref().unwrap_or_default());
        say("attempts", &(entry.attempts + 1).to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        say("first-at", &rfc3339(now.saturating_sub(entry.since.elapsed())));
        say("last-at", &rfc3339(now));
        // It must stay until somebody has looked at it.
        letter.properties.expiration = None;
        letter.properties.persistent = Some(true);
        letter
    }
}

/// Places of a message are its writer's words: nothing that ends a line stays in a header.
fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(1000).collect()
}
