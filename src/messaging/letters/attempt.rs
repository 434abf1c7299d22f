//! What the rules of now make of a letter.

use std::sync::Arc;

use super::super::flow::Flow;
use super::super::identify::{self, Unusable};
use super::super::message::Message;
use super::super::translate::{Poison, Surroundings, translate};
use super::Letter;
use crate::plan::Scratch;
use crate::rules::channel::{Channel, Order};

/// What would become of a letter that is sent on.
#[derive(Debug, Clone)]
pub enum Outlook {
    /// This message would be published.
    Goes {
        /// As its readers would get it.
        message: Box<Message>,
        /// Members that would be left out, because the readers' interface has another field of their name.
        dropped: usize,
    },
    /// It would come back.
    Fails {
        /// A stable word.
        reason: &'static str,
        /// For operators.
        detail: String,
        /// The place in the message.
        place: String,
    },
    /// There is no such flow any more, or no such readers.
    Gone,
}

/// A letter's message, translated.
pub(super) struct Attempt {
    /// Index of the target.
    pub(super) target: usize,
    pub(super) out: Message,
    pub(super) dropped: usize,
    /// By which a target that can takes it once.
    pub(super) once: String,
}

/// Why a letter cannot be sent on.
pub(super) enum Refusal {
    /// It is a letter again.
    Poison(Poison),
    /// It stays what it is.
    Gone,
    /// Something is not there at the moment.
    Later(String),
}

/// The translation of a letter, and the name of the rules.
pub(super) fn attempt(flow: &Flow, letter: &Letter) -> (Result<Attempt, Refusal>, Arc<str>) {
    let Some(snapshot) = flow.rules.snapshot(&flow.service) else { return (Err(Refusal::Gone), Arc::default()) };
    let service = &snapshot.plan;
    let attempted = || -> Result<Attempt, Refusal> {
        let channel = service.channel(&flow.channel).ok_or(Refusal::Gone)?;
        let to = service.versions.iter().position(|version| version.name == letter.facts.to).ok_or(Refusal::Gone)?;
        let target = flow.of.targets.iter().position(|target| target.version == to).ok_or(Refusal::Gone)?;
        let poison = |why: Unusable| Refusal::Poison(Poison::unusable(why));
        let from = identify::version(&letter.message, service, channel, flow.of.version).map_err(poison)?;
        identify::visited(&letter.message, service, &channel.name).map_err(poison)?;
        let around = Surroundings {
            service,
            channel,
            rules: &snapshot.rules,
            limits: flow.bounds.limits,
            largest: flow.bounds.body,
        };
        let translated = translate(&letter.message, (from, to), &around, &mut Scratch::default());
        let (out, dropped) = translated.map_err(Refusal::Poison)?;
        let once = once(flow, letter, channel, target)?;
        Ok(Attempt { target, out, dropped, once })
    };
    (attempted(), snapshot.rules.clone())
}

/// As the flow itself would have named it, so that what has arrived and was not confirmed does not arrive again; but another
/// message's id would swallow it.
fn once(flow: &Flow, letter: &Letter, channel: &Channel, target: usize) -> Result<String, Refusal> {
    let Letter { facts, message } = letter;
    let position = Some(facts.position.as_str()).filter(|position| !position.is_empty());
    let to = &facts.to;
    let id = identify::id(message, channel, position).filter(|_| !channel.dedup.window.is_zero());
    let Some(id) = id else {
        return Ok(position.map_or_else(|| facts.id.clone(), |position| format!("{position}:{to}")));
    };
    let known = flow.seen.get(&flow.scope(target, &id), channel.dedup);
    let known = known.map_err(|error| Refusal::Later(error.to_string()))?;
    let is_anothers = known.is_some_and(|hash| hash != super::super::flow::hash_of(message));
    Ok(if is_anothers { format!("{id}:{to}:{}", facts.id) } else { format!("{id}:{to}") })
}

/// The key of a letter's message, where its flow keeps keys in order.
pub(super) fn key(flow: &Flow, letter: &Letter) -> Option<String> {
    let snapshot = flow.rules.snapshot(&flow.service)?;
    let channel = snapshot.plan.channel(&flow.channel).filter(|channel| channel.order == Order::Key)?;
    identify::key(&letter.message, channel)
}

pub(super) fn outlook(flow: &Flow, letter: &Letter) -> Outlook {
    match attempt(flow, letter).0 {
        Ok(Attempt { out, dropped, .. }) => Outlook::Goes { message: Box::new(out), dropped },
        Err(Refusal::Poison(Poison { reason, detail, place })) => Outlook::Fails { reason, detail, place },
        Err(Refusal::Later(detail)) => Outlook::Fails { reason: "unavailable", detail, place: String::new() },
        Err(Refusal::Gone) => Outlook::Gone,
    }
}
