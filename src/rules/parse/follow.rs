//! `follow:` of a route.

use super::{Parser, keys};
use crate::diagnostic::codes;
use crate::rules::asynchronous::{Follow, LONGEST_FOLLOW};
use crate::rules::yaml::Node;

impl Parser<'_> {
    /// `{until: …, result: body.href, limit: 30s, cancel: true}`
    pub(super) fn follow(&mut self, node: &Node) -> Option<Follow> {
        let members = self.members(node, "`follow`", keys::FOLLOW)?;
        let until = match members.get("until") {
            None => None,
            Some(node) => {
                let text = self.text(node, "`until`")?.value;
                Some(self.condition(node, &text)?)
            }
        };
        let result = match members.get("result") {
            None => None,
            Some(node) => {
                let text = self.text(node, "`result`")?;
                let place = self.place_of(node, &text.value)?;
                let [part, rest @ ..] = place.segments.as_slice() else { return None };
                if part != "body" || rest.is_empty() || !place.tail.is_empty() || place.view.is_some() {
                    self.diagnostics
                        .error(codes::R14, text.span, format!("`{}` is no place of a status document", text.value))
                        .help("name the member that has the result's address, such as `body.result_url`");
                    return None;
                }
                Some(rest.to_vec())
            }
        };
        if let (None, Some(_), Some(node)) = (&until, &result, members.get("result")) {
            let help = "say when the status document has it: `until: \"$.body.state == 'done'\"`";
            self.missing(super::start(node.span), "`follow` with `result`", "until", help);
            return None;
        }
        let mut follow = Follow { until, result, ..Follow::default() };
        if let Some(node) = members.get("limit") {
            follow.limit = self.duration(node, "`limit`")?;
            if follow.limit > LONGEST_FOLLOW {
                let help = "callers and what is between them do not keep a connection for longer";
                self.diagnostics.error(codes::R14, node.span, "`limit` is at most `5m`").help(help);
                return None;
            }
        }
        follow.cancel = members.get("cancel").and_then(|node| self.boolean(node, "`cancel`")).unwrap_or_default();
        Some(follow)
    }
}
