//! A message that has come: what it is, and what is to become of it at each target.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::super::broker::Inbound;
use super::super::identify::{self, Unusable};
use super::super::message::Message;
use super::super::seen::{Scope, SeenError};
use super::super::translate::{Poison, Surroundings, translate};
use super::entry::{Entry, Leg, LegState};
use super::status::add;
use super::{Flow, Snapshot};
use crate::plan::Scratch;
use crate::rules::channel::{Channel, Topology};

/// Over a message's body: tells two messages with one id apart. Not over headers, which brokers add to.
fn hash_of(message: &Message) -> u64 {
    let digest = Sha256::digest(&message.body);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

impl Flow {
    /// What a message is, before it is its turn.
    pub(super) fn admit(&self, inbound: Inbound, snapshot: &Snapshot) -> Entry {
        let Inbound { message, position, settle, .. } = inbound;
        let channel = snapshot.plan.channel(&self.channel);
        let id = channel.filter(|channel| !channel.dedup.window.is_zero());
        let id = id.and_then(|channel| identify::id(&message, channel, position.as_deref()));
        let key = channel.and_then(|channel| identify::key(&message, channel));
        let weight = message.weight();
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
            weight,
            waits: 0,
            finishing: false,
            from: String::new(),
            rules: snapshot.rules.clone(),
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
        let Ok(from) = identify::version(&entry.message, service, channel, self.of.version) else {
            entry.legs = all_dead(&Poison::new("unknown_version", "the message names a version that does not exist"));
            return Ok(());
        };
        entry.from = service.versions.get(from).map_or_else(String::new, |version| version.name.clone());
        let visited = match identify::visited(&entry.message, service, &channel.name) {
            Ok(visited) => visited,
            Err(Unusable::Loop | Unusable::Unknown) => {
                entry.legs = all_dead(&Poison::new("loop", "it has been translated too often"));
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
    pub(super) fn scope(&self, target: usize, id: &str) -> Scope {
        let mut scope = String::with_capacity(128);
        for part in [self.service.as_str(), "/", &self.of.name, "|"] {
            scope.push_str(part);
        }
        if let Some(target) = self.of.targets.get(target) {
            // A text takes whatever is written to it.
            let _ = write!(scope, "{}", target.address);
        }
        scope.push('|');
        scope.push_str(id);
        Scope(scope)
    }

    /// By which a target that can leaves out repetitions: ids of other versions in one stream are other ids.
    pub(super) fn once(&self, entry: &Entry, target: usize, snapshot: &Snapshot) -> Option<String> {
        let to = snapshot.plan.versions.get(self.of.targets.get(target)?.version)?;
        let id = entry.id.as_ref().or(entry.position.as_ref())?;
        Some(format!("{id}:{}", to.name))
    }
}
