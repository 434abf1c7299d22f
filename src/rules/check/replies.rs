//! `replies:` of channels (E16): there is a place where services can reply, and rules that replies have.

use std::time::Duration;

use super::channel::check_address;
use crate::diagnostic::{Diagnostics, codes};
use crate::rules::ast::ServiceFile;
use crate::rules::channel::{Address, Carries, ChannelDecl, Flow, Replies, RepliesDecl, Target};

/// How long a reply may take where nothing is said.
const REPLY: Duration = Duration::from_secs(30);

/// The channels whose requests have replies of this one.
pub(super) fn channels_of<'s>(service: &'s ServiceFile, name: &'s str) -> impl Iterator<Item = &'s ChannelDecl> {
    let is_it = move |one: &&ChannelDecl| {
        let replies = one.replies.as_ref().and_then(|replies| replies.channel.as_ref());
        replies.is_some_and(|replies| replies.value == name) && one.name.value != name
    };
    service.channels.iter().filter(is_it)
}

pub(super) fn check(
    service: &ServiceFile,
    decl: &ChannelDecl,
    replies: &RepliesDecl,
    diagnostics: &mut Diagnostics,
) -> Option<Replies> {
    let channel = match &replies.channel {
        None => decl.name.value.clone(),
        Some(named) => {
            if service.channels.iter().all(|one| one.name.value != named.value) {
                diagnostics
                    .error(codes::E16, named.span, format!("there is no channel `{}`", named.value))
                    .help("replies have the rules of a channel of this service");
            }
            named.value.clone()
        }
    };
    let Some(address) = &replies.address else {
        diagnostics
            .error(codes::R7, replies.span, "`replies` needs `address`")
            .help("a queue or subject that only the gateway reads: services are told to reply there");
        return None;
    };
    let span = address.span;
    let address = check_address(address, true, diagnostics)?;
    if matches!(&address, Address::Subject { subject, .. } if subject.contains(['*', '>'])) {
        diagnostics.error(codes::E16, span, "nobody can reply to many subjects").help("name one");
        return None;
    }
    Some(Replies { channel, address, timeout: replies.timeout.unwrap_or(REPLY) })
}

/// Services reply by the broker that they are asked by.
pub(super) fn check_brokers(replies: &Replies, decl: &RepliesDecl, flows: &[Flow], diagnostics: &mut Diagnostics) {
    let span = decl.address.as_ref().map_or(decl.span, |address| address.span);
    let broker = replies.address.broker();
    let elsewhere = |flow: &&Flow| flow.targets.iter().any(|target| target.address.broker() != broker);
    if let Some(flow) = flows.iter().find(elsewhere) {
        diagnostics
            .error(codes::E16, span, format!("those who read what `{}` carries cannot reply by `{broker}`", flow.name))
            .help("they are told to reply here, by their own broker; requests of one direction are a channel of their own");
    }
    let written = |flow: &&Flow| flow.targets.iter().any(|target| target.address == replies.address);
    if let Some(flow) = flows.iter().find(written) {
        diagnostics
            .error(codes::E16, span, format!("`{}` writes where only replies may come", flow.name))
            .help("give the gateway a queue or subject of its own to have replies at");
    }
}

/// What takes replies, and gives each to whoever has asked.
pub(super) fn flow(channel: &str, replies: &Replies, flows: &[Flow], dead_letter: Option<Address>) -> Flow {
    let mut brokers: Vec<&str> = flows.iter().map(|flow| flow.source.broker()).collect();
    brokers.sort_unstable();
    brokers.dedup();
    let target = |broker: &str| Target { version: 0, address: Address::ReplyTo { broker: broker.to_owned() } };
    Flow {
        name: format!("{channel}/replies"),
        version: 0,
        source: replies.address.clone(),
        targets: brokers.into_iter().map(target).collect(),
        dead_letter,
        carries: Carries::Replies,
        replies: Some(replies.clone()),
    }
}
