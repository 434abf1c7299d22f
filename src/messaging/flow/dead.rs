//! Dead letters of a flow: for each target that a message could not reach.

use super::super::letters::{Facts, Letter};
use super::super::translate::Poison;
use super::Flow;
use super::entry::Entry;

impl Flow {
    /// The letter for one target. It never holds more of the message than the message itself.
    pub(super) fn letter(&self, entry: &Entry, to: &str, poison: &Poison) -> Letter {
        let mut facts = Facts::of(&entry.message, poison, (entry.order, entry.since.elapsed()));
        facts.flow.clone_from(&self.status.name);
        facts.from.clone_from(&entry.from);
        to.clone_into(&mut facts.to);
        facts.rules = entry.rules.to_string();
        facts.position = entry.position.clone().unwrap_or_default();
        facts.attempts = entry.attempts + 1;
        facts.identify();
        Letter { facts, message: entry.message.clone() }
    }
}
