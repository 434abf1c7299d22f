//! A message that has come: what it is, and what is to become of it at each target.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::super::broker::Inbound;
use super::super::identify;
use super::super::letters::next_order;
use super::super::message::Message;
use super::super::seen::{Scope, SeenError};
use super::super::translate::{Poison, Surroundings, translate};
use super::entry::{Entry, Leg, LegState};
use super::status::add;
use super::{Flow, Snapshot};
use crate::plan::Scratch;
use crate::rules::channel::{Channel, Topology};

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
        let id = channel.filter(|channel| !channel.dedup.window.is_zero());
        let id = id.and_then(|channel| identify::id(&message, channel, position.as_deref()));
        let key = channel.and_then(|channel| identify::key(&message, channel));
        let weight = message.weight();
        let lifetime = message.properties.expiration.as_ref().and_then(|text| text.trim().parse().ok());
        let left = lifetime.map(|millis| Duration::from_millis(millis).saturating_sub(waited));
        Entry {
            hash: hash_of(&message),
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
            rules: snapshot.rules.clone(),
            busy: None,
        }
    }

    /// What is to become of a message at each target.
    ///
    /// # Errors
    /// What was done before cannot be read.
    pub(super) fn plan(&self, entry: &mut Entry, snapshot: &Snapshot, scratch: &mut Scratch) -> Result<(), SeenError> {
        let service = &snapshot.plan;
        entry.rules.clone_from(&snapshot.rules);
        let all_dead = |poison: &Poison| -> Vec<Leg> {
            let leg = |target| Leg { target, out: None, state: LegState::Dead(poison.clone()) };
            (0..self.of.targets.len()).map(leg).collect()
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
            let leg = self.leg(entry, (from, index, target.version), channel, &around, scratch)?;
            entry.legs.push(leg);
        }
        Ok(())
    }

    fn leg(
        &self,
        entry: &Entry,
        (from, index, to): (usize, usize, usize),
        channel: &Channel,
        around: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Result<Leg, SeenError> {
        let dead = |poison| Ok(Leg { target: index, out: None, state: LegState::Dead(poison) });
        if let Some(id) = &entry.id {
            match self.seen.get(&self.scope(index, id), channel.dedup)? {
                Some(hash) if hash == entry.hash => {
                    add(&self.status.counts.deduplicated, 1);
                    return Ok(Leg { target: index, out: None, state: LegState::Done });
                }
                Some(_) => return dead(Poison::new("id_conflict", "another message had the same id")),
                None => {}
            }
        }
        match translate(&entry.message, (from, to), around, scratch) {
            Ok((out, dropped)) => {
                add(&self.status.counts.dropped_members, dropped as u64);
                Ok(Leg { target: index, out: Some(out), state: LegState::Ready })
            }
            Err(poison) => dead(poison),
        }
    }

    /// What is remembered of an id at a target.
    pub(in crate::messaging) fn scope(&self, target: usize, id: &str) -> Scope {
        let to = self.of.targets.get(target).map_or_else(String::new, |target| target.address.to_string());
        Scope(format!("{}/{}|{to}|{id}", self.service, self.of.name))
    }

    /// By which a target that can leaves out repetitions: ids of other versions in one stream are other ids.
    pub(super) fn once(&self, entry: &Entry, target: usize, snapshot: &Snapshot) -> Option<String> {
        let to = snapshot.plan.versions.get(self.of.targets.get(target)?.version)?;
        let id = entry.id.as_ref().or(entry.position.as_ref())?;
        Some(format!("{id}:{}", to.name))
    }
}
