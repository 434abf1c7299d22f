//! Which route a request takes, and what each side of a route is called.

use std::collections::{BTreeMap, BTreeSet};

use super::Needs;
use crate::codecs::Direction;
use crate::path::Place;
use crate::path::Step;
use crate::path::percent;
use crate::path::query::Query;
use crate::path::template::{QueryValue, Segment, Template};
use crate::rules::ast::{StatusKey, WriteMode};
use crate::rules::asynchronous::Follow;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedMapped, CheckedRoute, CheckedStep, TypeId};
use crate::rules::mapping::When;

/// One compiled route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) old: Side,
    pub(super) new: Side,
    pub(super) write: WriteMode,
    pub(super) follow: Option<Follow>,
    pub(super) request: Option<Message>,
    pub(super) responses: Vec<(StatusKey, Message)>,
    pub(super) mapped: Vec<Mapped>,
    /// Whether translating a response needs the request that it answers.
    pub(super) looks_back: bool,
}

/// A response whose status changes or that depends on more than it.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) old: StatusKey,
    pub(super) new: StatusKey,
    pub(super) when: When,
    pub(super) message: Option<Message>,
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
    /// Rules of the general engine: it sees the whole message.
    pub(super) general: bool,
    /// The only rule is `body = body` as a document of this type: no other part takes part.
    pub(super) body_only: Option<TypeId>,
    /// The type of its body, where no rule joins the body with another part.
    pub(super) body: Option<TypeId>,
}

/// What the rules name of one side of a message.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) body: bool,
    /// Whether the other side's rules write into the body, so that what they do not name of it passes.
    pub(super) keeps_body: bool,
    pub(super) status: bool,
    pub(super) path: BTreeSet<String>,
    pub(super) query: BTreeSet<String>,
    /// Lower-case.
    pub(super) headers: BTreeSet<String>,
    pub(super) cookies: BTreeSet<String>,
    /// Part, and the texts around the variable part of names that rules take, or nothing around where they take all.
    pub(super) patterns: Vec<(String, String, String)>,
}

impl Route {
    pub(super) fn compile(
        route: &CheckedRoute,
        step: &CheckedStep,
        bodies: &BTreeMap<TypeId, TypeId>,
        needs: &Needs,
    ) -> Self {
        let side = |template: &Template| Side { label: template.to_string(), template: template.clone() };
        let message = |of: TypeId| Message { body: bodies.get(&of).copied(), ..Message::compile(of, step, needs) };
        Self {
            old: side(&route.old),
            new: side(&route.new),
            write: route.write,
            follow: route.follow.clone(),
            request: route.request.map(|of| {
                let patches = route.old.method == "PATCH" || route.new.method == "PATCH";
                message(of).partial(if patches { step.types.len() } else { 0 })
            }),
            responses: route.responses.iter().map(|(key, of)| (*key, message(*of))).collect(),
            mapped: route.mapped.iter().map(|one| Mapped::compile(one, step, needs)).collect(),
            looks_back: {
                let sees = |of: TypeId| Needs::has(&needs.request, of);
                route.mapped.iter().any(|one| one.when.sees_request() || one.of.is_some_and(sees))
                    || route.responses.iter().any(|(_, of)| sees(*of))
            },
        }
    }

    /// Makes each message, not only its body, the document that rules see.
    pub(super) fn keep_messages_whole(&mut self) {
        let responses = self.responses.iter_mut().map(|(_, message)| message);
        let mapped = self.mapped.iter_mut().filter_map(|one| one.message.as_mut());
        self.request.iter_mut().chain(responses).chain(mapped).for_each(|message| message.body_only = None);
    }

    /// The caller's and the service's side of a request that travels in a direction.
    pub(super) fn sides(&self, direction: Direction) -> (&Side, &Side) {
        direction.order(&self.old, &self.new)
    }

    /// The rules for a response status, the most specific first.
    pub(super) fn response(&self, status: u16) -> Option<&Message> {
        for_status(&self.responses, status).map(|(_, message)| message)
    }

    /// Responses of a status that are told apart by more than it, in the order in which they are tried.
    pub(super) fn mapped(&self, status: u16, direction: Direction) -> impl Iterator<Item = &Mapped> {
        self.mapped.iter().filter(move |one| one.sides(direction).0.covers(status))
    }
}

/// The most specific rules for a response status; of equals the last.
pub(super) fn for_status(all: &[(StatusKey, Message)], status: u16) -> Option<&(StatusKey, Message)> {
    let rank = |key: StatusKey| match key {
        StatusKey::Exact(_) => 2,
        StatusKey::Class(_) => 1,
        StatusKey::Default => 0,
    };
    all.iter().filter(|(key, _)| key.covers(status)).max_by_key(|(key, _)| rank(*key))
}

impl Mapped {
    pub(super) fn compile(one: &CheckedMapped, step: &CheckedStep, needs: &Needs) -> Self {
        let message = one.of.map(|of| Message::compile(of, step, needs));
        Self { old: one.old, new: one.new, when: one.when.clone(), message }
    }

    /// The source's and the target's status.
    pub(super) fn sides(&self, direction: Direction) -> (StatusKey, StatusKey) {
        direction.order(self.old, self.new)
    }

    pub(super) fn condition(&self, direction: Direction) -> Option<&Query> {
        match direction {
            Direction::Up => self.when.old.as_ref(),
            Direction::Down => self.when.new.as_ref(),
        }
    }
}

impl Message {
    pub(super) fn compile(of: TypeId, step: &CheckedStep, needs: &Needs) -> Self {
        let rules = step.types.get(of.0).map(|of| of.rules.as_slice()).unwrap_or_default();
        let (mut old, mut new) = (Parts::default(), Parts::default());
        for rule in rules {
            match &rule.kind {
                CheckedKind::Equation { olds, news, .. } => {
                    for place in olds {
                        old.add(place, &mut new);
                    }
                    for place in news {
                        new.add(place, &mut old);
                    }
                }
                CheckedKind::Added { place, .. } => new.add(place, &mut old),
                CheckedKind::Removed { place, .. } => old.add(place, &mut new),
                CheckedKind::Mapping(mapping) => {
                    mapping.places(false).iter().for_each(|place| old.add(place, &mut new));
                    mapping.places(true).iter().for_each(|place| new.add(place, &mut old));
                    // What a derived value is made from is read where the other side has it.
                    for (is_new, place) in mapping.sources() {
                        let side = if is_new { &mut new } else { &mut old };
                        side.body |= place.segments.first().is_some_and(|part| part == "body");
                    }
                }
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
        let general = Needs::has(&needs.general, of);
        Self { of, old, new, general, body_only, body: None }
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
        direction.order(&self.old, &self.new)
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
    fn add(&mut self, place: &Place, other: &mut Self) {
        let (part, name) = match place.segments.as_slice() {
            [part, name, ..] => (part.as_str(), name.clone()),
            [part] => (part.as_str(), String::new()),
            [] => return,
        };
        if part != "body" && part != "status" && place.segments.len() == 1 {
            let (prefix, suffix) = match place.tail.first() {
                Some(Step::Pattern { prefix, suffix, .. }) => (prefix.clone(), suffix.clone()),
                _ => (String::new(), String::new()),
            };
            self.patterns.push((part.to_owned(), prefix, suffix));
            return;
        }
        match part {
            "body" => {
                self.body = true;
                other.keeps_body |= place.segments.len() > 1 || !place.tail.is_empty();
            }
            "status" => self.status = true,
            "path" => _ = self.path.insert(name),
            "query" => _ = self.query.insert(name),
            "header" => _ = self.headers.insert(name.to_ascii_lowercase()),
            "cookie" => _ = self.cookies.insert(name),
            _ => {}
        }
    }

    /// Whether rules have to do with a name of a part.
    pub(super) fn names(&self, part: &str, name: &str) -> bool {
        let exactly = match part {
            "query" => self.query.contains(name),
            "header" => self.headers.contains(name),
            "cookie" => self.cookies.contains(name),
            _ => false,
        };
        exactly
            || self.patterns.iter().any(|(of, prefix, suffix)| {
                of == part
                    && name.len() >= prefix.len() + suffix.len()
                    && name.starts_with(prefix)
                    && name.ends_with(suffix)
            })
    }

    /// Whether rules have to do with any name of a part.
    pub(super) fn names_any(&self, part: &str) -> bool {
        let any = match part {
            "query" => !self.query.is_empty(),
            "header" => !self.headers.is_empty(),
            "cookie" => !self.cookies.is_empty(),
            _ => false,
        };
        any || self.patterns.iter().any(|(of, ..)| of == part)
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
    let parts = rest.split('/');
    let mut at = rest;
    for part in parts {
        let here = at;
        at = at.get(part.len() + 1..).unwrap_or_default();
        match segments.next()? {
            Segment::Rest(name) => {
                params.push((name.as_str(), here));
                return (!here.is_empty()).then_some(params);
            }
            Segment::Part { prefix, name, suffix } => {
                let inner = part.strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str())?;
                params.push((name.as_str(), inner));
                if inner.is_empty() {
                    return None;
                }
            }
            Segment::Literal(text) => {
                if part != text && percent::decode(part)? != *text {
                    return None;
                }
            }
            Segment::Param(_) if part.is_empty() => return None,
            Segment::Param(name) => params.push((name.as_str(), part)),
        }
    }
    segments.next().is_none().then_some(params)
}

/// Whether a template asks nothing of a query that another one does not have.
pub(super) fn covers_query(template: &Template, other: &Template) -> bool {
    template.query.iter().all(|(name, value)| {
        let given = other.query.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        match (value, given) {
            (QueryValue::Param(_), Some(_)) => true,
            (value, Some(given)) => value == given,
            (_, None) => false,
        }
    })
}

/// Whether a template takes a method. A HEAD is a GET without its body (RFC 9110, 9.3.2).
pub(super) fn takes(template: &Template, method: &str) -> bool {
    template.method == "*" || template.method == method || (method == "HEAD" && template.method == "GET")
}
