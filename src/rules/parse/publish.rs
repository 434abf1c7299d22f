//! `publish:` of `service.yaml`.

use super::{Parser, keys};
use crate::diagnostic::codes;
use crate::path::template::Template;
use crate::rules::ast::Spanned;
use crate::rules::publish::PublishDecl;
use crate::rules::yaml::Node;

impl Parser<'_> {
    /// `[POST /v2/orders: orders, POST /v2/quotes: {channel: quotes, wait: 5s}]`
    pub(super) fn publishes(&mut self, node: &Node) -> Vec<PublishDecl> {
        let Some(list) = self.list(node, "`publish`") else { return Vec::new() };
        if !self.bounded(list.len(), node.span, "`publish`") {
            return Vec::new();
        }
        list.iter().filter_map(|one| self.publish(one)).collect()
    }

    fn publish(&mut self, node: &Node) -> Option<PublishDecl> {
        let Some([(route, value)]) = node.as_map() else {
            self.shape(node, "an entry of `publish`", "a request and its channel: `POST /v2/orders: orders`");
            return None;
        };
        let text = self.text(route, "a request")?;
        let route = match Template::parse(&text.value, text.span) {
            Ok(route) => route,
            Err(error) => {
                self.path_error(codes::R10, &error, text.span);
                return None;
            }
        };
        if value.as_map().is_none() {
            let channel = Some(self.channel_name(value)?);
            return Some(PublishDecl { route, channel, wait: None, headers: Vec::new(), span: text.span });
        }
        let members = self.members(value, "an entry of `publish`", keys::PUBLISH)?;
        if members.get("channel").is_none() {
            let help = "say which channel's messages these calls become: `{channel: orders}`";
            self.missing(super::start(value.span), "an entry of `publish`", "channel", help);
        }
        let channel = members.get("channel").and_then(|node| self.channel_name(node));
        let wait = members.get("wait").and_then(|node| {
            let span = node.span;
            self.duration(node, "`wait`").map(|value| Spanned { value, span })
        });
        let headers = members.get("headers").map(|node| self.texts(node, "`headers`")).unwrap_or_default();
        Some(PublishDecl { route, channel, wait, headers, span: text.span })
    }
}
