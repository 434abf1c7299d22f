//! Channels (E16): every address can be read or written, every pair of versions has rules, nothing goes in circles, and
//! what a channel must guarantee can be.

use std::collections::{HashMap, HashSet};

use super::replies;
use super::service::{check_header_name, find_version};
use crate::diagnostic::{Diagnostics, Span, codes, suggest};
use crate::rules::ast::{RuleFile, ServiceFile, Spanned};
use crate::rules::channel::{
    Address, AddressDecl, Carries, Channel, ChannelDecl, ChannelVersionDecl, Flow, MessageSource, OnPoison, Order,
    Target, Topology,
};

/// A version's addresses in one channel.
struct Addresses {
    version: usize,
    ingress: Option<(Address, Span)>,
    egress: Option<(Address, Span)>,
}

pub(super) fn check_channels(
    service: &ServiceFile,
    files: &[RuleFile],
    all_read: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<Channel> {
    let channels: Vec<Channel> =
        service.channels.iter().map(|decl| check_channel(service, decl, diagnostics)).collect();
    for (decl, channel) in service.channels.iter().zip(&channels).filter(|_| all_read) {
        check_rules(service, files, decl, channel, diagnostics);
    }
    for file in files {
        for message in &file.messages {
            let name = channel_of(&message.old);
            if service.channels.iter().all(|decl| decl.name.value != name) {
                let found = diagnostics.error(codes::E16, message.span, format!("there is no channel `{name}`"));
                let known = service.channels.iter().map(|decl| decl.name.value.as_str());
                match suggest::help(name, known) {
                    Some(help) => found.help(help),
                    None => found.help("declare it under `channels:` in service.yaml"),
                };
            }
        }
    }
    check_circles(&service.channels, &channels, diagnostics);
    channels
}

/// The channel that a route made of `messages:` is for.
fn channel_of(template: &crate::path::template::Template) -> &str {
    match template.segments.as_slice() {
        [crate::path::template::Segment::Literal(name)] => name,
        _ => "",
    }
}

fn check_channel(service: &ServiceFile, decl: &ChannelDecl, diagnostics: &mut Diagnostics) -> Channel {
    let mut all = Vec::with_capacity(decl.versions.len());
    let mut event_types: Vec<(usize, String)> = Vec::new();
    let mut seen: HashMap<&str, Span> = HashMap::new();
    // Replies go where requesters want them: what only they are needs no address.
    let is_for_replies = replies::channels_of(service, &decl.name.value).next().is_some();
    for one in &decl.versions {
        let Some(version) = find_version(service, &one.version, diagnostics) else { continue };
        if let Some(of) = &one.event_type {
            if let Some(before) = seen.insert(&of.value, of.span) {
                diagnostics
                    .error(codes::E16, of.span, "two versions have the same `type`, so it does not tell them apart")
                    .related(before, "the first one");
            }
            event_types.push((version, of.value.clone()));
        }
        let mut address = |decl: &Option<AddressDecl>, is_read| {
            let decl = decl.as_ref()?;
            Some((check_address(decl, is_read, diagnostics)?, decl.span))
        };
        let (ingress, egress) = (address(&one.ingress, true), address(&one.egress, false));
        if one.ingress.is_none() && one.egress.is_none() && !is_for_replies {
            diagnostics
                .error(codes::R7, one.span, "a channel's version needs `ingress` or `egress`")
                .help("`ingress` is where clients of this version write, `egress` where they read");
        }
        all.push(Addresses { version, ingress, egress });
    }
    let topology = decl.topology.as_ref().map_or(Topology::default(), |one| one.value);
    let canonical = match &decl.canonical {
        Some(named) => find_version(service, named, diagnostics),
        None => all.iter().map(|one| one.version).max(),
    };
    let name = &decl.name.value;
    let dead_letter = decl.dead_letter.as_ref().and_then(|decl| check_address(decl, false, diagnostics));
    let replies = decl.replies.as_ref().and_then(|replies| replies::check(service, decl, replies, diagnostics));
    let flow = |source: &Addresses, targets: Vec<Target>| {
        let (address, _) = source.ingress.as_ref()?;
        let version = service.versions.get(source.version).map_or("", |version| version.name.value.as_str());
        let name = format!("{name}/{version}");
        let (version, source, dead_letter) = (source.version, address.clone(), dead_letter.clone());
        let (carries, replies) = (Carries::Messages, replies.clone());
        (!targets.is_empty()).then_some(Flow { name, version, source, targets, dead_letter, carries, replies })
    };
    let mut flows: Vec<Flow> = match topology {
        Topology::Views => all
            .iter()
            .filter_map(|source| {
                let is_canonical = Some(source.version) == canonical;
                let to = all.iter().filter(|one| (Some(one.version) == canonical) != is_canonical);
                flow(source, to.filter_map(target).collect())
            })
            .collect(),
        Topology::Mirror => all
            .iter()
            .filter_map(|source| {
                let to = all.iter().filter(|one| one.version != source.version);
                flow(source, to.filter_map(target).collect())
            })
            .collect(),
    };
    let is_named = |named: &Spanned<String>| named.value == *name;
    let is_published = service.publish.iter().any(|one| one.channel.as_ref().is_some_and(is_named));
    if flows.is_empty() && !is_for_replies && !is_published && !diagnostics.has_errors() {
        let help = match topology {
            Topology::Views => {
                "the canonical version (the newest, or `canonical:`) needs an `ingress` for views of it, or an `egress` \
                 for what other versions write"
            }
            Topology::Mirror => "each version needs an `ingress` and an `egress`",
        };
        diagnostics.error(codes::E16, decl.name.span, format!("nothing flows in `{name}`")).help(help);
    }
    check_guarantee(decl, &flows, diagnostics);
    if let (Some(found), Some(written)) = (&replies, &decl.replies) {
        replies::check_brokers(found, written, &flows, diagnostics);
        flows.push(replies::flow(name, found, &flows, dead_letter));
    }
    Channel {
        name: name.clone(),
        topology,
        version_by: check_sources(&decl.version_by, diagnostics),
        id_by: check_sources(&decl.id_by, diagnostics),
        key_by: check_sources(&decl.key_by, diagnostics),
        order: decl.order.as_ref().map_or(Order::default(), |one| one.value),
        on_poison: decl.on_poison.as_ref().map_or(OnPoison::default(), |one| one.value),
        dedup: decl.dedup.unwrap_or_default(),
        attempts: decl.attempts,
        event_types,
        flows,
        replies,
    }
}

/// The newest version that has an address, and where whoever writes it writes: `ingress`, or where it is read.
pub(super) fn writable(service: &ServiceFile, decl: &ChannelDecl) -> Option<(usize, Address)> {
    let place = |one: &ChannelVersionDecl| {
        let version = service.versions.iter().position(|version| version.name.value == one.version.value)?;
        let address = one.ingress.as_ref().or(one.egress.as_ref())?;
        // Its mistakes have been told.
        Some((version, check_address(address, false, &mut Diagnostics::default())?))
    };
    decl.versions.iter().filter_map(place).max_by_key(|(version, _)| *version)
}

fn target(of: &Addresses) -> Option<Target> {
    let (address, _) = of.egress.as_ref()?;
    Some(Target { version: of.version, address: address.clone() })
}

fn check_guarantee(decl: &ChannelDecl, flows: &[Flow], diagnostics: &mut Diagnostics) {
    let Some(wanted) = &decl.guarantee else { return };
    let weakest = flows.iter().map(|flow| (flow.guarantee(), flow)).min_by_key(|(guarantee, _)| *guarantee);
    let Some((guarantee, flow)) = weakest.filter(|(guarantee, _)| *guarantee < wanted.value) else { return };
    let target = flow.targets.iter().find(|target| target.address.guarantee() == guarantee);
    let target = target.map_or_else(String::new, |target| target.address.to_string());
    diagnostics
        .error(codes::E16, wanted.span, format!("`{}` can promise `{guarantee}` at best", flow.name))
        .label(format!("`{target}` does not know which ids it has"))
        .help("a JetStream subject takes an id once; else let readers leave out ids that they know");
}

fn check_sources(sources: &[Spanned<MessageSource>], diagnostics: &mut Diagnostics) -> Vec<MessageSource> {
    for one in sources {
        if let MessageSource::Header(name) = &one.value {
            check_header_name(&Spanned { value: name.clone(), span: one.span }, diagnostics);
        }
    }
    sources.iter().map(|one| one.value.clone()).collect()
}

pub(super) fn check_address(decl: &AddressDecl, is_read: bool, diagnostics: &mut Diagnostics) -> Option<Address> {
    let broker = decl.broker.as_ref()?.value.clone();
    let part = |name: &str| decl.parts.iter().find(|(key, _)| key.value == name);
    let text = |name: &str| part(name).map(|(_, value)| value.value.clone());
    let kinds: Vec<&str> = ["queue", "exchange", "subject"].into_iter().filter(|name| part(name).is_some()).collect();
    let [kind] = kinds.as_slice() else {
        let message = if kinds.is_empty() { "an address of nothing" } else { "an address of two things" };
        diagnostics
            .error(codes::E16, decl.span, message)
            .help("write `queue`, or `exchange` and perhaps `routing_key`, or `subject` and its `stream`");
        return None;
    };
    let beside: &[&str] = match *kind {
        "exchange" => &["exchange", "routing_key"],
        "subject" => &["subject", "stream"],
        _ => &["queue"],
    };
    let mut sound = true;
    for (key, value) in &decl.parts {
        if !beside.contains(&key.value.as_str()) {
            sound = false;
            let message = format!("`{}` says nothing beside `{kind}`", key.value);
            diagnostics.error(codes::E16, key.span, message);
        }
        sound &= check_text(&key.value, value, is_read, diagnostics);
    }
    if is_read && *kind == "exchange" {
        sound = false;
        diagnostics
            .error(codes::E16, decl.span, "an exchange cannot be read")
            .help("bind a queue to it, and name that: `{broker: …, queue: …}`");
    }
    if is_read && *kind == "subject" && part("stream").is_none() {
        sound = false;
        diagnostics
            .error(codes::R7, decl.span, "a subject that is read needs its `stream`")
            .help("only a stream keeps messages until they are settled: `{broker: …, stream: ORDERS, subject: …}`");
    }
    if !sound {
        return None;
    }
    Some(match *kind {
        "exchange" => Address::Exchange { broker, exchange: text("exchange")?, routing_key: text("routing_key") },
        "subject" => Address::Subject { broker, subject: text("subject")?, stream: text("stream") },
        _ => Address::Queue { broker, queue: text("queue")? },
    })
}

/// What a broker takes as a name.
fn check_text(key: &str, value: &Spanned<String>, is_read: bool, diagnostics: &mut Diagnostics) -> bool {
    let text = value.value.as_str();
    let is_short = text.len() <= 255 && !text.chars().any(char::is_control);
    let is_good = match key {
        "subject" => {
            let words: Vec<&str> = text.split('.').collect();
            let last = words.len().saturating_sub(1);
            // Subjects that tell the server what to do, and those where clients wait for replies.
            let is_ours = !text.starts_with('$') && words.first() != Some(&"_INBOX");
            is_ours
                && words.iter().enumerate().all(|(at, word)| match *word {
                    "*" => is_read,
                    ">" => is_read && at == last,
                    word => !word.is_empty() && !word.contains(|one: char| one.is_whitespace() || "*>".contains(one)),
                })
        }
        "stream" => !text.contains(|one: char| one.is_whitespace() || ".*>/\\".contains(one)),
        "queue" | "exchange" => !text.starts_with("amq."),
        _ => true,
    };
    if !(is_short && is_good) {
        let found = diagnostics.error(codes::E16, value.span, format!("`{}` is no {key}", text.escape_debug()));
        if key == "subject" {
            found.help(
                "words with dots between them, none of the server's own (`$…`, `_INBOX.…`); `*` and `>` only where \
                 messages are read",
            );
        }
    }
    is_short && is_good
}

/// Between any two versions of a channel each step says what its messages are.
fn check_rules(
    service: &ServiceFile,
    files: &[RuleFile],
    decl: &ChannelDecl,
    channel: &Channel,
    diagnostics: &mut Diagnostics,
) {
    // Replies go between the versions of those who ask and of those who answer.
    let asking = replies::channels_of(service, &channel.name).flat_map(|asking| &asking.versions);
    let named = decl
        .versions
        .iter()
        .chain(asking)
        .filter_map(|one| service.versions.iter().position(|version| version.name.value == one.version.value));
    let named: Vec<usize> = named.collect();
    let (Some(oldest), Some(newest)) = (named.iter().min(), named.iter().max()) else { return };
    let neighbours = service.versions.iter().zip(service.versions.iter().skip(1));
    for (old, new) in neighbours.skip(*oldest).take(newest - oldest) {
        let file = files.iter().find(|file| file.old.value == old.name.value && file.new.value == new.name.value);
        let Some(file) = file else { continue };
        if !file.messages.iter().any(|message| channel_of(&message.old) == channel.name) {
            let (old, new) = (&old.name.value, &new.name.value);
            diagnostics
                .error(
                    codes::E16,
                    decl.name.span,
                    format!("no rules for `{}` between `{old}` and `{new}`", channel.name),
                )
                .help(format!(
                    "write `messages: {{{}: TYPE}}` in {old}-{new}.yaml, or `same` for the type where nothing changed",
                    channel.name
                ));
        }
    }
}

/// What goes round in circles between channels would never stop; within a mirror, messages are marked.
fn check_circles(decls: &[ChannelDecl], channels: &[Channel], diagnostics: &mut Diagnostics) {
    let spans: HashMap<&str, Span> = decls.iter().map(|decl| (decl.name.value.as_str(), decl.name.span)).collect();
    let mut read: HashMap<&Address, &str> = HashMap::new();
    for channel in channels {
        for flow in &channel.flows {
            if let Some(other) = read.insert(&flow.source, &flow.name) {
                let Some(span) = spans.get(channel.name.as_str()) else { continue };
                diagnostics
                    .error(codes::E16, *span, format!("`{other}` and `{}` read the same address", flow.name))
                    .help("each would get a part of the messages; give each a queue or stream of its own");
            }
        }
    }
    // The address of a queue is one place whether it is read or written; of exchanges nothing more is known here.
    let place = |address: &Address| match address {
        Address::Subject { broker, subject, .. } => format!("{broker}:subject/{subject}"),
        other => other.to_string(),
    };
    let edges: Vec<(String, String, &str)> = channels
        .iter()
        .flat_map(|channel| {
            let flows = channel.flows.iter();
            flows.flat_map(move |flow| {
                let targets = flow.targets.iter();
                targets.map(move |target| (place(&flow.source), place(&target.address), channel.name.as_str()))
            })
        })
        .collect();
    for (from, to, channel) in &edges {
        let is_mirror = channels.iter().any(|one| one.name == *channel && one.topology == Topology::Mirror);
        let mut seen: HashSet<&str> = HashSet::new();
        let mut open = vec![to.as_str()];
        let mut closes = None;
        while let Some(at) = open.pop() {
            if at == from {
                closes = Some(at);
                break;
            }
            if seen.insert(at) {
                let inner = |other: &str| !(is_mirror && other == *channel);
                let next = edges.iter().filter(|(source, _, other)| source == at && inner(other));
                open.extend(next.map(|(_, to, _)| to.as_str()));
            }
        }
        if closes.is_some()
            && let Some(span) = spans.get(channel)
        {
            diagnostics
                .error(codes::E16, *span, format!("what is read at `{from}` comes back there"))
                .help("messages would go round for ever; `topology: mirror` marks what it has translated");
            return;
        }
    }
}
