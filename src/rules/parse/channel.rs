//! `channels:` of `service.yaml`, and `messages:` of a rule file.

use std::time::Duration;

use super::{Parser, keys};
use crate::diagnostic::codes;
use crate::path::query::Query;
use crate::path::template::Template;
use crate::rules::ast::{MessageRules, RouteDecl, Spanned};
use crate::rules::channel::{
    AddressDecl, ChannelDecl, ChannelVersionDecl, Dedup, Guarantee, MessageSource, OnPoison, Order, RepliesDecl,
    Topology,
};
use crate::rules::yaml::{Node, Plain};

/// The method of the routes that rules of messages are made into.
const METHOD: &str = "SEND";

/// Whether a text can be the name of a channel: it stands in headers, metrics and names of queues.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 200 && text.bytes().all(plain) && !text.starts_with('.') && text != ".."
}

impl Parser<'_> {
    /// `{orders.created: OrderCreated}`: for each channel the rules of its messages.
    pub(super) fn messages(&mut self, node: &Node) -> Vec<RouteDecl> {
        let Some(map) = self.map(node, "`messages`") else { return Vec::new() };
        if !self.bounded(map.len(), node.span, "`messages`") {
            return Vec::new();
        }
        map.iter().filter_map(|(name, value)| self.message_rules(name, value)).collect()
    }

    fn message_rules(&mut self, name: &Node, value: &Node) -> Option<RouteDecl> {
        let name = self.channel_name(name)?;
        let request = match value.as_str() {
            Some("same") => None,
            _ => Some(self.message(value)?),
        };
        let side = Template::parse(&format!("{METHOD} /{}", name.value), name.span).ok()?;
        let request = request.map(|rules| MessageRules { span: name.span, ..rules });
        let (old, new) = (side.clone(), side);
        let (responses, mapped) = (Vec::new(), Vec::new());
        Some(RouteDecl { old, new, write: None, follow: None, request, responses, mapped, span: name.span })
    }

    pub(super) fn channel_name(&mut self, node: &Node) -> Option<Spanned<String>> {
        let name = self.text(node, "a channel's name")?;
        if !is_name(&name.value) {
            self.diagnostics
                .error(codes::R14, name.span, "not a channel's name")
                .help("up to 200 letters, digits, `.`, `_` and `-`; addresses stand in `ingress` and `egress`");
            return None;
        }
        Some(name)
    }

    pub(super) fn channels(&mut self, node: &Node) -> Vec<ChannelDecl> {
        let Some(map) = self.map(node, "`channels`") else { return Vec::new() };
        if !self.bounded(map.len(), node.span, "`channels`") {
            return Vec::new();
        }
        map.iter().filter_map(|(name, value)| self.channel(name, value)).collect()
    }

    fn channel(&mut self, name: &Node, value: &Node) -> Option<ChannelDecl> {
        let name = self.channel_name(name)?;
        let members = self.members(value, "a channel", keys::CHANNEL)?;
        let topology = members.get("topology").and_then(|node| {
            self.word(node, "`topology`", &[("views", Topology::Views), ("mirror", Topology::Mirror)])
        });
        let canonical = members.get("canonical").and_then(|node| self.text(node, "`canonical`"));
        let mut sources = |key: &str| members.get(key).map(|node| self.sources(node, key)).unwrap_or_default();
        let (version_by, id_by, key_by) = (sources("version_by"), sources("id_by"), sources("key_by"));
        let guarantees = [Guarantee::AtLeastOnce, Guarantee::EffectivelyOnce].map(|one| (one.name(), one));
        let guarantee = members.get("guarantee").and_then(|node| self.word(node, "`guarantee`", &guarantees));
        let orders = [("key", Order::Key), ("none", Order::None)];
        let order = members.get("order").and_then(|node| self.word(node, "`order`", &orders));
        let poison = [("dead_letter", OnPoison::DeadLetter), ("park_key", OnPoison::ParkKey), ("halt", OnPoison::Halt)];
        let on_poison = members.get("on_poison").and_then(|node| self.word(node, "`on_poison`", &poison));
        let dedup = members.get("dedup").and_then(|node| self.dedup(node));
        let attempts = members.get("attempts").and_then(|node| self.count(node, "`attempts`", 1_000_000));
        let attempts = attempts.and_then(|count| u32::try_from(count).ok());
        let dead_letter = members.get("dead_letter").and_then(|node| self.address(node));
        let replies = members.get("replies").and_then(|node| self.replies(node));
        let Some(versions) = members.get("versions") else {
            let help =
                "say where each version is written and read: `versions: {v1: {egress: {broker: main, queue: …}}}`";
            self.missing(super::start(value.span), "a channel", "versions", help);
            return None;
        };
        let versions = self.map(versions, "`versions`")?;
        let versions = versions.iter().filter_map(|(name, value)| self.channel_version(name, value)).collect();
        Some(ChannelDecl {
            name,
            topology,
            canonical,
            version_by,
            id_by,
            key_by,
            guarantee,
            order,
            on_poison,
            dedup,
            attempts,
            dead_letter,
            replies,
            versions,
            span: value.span,
        })
    }

    fn channel_version(&mut self, name: &Node, value: &Node) -> Option<ChannelVersionDecl> {
        let version = self.text(name, "a version's name")?;
        if value.is_null() {
            let (event_type, ingress, egress) = (None, None, None);
            return Some(ChannelVersionDecl { version, event_type, ingress, egress, span: name.span });
        }
        let members = self.members(value, "a channel's version", keys::CHANNEL_VERSION)?;
        let event_type = members.get("type").and_then(|node| self.text(node, "`type`"));
        let ingress = members.get("ingress").and_then(|node| self.address(node));
        let egress = members.get("egress").and_then(|node| self.address(node));
        Some(ChannelVersionDecl { version, event_type, ingress, egress, span: value.span })
    }

    fn address(&mut self, node: &Node) -> Option<AddressDecl> {
        let members = self.members(node, "an address", keys::ADDRESS)?;
        let broker = members.get("broker").and_then(|node| self.text(node, "`broker`"));
        if members.get("broker").is_none() {
            let help = "name one of the settings' `[brokers]`: `{broker: main, queue: orders}`";
            self.missing(super::start(node.span), "an address", "broker", help);
        }
        let mut parts = Vec::new();
        for (key, value) in node.as_map().unwrap_or_default() {
            let Some(name) = key.as_str().filter(|name| *name != "broker" && keys::ADDRESS.contains(name)) else {
                continue;
            };
            let key = Spanned { value: name.to_owned(), span: key.span };
            parts.push((key, self.text(value, &format!("`{name}`"))?));
        }
        Some(AddressDecl { broker, parts, span: node.span })
    }

    fn replies(&mut self, node: &Node) -> Option<RepliesDecl> {
        let members = self.members(node, "`replies`", keys::REPLIES)?;
        let channel = members.get("channel").and_then(|node| self.channel_name(node));
        let address = members.get("address").and_then(|node| self.address(node));
        let timeout = members.get("timeout").and_then(|node| self.duration(node, "`timeout`"));
        Some(RepliesDecl { channel, address, timeout, span: node.span })
    }

    fn dedup(&mut self, node: &Node) -> Option<Dedup> {
        if node.as_str() == Some("off") || node.as_bool() == Some(false) {
            return Some(Dedup { window: Duration::ZERO, entries: 0 });
        }
        let members = self.members(node, "`dedup`", keys::DEDUP)?;
        let usual = Dedup::default();
        let window = members.get("window").and_then(|node| self.duration(node, "`window`")).unwrap_or(usual.window);
        let entries = members.get("entries").and_then(|node| self.count(node, "`entries`", 100_000_000));
        Some(Dedup { window, entries: entries.unwrap_or(usual.entries) })
    }

    pub(super) fn count(&mut self, node: &Node, what: &str, most: u64) -> Option<u64> {
        let number = node.as_str().filter(|_| node.as_plain() == Some(Plain::Number));
        let count = number.and_then(|text| text.parse().ok()).filter(|count| (1..=most).contains(count));
        if count.is_none() {
            self.diagnostics.error(codes::R6, node.span, format!("{what} must be a whole number from 1 to {most}"));
        }
        count
    }

    /// `500ms`, `30s`, `15m`, `24h`, `7d`
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what)?;
        let digits = text.value.bytes().take_while(u8::is_ascii_digit).count();
        let number = text.value.get(..digits).and_then(|number| number.parse::<u32>().ok()).map(u64::from);
        let unit = text.value.get(digits..).unwrap_or_default();
        let duration = number.filter(|number| *number > 0).and_then(|number| {
            Some(match unit {
                "ms" => Duration::from_millis(number),
                "s" => Duration::from_secs(number),
                "m" => Duration::from_secs(number * 60),
                "h" => Duration::from_secs(number * 3600),
                "d" => Duration::from_secs(number * 86_400),
                _ => return None,
            })
        });
        if duration.is_none() {
            let found = format!("{what} must be a length of time");
            self.diagnostics.error(codes::R6, text.span, found).help("such as `500ms`, `30s`, `15m`, `24h` or `7d`");
        }
        duration
    }

    fn sources(&mut self, node: &Node, key: &str) -> Vec<Spanned<MessageSource>> {
        let Some(list) = self.list(node, &format!("`{key}`")) else { return Vec::new() };
        let sources =
            list.iter().filter_map(|one| Some(Spanned { value: self.message_source(one, key)?, span: one.span }));
        sources.collect()
    }

    /// `type`, `message_id`, `cloud_event`, `content_hash`, `{header: NAME}`, `{content_type: NAME}`, `{query: QUERY}`
    fn message_source(&mut self, node: &Node, key: &str) -> Option<MessageSource> {
        let words: &[&str] =
            if key == "version_by" { &["type"] } else { &["message_id", "cloud_event", "content_hash"] };
        let named: &[&str] =
            if key == "version_by" { &["header", "content_type", "query"] } else { &["header", "query"] };
        if let Some([(name, value)]) = node.as_map() {
            let kind = name.as_str().filter(|kind| named.contains(kind));
            let Some(kind) = kind else {
                self.unknown_key(name, &format!("an element of `{key}`"), named);
                return None;
            };
            let text = self.text(value, &format!("`{kind}`"))?;
            return match kind {
                "header" => Some(MessageSource::Header(text.value)),
                "content_type" => Some(MessageSource::ContentType(text.value)),
                _ => match Query::parse(&text.value) {
                    Ok(query) => Some(MessageSource::Query(query)),
                    Err(error) => {
                        let at = value.part(error.at.start, error.at.end);
                        self.path_error(codes::R20, &error, at);
                        None
                    }
                },
            };
        }
        let text = self.text(node, &format!("an element of `{key}`"))?;
        match text.value.as_str() {
            "type" if key == "version_by" => Some(MessageSource::EventType),
            "message_id" if key != "version_by" => Some(MessageSource::MessageId),
            "cloud_event" if key == "id_by" => Some(MessageSource::CloudEvent),
            "content_hash" if key == "id_by" => Some(MessageSource::ContentHash),
            other => {
                let known: Vec<String> = words
                    .iter()
                    .map(|word| format!("`{word}`"))
                    .chain(named.iter().map(|name| format!("`{{{name}: …}}`")))
                    .collect();
                self.diagnostics
                    .error(
                        codes::R5,
                        text.span,
                        format!("`{key}` cannot look at `{}`", super::short(other).escape_debug()),
                    )
                    .help(format!("write {}", known.join(", ")));
                None
            }
        }
    }
}
