//! A message that has come to the gateway's own reply address, on its way to whoever has asked.

use super::super::broker::Broker;
use super::super::identify;
use super::super::message::Message;
use super::super::translate::{Poison, Surroundings, translate};
use super::pending::{Pending, Request, Requester};
use super::request::read_correlation;
use crate::plan::{Scratch, ServicePlan};
use crate::rules::channel::{Address, Replies};
use crate::store::{StoreError, now};

/// What is to become of a reply.
pub(in crate::messaging) enum Fate {
    /// It is passed on; `once` is the id by which a broker that can leaves out repetitions.
    Passes { message: Message, to: Address, once: String, dropped: usize },
    /// It is kept for whoever has made the call.
    Kept { call: String, message: Message, dropped: usize },
    /// It was passed on before.
    Passed,
    /// It is for nobody, or cannot be translated.
    Dead(Poison),
}

/// A reply as it was understood.
pub(in crate::messaging) struct Understood {
    /// The request's key; none: it says none.
    pub(in crate::messaging) key: Option<String>,
    /// Names of the versions of whoever answers and of whoever has asked, as far as they are known.
    pub(in crate::messaging) from: String,
    pub(in crate::messaging) to: String,
    /// Name of the broker that it goes to.
    pub(in crate::messaging) broker: Option<String>,
    pub(in crate::messaging) fate: Fate,
}

/// What replies are understood by.
pub(in crate::messaging) struct Desk<'d> {
    pub(in crate::messaging) pending: &'d Pending,
    /// `service/channel` of the requests.
    pub(in crate::messaging) scope: &'d str,
    pub(in crate::messaging) replies: &'d Replies,
    pub(in crate::messaging) service: &'d ServicePlan,
    /// Names the rules.
    pub(in crate::messaging) rules: &'d str,
    pub(in crate::messaging) limits: crate::plan::Limits,
    /// Bytes of a body.
    pub(in crate::messaging) largest: usize,
}

/// The key that a reply names, so that replies to one request follow one another.
pub(in crate::messaging) fn key(message: &Message) -> Option<&str> {
    read_correlation(message.properties.correlation_id.as_deref()?).map(|(key, _)| key)
}

impl Desk<'_> {
    /// What a reply is, and what is to become of it. `broker_of` finds the broker of a name.
    ///
    /// # Errors
    /// Requests cannot be read.
    pub(in crate::messaging) fn understand<'b>(
        &self,
        (message, hash): (&Message, u64),
        broker_of: impl FnOnce(&str) -> Option<&'b dyn Broker>,
        scratch: &mut Scratch,
    ) -> Result<Understood, StoreError> {
        let mut understood =
            Understood { key: None, from: String::new(), to: String::new(), broker: None, fate: Fate::Passed };
        let named = message.properties.correlation_id.as_deref().and_then(read_correlation);
        let Some((key, answerer)) = named else {
            understood.fate = dead("no_request", "its correlation id is none that the gateway has given");
            return Ok(understood);
        };
        understood.key = Some(key.to_owned());
        let Some(request) = self.pending.find(self.scope, key)? else {
            understood.fate = dead("no_request", "nobody waits for it, or not for long");
            return Ok(understood);
        };
        understood.to.clone_from(&request.version);
        understood.fate = match request.answered {
            Some(before) if before == hash => Fate::Passed,
            Some(_) => dead("no_request", "the request has had another reply"),
            None if request.deadline <= now() => dead("expired", "the requester waits no longer"),
            None => {
                let translated = self.translate((message, answerer), &request, &mut understood.from, scratch);
                match (translated, &request.requester) {
                    (Err(poison), _) => Fate::Dead(poison),
                    (Ok((message, dropped)), Requester::Caller { id }) => {
                        if self.pending.waits(&self.service.name, id)? {
                            Fate::Kept { call: id.clone(), message, dropped }
                        } else {
                            dead("no_request", "the call was cancelled, or is kept no more")
                        }
                    }
                    (Ok((mut message, dropped)), Requester::Reader { broker, reply_to, correlation_id }) => {
                        message.properties.correlation_id.clone_from(correlation_id);
                        understood.broker = Some(broker.clone());
                        let to = broker_of(broker).and_then(|known| known.reply_address(broker, reply_to));
                        let once = format!("{key}:{}:reply", request.turn);
                        match to {
                            Some(to) => Fate::Passes { message, to, once, dropped },
                            None => dead("reply_address", "no reply may go where the requester wants it"),
                        }
                    }
                }
            }
        };
        Ok(understood)
    }

    /// A reply in the terms of whoever has asked.
    fn translate(
        &self,
        (message, answerer): (&Message, &str),
        request: &Request,
        from_name: &mut String,
        scratch: &mut Scratch,
    ) -> Result<(Message, usize), Poison> {
        let service = self.service;
        let channel = service.channel(&self.replies.channel);
        let channel = channel.ok_or_else(|| Poison::new("no_path", "the channel of replies is gone"))?;
        let unknown = |what: &str| Poison::new("unknown_version", what);
        let answerer = service.named(answerer);
        let from = identify::version(message, service, channel, answerer.unwrap_or(usize::MAX)).ok();
        let from = from.filter(|from| service.versions.get(*from).is_some());
        let from = from.ok_or_else(|| unknown("the reply names a version that does not exist"))?;
        *from_name = service.versions.get(from).map_or_else(String::new, |version| version.name.clone());
        let to = service.named(&request.version);
        let to = to.ok_or_else(|| unknown("the version of the requester does not exist any more"))?;
        if identify::visited(message, service, &channel.name).is_err() {
            return Err(Poison::new("loop", "it has been translated too often"));
        }
        let around = Surroundings { service, channel, rules: self.rules, limits: self.limits, largest: self.largest };
        translate(message, (from, to), &around, scratch)
    }
}

fn dead(reason: &'static str, detail: &str) -> Fate {
    Fate::Dead(Poison::new(reason, detail))
}
