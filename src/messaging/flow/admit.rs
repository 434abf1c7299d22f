//! A message that has come: what it is, and what is to become of it at each target.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::super::broker::Inbound;
use super::super::identify;
use super::super::letters::next_order;
use super::super::message::Message;
use super::super::replies::reply;
use super::super::replies::request::{Asked, Origin};
use super::super::seen::{Scope, SeenError};
use super::super::translate::{Poison, Surroundings, translate};
use super::entry::{Entry, Held, Leg, LegState};
use super::status::add;
use super::{Flow, Snapshot};
use crate::plan::Scratch;
use crate::rules::channel::{Carries, Channel, Topology};

/// Over a message's body: tells two messages with one id apart. Not over headers, which brokers add to.
pub(in crate::messaging) fn hash_of(message: &Message) -> u64 {
    let digest = Sha256::digest(&message.body);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

impl Flow {
    /// What a message is, before it is its turn.
    pub(super) fn admit(&self, inbound: Inbound, snapshot: &Snapshot) -> Entry {
        let Inbound { message, position, settle, waited, .. } = inbound;
        let channel = snapshot.plan.channel(&self.channel);
        let (id, key) = match self.of.carries {
            Carries::Messages => {
                let id = channel.filter(|channel| !channel.dedup.window.is_zero());
                let id = id.and_then(|channel| identify::id(&message, channel, position.as_deref()));
                (id, channel.and_then(|channel| identify::key(&message, channel)))
            }
            // Replies to one request follow one another: the first one wins.
            Carries::Replies => (reply::key(&message).map(str::to_owned), None),
        };
        let weight = message.weight();
        let lifetime = message.properties.expiration.as_ref().and_then(|text| text.trim().parse().ok());
        let left = lifetime.map(|millis| Duration::from_millis(millis).saturating_sub(waited));
        Entry {
            hash: id.as_ref().map_or(0, |_| hash_of(&message)),
            message,
            position,
            settle: Some(settle),
            id,
            key,
            legs: Vec::new(),
            attempts: 0,
            since: Instant::now(),
            // What is too far away never comes.
            expires: left.and_then(|left| Instant::now().checked_add(left)),
            order: next_order(),
            weight,
            waits: 0,
            finishing: false,
            from: String::new(),
            rules: Arc::default(),
            asked: None,
            held: Held::No,
            answers: None,
            busy: None,
        }
    }

    /// What is to become of a message at each target.
    ///
    /// # Errors
    /// What was done before cannot be read.
    pub(super) fn plan(&self, entry: &mut Entry, snapshot: &Snapshot, scratch: &mut Scratch) -> Result<(), SeenError> {
        if self.of.carries == Carries::Replies {
            return self.plan_reply(entry, snapshot, scratch);
        }
        let service = &snapshot.plan;
        entry.rules.clone_from(&snapshot.rules);
        let name = |version: usize| service.versions.get(version).map_or("", |version| version.name.as_str());
        let all_dead = |poison: &Poison| -> Vec<Leg> {
            let legs = self.of.targets.iter().enumerate();
            legs.map(|(index, target)| Leg::dead(index, name(target.version), poison.clone())).collect()
        };
        let Some(channel) = service.channel(&self.channel) else {
            entry.legs = all_dead(&Poison::new("no_path", "the channel is gone"));
            return Ok(());
        };
        let from = match identify::version(&entry.message, service, channel, self.of.version) {
            Ok(from) => from,
            Err(why) => {
                entry.legs = all_dead(&Poison::unusable(why));
                return Ok(());
            }
        };
        entry.from = service.versions.get(from).map_or_else(String::new, |version| version.name.clone());
        let visited = match identify::visited(&entry.message, service, &channel.name) {
            Ok(visited) => visited,
            Err(why) => {
                entry.legs = all_dead(&Poison::unusable(why));
                return Ok(());
            }
        };
        let around = Surroundings {
            service,
            channel,
            rules: &snapshot.rules,
            limits: self.bounds.limits,
            largest: self.bounds.body,
        };
        for (index, target) in self.of.targets.iter().enumerate() {
            // In a mirror, what was written by the gateway has been at its other versions before.
            if channel.topology == Topology::Mirror && visited.contains(&target.version) {
                continue;
            }
            let mut leg = self.leg(entry, (from, index, target.version), channel, &around, scratch)?;
            name(target.version).clone_into(&mut leg.version);
            entry.legs.push(leg);
        }
        self.ask(entry);
        Ok(())
    }

    /// Where a message asks for a reply, it is told to reply to the gateway.
    fn ask(&self, entry: &mut Entry) {
        let Some(replies) = &self.of.replies else { return };
        let broker = self.of.source.broker();
        let origin = Origin {
            flow: &self.status.name,
            broker,
            id: entry.id.as_deref().or(entry.position.as_deref()),
            version: &entry.from,
        };
        let Some(asked) = Asked::of(&entry.message, &origin, replies) else { return };
        let wanted = entry.message.properties.reply_to.as_deref().unwrap_or_default();
        let is_possible = self.source.reply_address(broker, wanted).is_some();
        for leg in entry.legs.iter_mut().filter(|leg| leg.state == LegState::Ready) {
            let own = self.targets.get(leg.target).and_then(|broker| broker.reply_name(&replies.address));
            let (Some(out), Some(own), true) = (&mut leg.out, own, is_possible) else {
                leg.state = LegState::Dead(Poison::new("reply_address", "no reply may go where it is wanted"));
                continue;
            };
            out.properties.reply_to = Some(own);
            out.properties.correlation_id = Some(asked.correlation(&leg.version));
        }
        entry.asked = entry.legs.iter().any(|leg| leg.state == LegState::Ready).then_some(asked);
    }

    fn leg(
        &self,
        entry: &Entry,
        (from, index, to): (usize, usize, usize),
        channel: &Channel,
        around: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Result<Leg, SeenError> {
        let dead = |poison| Ok(Leg::dead(index, "", poison));
        if let Some(id) = &entry.id {
            match self.seen.get(&self.scope(index, id), channel.dedup)? {
                Some(hash) if hash == entry.hash => {
                    add(&self.status.counts.deduplicated, 1);
                    return Ok(Leg::of(index, None, LegState::Done));
                }
                Some(_) => return dead(Poison::new("id_conflict", "another message had the same id")),
                None => {}
            }
        }
        match translate(&entry.message, (from, to), around, scratch) {
            Ok((out, dropped)) => {
                add(&self.status.counts.dropped_members, dropped as u64);
                Ok(Leg::of(index, Some(out), LegState::Ready))
            }
            Err(poison) => dead(poison),
        }
    }

    /// What is remembered of an id at a target.
    pub(in crate::messaging) fn scope(&self, target: usize, id: &str) -> Scope {
        let flow: [&str; 4] = [&self.service, "/", &self.of.name, "|"];
        let address = self.of.targets.get(target).map_or([""; 5], |target| target.address.parts());
        let mut scope = String::with_capacity(128);
        flow.into_iter().chain(address).chain(["|", id]).for_each(|part| scope.push_str(part));
        Scope(scope)
    }

    /// By which a target that can leaves out repetitions: ids of other versions in one stream are other ids.
    pub(super) fn once(entry: &Entry, leg: &Leg) -> Option<String> {
        if let Some(answers) = &entry.answers {
            return Some(answers.once.clone());
        }
        let id = entry.id.as_ref().or(entry.position.as_ref())?;
        Some([id.as_str(), ":", &leg.version].concat())
    }
}
