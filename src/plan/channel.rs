//! Messages of channels on their way between two versions. Pure: knows nothing of brokers.

use http::{HeaderMap, Method};

use super::exchange::{BodyOut, Hop, RequestIn, RequestOut};
use super::{Direction, Fault, Limits, Scratch, ServicePlan, Unplaced};
use crate::path::template::Segment;
use crate::rules::channel::Channel;

/// A message as its sender wrote it.
#[derive(Debug, Clone, Copy)]
pub struct MessageIn<'a> {
    /// Its headers, as far as their names and values can be those of HTTP; names in lower case.
    pub headers: &'a HeaderMap,
    /// Its body, without content codings.
    pub body: &'a [u8],
}

/// A message as its reader gets it.
#[derive(Debug)]
pub struct MessageOut {
    /// Its headers: those of [`MessageIn::headers`], as the rules change them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: BodyOut,
    /// Members of the body that were left out because the reader's interface has another field of their name.
    pub dropped: usize,
}

/// The way of a channel's messages from one version to another.
#[derive(Debug, Clone)]
pub struct MessageWay<'p> {
    hops: Vec<Hop<'p>>,
    direction: Direction,
}

impl ServicePlan {
    /// The channel of a name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }

    /// How messages of a channel go from version `from` to version `to`. `None`: a step between them has no rules for it.
    pub fn message_way(&self, channel: &str, from: usize, to: usize) -> Option<MessageWay<'_>> {
        let (direction, range) = if from <= to { (Direction::Up, from..to) } else { (Direction::Down, to..from) };
        let hop = |step| -> Option<Hop<'_>> {
            let step: &super::StepPlan = step;
            let is_named = |one: &&super::route::Route| match one.old.template.segments.as_slice() {
                [Segment::Literal(name)] => name == channel,
                _ => false,
            };
            Some(Hop { step, route: step.messages.iter().find(is_named)?, direction, surroundings: None })
        };
        let mut hops = self.steps.get(range)?.iter().map(hop).collect::<Option<Vec<_>>>()?;
        if direction == Direction::Down {
            hops.reverse();
        }
        Some(MessageWay { hops, direction })
    }
}

impl MessageWay<'_> {
    /// Whether any rule on the way reads or writes the body; else it need not be JSON.
    pub fn touches_body(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.request.as_ref().is_some_and(super::route::Message::touches_body))
    }

    /// Whether any rule on the way looks at anything but the body; else the headers are none of its business.
    pub fn touches_headers(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.request.as_ref().is_some_and(|message| message.body_only.is_none()))
    }

    /// Translates a message. What a newer writer adds must not break older readers, so on the way down members without a
    /// place are left out; what an older writer says must not vanish, so on the way up they are refused.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is in the writer's terms.
    pub fn translate(
        &self,
        message: &MessageIn<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<MessageOut, Fault> {
        let unplaced = match self.direction {
            Direction::Up => Unplaced::Refuse,
            Direction::Down => Unplaced::Drop,
        };
        let limits = Limits { unplaced, ..limits };
        let Some(first) = self.hops.first() else {
            return Ok(MessageOut { headers: message.headers.clone(), body: BodyOut::Unchanged, dropped: 0 });
        };
        let path = first.route.old.label.split_once(' ').map_or("/", |(_, path)| path);
        let request =
            RequestIn { method: &Method::POST, path, query: None, headers: message.headers, body: Some(message.body) };
        let mut current = RequestOut::of(&request, BodyOut::Unchanged);
        let mut dropped = 0;
        for hop in &self.hops {
            scratch.dropped = 0;
            let seen = current.seen_over(request.body);
            let message = hop.route.request.as_ref();
            // A channel has one name on both sides: where no rule looks beyond the body, nothing else is to be written.
            if let (Some(of), Some(body)) = (message.and_then(|message| message.body_only), seen.body) {
                let mut out = Vec::with_capacity(body.len() + body.len() / 4);
                hop.step.translate_within(of, hop.direction, body, hop.alone(), &mut out, scratch, limits)?;
                current.body = BodyOut::Replaced(out);
            } else {
                let next = hop.request(&seen, None, scratch, limits)?;
                current = current.then(next);
            }
            dropped += scratch.dropped;
        }
        Ok(MessageOut { headers: current.headers, body: current.body, dropped })
    }
}
