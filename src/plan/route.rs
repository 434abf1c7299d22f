//! Which route a request takes, and what each side of a route is called.

use std::collections::{BTreeMap, BTreeSet};

use crate::codecs::Direction;
use crate::path::Place;
use crate::path::template::{Segment, Template, percent_decode};
use crate::rules::ast::{StatusKey, WriteMode};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRoute, CheckedStep, TypeId};

/// One compiled route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) old: Side,
    pub(super) new: Side,
    pub(super) write: WriteMode,
    pub(super) request: Option<Message>,
    pub(super) responses: Vec<(StatusKey, Message)>,
}

/// One side of a route.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) template: Template,
    /// `GET /orders/{id}`
    pub(super) label: String,
}

/// The rules of one message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) of: TypeId,
    pub(super) old: Parts,
    pub(super) new: Parts,
    /// The only rule is `body = body` as a document of this type: no other part takes part.
    pub(super) body_only: Option<TypeId>,
    /// The type of its body, where no rule joins the body with another part.
    pub(super) body: Option<TypeId>,
}

/// What the rules name of one side of a message.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) body: bool,
    pub(super) status: bool,
    pub(super) path: BTreeSet<String>,
    pub(super) query: BTreeSet<String>,
    /// Lower-case.
    pub(super) headers: BTreeSet<String>,
    pub(super) cookies: BTreeSet<String>,
}

impl Route {
    pub(super) fn compile(route: &CheckedRoute, step: &CheckedStep, bodies: &BTreeMap<TypeId, TypeId>) -> Self {
        let side = |template: &Template| Side { label: template.to_string(), template: template.clone() };
        let message = |of: TypeId| Message { body: bodies.get(&of).copied(), ..Message::compile(of, step) };
        Self {
            old: side(&route.old),
            new: side(&route.new),
            write: route.write,
            request: route.request.map(|of| {
                let patches = route.old.method == "PATCH" || route.new.method == "PATCH";
                message(of).partial(if patches { step.types.len() } else { 0 })
            }),
            responses: route.responses.iter().map(|(key, of)| (*key, message(*of))).collect(),
        }
    }

    /// The caller's and the service's side of a request that travels in a direction.
    pub(super) fn sides(&self, direction: Direction) -> (&Side, &Side) {
        match direction {
            Direction::Up => (&self.old, &self.new),
            Direction::Down => (&self.new, &self.old),
        }
    }

    /// The rules for a response status, the most specific first.
    pub(super) fn response(&self, status: u16) -> Option<&Message> {
        let rank = |key: StatusKey| match key {
            StatusKey::Exact(exact) => (exact == status).then_some(2),
            StatusKey::Class(class) => (u16::from(class) == status / 100).then_some(1),
            StatusKey::Default => Some(0),
        };
        let ranked = self.responses.iter().filter_map(|(key, message)| Some((rank(*key)?, message)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, message)| message)
    }
}

impl Message {
    fn compile(of: TypeId, step: &CheckedStep) -> Self {
        let rules = step.types.get(of.0).map(|of| of.rules.as_slice()).unwrap_or_default();
        let (mut old, mut new) = (Parts::default(), Parts::default());
        for rule in rules {
            match &rule.kind {
                CheckedKind::Equation { olds, news, .. } => {
                    for place in olds {
                        old.add(place);
                    }
                    for place in news {
                        new.add(place);
                    }
                }
                CheckedKind::Added { place, .. } => new.add(place),
                CheckedKind::Removed { place, .. } => old.add(place),
            }
        }
        let body_only = match rules {
            [rule] => match &rule.kind {
                CheckedKind::Equation { olds, news, codec: BoundCodec::As(of), default: None }
                    if is_body(olds) && is_body(news) =>
                {
                    Some(*of)
                }
                _ => None,
            },
            _ => None,
        };
        Self { of, old, new, body_only, body: None }
    }

    /// The same message with its types' partial forms, which begin `offset` behind the whole ones.
    fn partial(mut self, offset: usize) -> Self {
        self.of.0 += offset;
        let partial = |of: TypeId| TypeId(of.0 + offset);
        self.body_only = self.body_only.map(partial);
        self.body = self.body.map(partial);
        self
    }

    pub(super) fn parts(&self, direction: Direction) -> (&Parts, &Parts) {
        match direction {
            Direction::Up => (&self.old, &self.new),
            Direction::Down => (&self.new, &self.old),
        }
    }

    /// Whether any rule has to do with the body.
    pub(super) fn touches_body(&self) -> bool {
        self.old.body || self.new.body
    }
}

fn is_body(places: &[Place]) -> bool {
    matches!(places, [place] if matches!(place.segments.as_slice(), [part] if part == "body"))
}

impl Parts {
    fn add(&mut self, place: &Place) {
        let (part, name) = match place.segments.as_slice() {
            [part, name, ..] => (part.as_str(), name.clone()),
            [part] => (part.as_str(), String::new()),
            [] => return,
        };
        match part {
            "body" => self.body = true,
            "status" => self.status = true,
            "path" => _ = self.path.insert(name),
            "query" => _ = self.query.insert(name),
            "header" => _ = self.headers.insert(name.to_ascii_lowercase()),
            "cookie" => _ = self.cookies.insert(name),
            _ => {}
        }
    }
}

/// How a request's path was cut at a template's params: name and segment as on the wire.
pub(super) type Params<'a> = Vec<(&'a str, &'a str)>;

/// Matches a path as on the wire against a template.
pub(super) fn match_path<'a>(template: &'a Template, path: &'a str) -> Option<Params<'a>> {
    let mut params = Vec::new();
    let mut segments = template.segments.iter();
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return template.segments.is_empty().then_some(params);
    }
    for part in rest.split('/') {
        match segments.next()? {
            Segment::Literal(text) => {
                if part != text && percent_decode(part)? != *text {
                    return None;
                }
            }
            Segment::Param(_) if part.is_empty() => return None,
            Segment::Param(name) => params.push((name.as_str(), part)),
        }
    }
    segments.next().is_none().then_some(params)
}

/// Whether a template matches everything that another one stands for, literal by literal.
pub(super) fn covers(template: &Template, other: &Template) -> bool {
    template.segments.len() == other.segments.len()
        && template.segments.iter().zip(&other.segments).all(|pair| match pair {
            (Segment::Param(_), _) => true,
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Literal(_), Segment::Param(_)) => false,
        })
}

/// Whether a template takes a method. A HEAD is a GET without its body (RFC 9110, 9.3.2).
pub(super) fn takes(template: &Template, method: &str) -> bool {
    template.method == "*" || template.method == method || (method == "HEAD" && template.method == "GET")
}
