//! One request and its response on their way between two versions, through every step between them.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use super::address::Surroundings;
use super::general::Requests;
use super::index::Asked;
use super::line::Line;
use super::route::{Mapped, Message, Route, Side};
use super::{Direction, Fault, Limits, Scratch, ServicePlan, StepPlan, TypeId, Unplaced};
use crate::path::template::Template;
use crate::rules::ast::WriteMode;

/// No rule maps this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoute {
    /// The methods that routes of this path take; empty where no route has the path.
    pub methods: Vec<String>,
}

/// A request as its caller sent it.
#[derive(Debug, Clone, Copy)]
pub struct RequestIn<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path as on the wire.
    pub path: &'a str,
    /// Query as on the wire, without `?`.
    pub query: Option<&'a str>,
    /// End-to-end headers.
    pub headers: &'a HeaderMap,
    /// The body with content codings removed, where [`Exchange::reads_request_body`] asks for it and there is one.
    pub body: Option<&'a [u8]>,
}

/// A request as the service gets it.
#[derive(Debug, Clone)]
pub struct RequestOut {
    /// Method.
    pub method: Method,
    /// Path, percent-encoded.
    pub path: String,
    /// Query without `?`.
    pub query: Option<String>,
    /// End-to-end headers; framing headers (`content-length`, `content-encoding`) are the sender's business.
    pub headers: HeaderMap,
    /// The body.
    pub body: BodyOut,
}

impl RequestOut {
    /// A request that no hop has changed, with this body.
    pub(super) fn of(request: &RequestIn<'_>, body: BodyOut) -> Self {
        Self {
            method: request.method.clone(),
            path: request.path.to_owned(),
            query: request.query.map(str::to_owned),
            headers: request.headers.clone(),
            body,
        }
    }

    /// The same as the next hop's rules see it.
    pub(super) fn seen(&self) -> RequestIn<'_> {
        self.seen_over(None)
    }

    /// The same, where a body that is unchanged is this one.
    pub(super) fn seen_over<'a>(&'a self, unchanged: Option<&'a [u8]>) -> RequestIn<'a> {
        let (path, query) = (self.path.as_str(), self.query.as_deref());
        RequestIn { method: &self.method, path, query, headers: &self.headers, body: self.body.over(unchanged) }
    }

    /// What the next hop made of it: one that leaves the body alone passes on what the hops before made of that.
    pub(super) fn then(self, next: Self) -> Self {
        let body = if next.body == BodyOut::Unchanged { self.body } else { next.body };
        Self { body, ..next }
    }
}

/// What becomes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyOut {
    /// The incoming bytes go on as they are (still content-coded).
    Unchanged,
    /// These bytes (not content-coded) replace it; empty where the rules leave no body.
    Replaced(Vec<u8>),
}

impl BodyOut {
    /// The body where an unchanged one is this; none where it is empty.
    pub(crate) fn over<'a>(&'a self, unchanged: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match self {
            Self::Unchanged => unchanged,
            Self::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
        }
    }
}

/// A response as the service gave it.
#[derive(Debug, Clone, Copy)]
pub struct ResponseIn<'a> {
    /// Status.
    pub status: StatusCode,
    /// End-to-end headers.
    pub headers: &'a HeaderMap,
    /// The body with content codings removed, where [`Exchange::reads_response_body`] asks for it and there is one.
    pub body: Option<&'a [u8]>,
}

/// A response as the caller gets it.
#[derive(Debug)]
pub struct ResponseOut {
    /// Status.
    pub status: StatusCode,
    /// End-to-end headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: BodyOut,
    /// Members of the service's body that were left out because the caller's interface has another field of their name.
    pub dropped: usize,
}

/// One exchange between a caller of one version and a service of another.
#[derive(Debug, Clone)]
pub struct Exchange<'p> {
    /// In the order that a request takes.
    pub(super) hops: Vec<Hop<'p>>,
    /// What is fused of the version line, and its step that the oldest hop is; nothing for a way of one step.
    pub(super) line: Option<(&'p Line, usize)>,
}

/// One step of the way.
#[derive(Debug, Clone)]
pub(super) struct Hop<'p> {
    pub(super) step: &'p StepPlan,
    pub(super) route: &'p Route,
    /// The request's direction; the response takes the other.
    pub(super) direction: Direction,
    /// What its rules over addresses see of where the exchange takes place.
    pub(super) surroundings: Option<Arc<Surroundings>>,
}

impl ServicePlan {
    /// The route of one exchange between a caller of version `asked` and the service of version `served`.
    ///
    /// `target` is the request's path and query as on the wire (percent-encoded).
    ///
    /// # Errors
    /// [`NoRoute`] where no rule maps this method and path all the way.
    pub fn exchange(
        &self,
        asked: usize,
        served: usize,
        method: &str,
        target: (&str, Option<&str>),
    ) -> Result<Exchange<'_>, NoRoute> {
        let (direction, steps): (_, Vec<&StepPlan>) = if asked <= served {
            (Direction::Up, self.steps.get(asked..served).into_iter().flatten().collect())
        } else {
            (Direction::Down, self.steps.get(served..asked).into_iter().flatten().rev().collect())
        };
        let mut way = Exchange { hops: Vec::with_capacity(steps.len()), line: Some((&self.line, asked.min(served))) };
        for step in steps {
            let route = step.find_route(direction, way.next_method(method), way.seeks(target))?;
            way.hops.push(Hop { step, route, direction, surroundings: None });
        }
        Ok(way)
    }
}

impl StepPlan {
    /// The most specific route whose caller's side has the method and matches.
    pub(super) fn find_route(&self, direction: Direction, method: &str, asked: Asked<'_>) -> Result<&Route, NoRoute> {
        self.best_route(direction, method, asked).ok_or_else(|| {
            let index = self.index(direction);
            let of_path =
                index.all(asked, |id| self.side(direction, id).is_some_and(|side| asked.has_query(&side.template)));
            let method = |id: &usize| Some(self.side(direction, *id)?.template.method.clone());
            NoRoute { methods: of_path.iter().filter_map(method).collect() }
        })
    }

    /// The same, where it does not matter what else there is.
    pub(super) fn best_route(&self, direction: Direction, method: &str, asked: Asked<'_>) -> Option<&Route> {
        let passes = |id| self.side(direction, id).is_some_and(|side| asked.is_of(&side.template, method));
        self.routes.get(self.index(direction).best(asked, passes)?)
    }

    /// The caller's side of a route.
    fn side(&self, direction: Direction, id: usize) -> Option<&Side> {
        self.routes.get(id).map(|route| route.sides(direction).0)
    }
}

impl<'p> Exchange<'p> {
    /// Whether any rule on the way has to do with addresses (`link`).
    pub fn tells_addresses(&self) -> bool {
        self.hops.iter().any(|hop| hop.step.tells_addresses())
    }

    /// The same where it takes place: rules over addresses (`link`) then know whose an address with a host is.
    #[must_use]
    pub fn within(mut self, surroundings: &Surroundings) -> Self {
        let last = self.hops.len().saturating_sub(1);
        for (index, hop) in self.hops.iter_mut().enumerate().filter(|(_, hop)| hop.step.tells_addresses()) {
            let seen = if index == last { surroundings.clone() } else { surroundings.beyond() };
            hop.surroundings = Some(Arc::new(seen));
        }
        self
    }

    /// The route in the caller's terms, for logs and metrics: `GET /orders/{id}`. Empty where both speak one version.
    pub fn label(&self) -> &'p str {
        self.hops.first().map_or("", |hop| hop.route.sides(hop.direction).0.label.as_str())
    }

    /// The route in the service's terms. `None` where both speak one version.
    pub fn served_template(&self) -> Option<&'p Template> {
        self.hops.last().map(|hop| &hop.route.sides(hop.direction).1.template)
    }

    /// The method that a request of this one has at the end of the way so far.
    pub(super) fn next_method<'m>(&self, asked: &'m str) -> &'m str
    where
        'p: 'm,
    {
        self.served_template().map_or(asked, |known| if known.method == "*" { asked } else { &known.method })
    }

    /// What a request that has come the way so far, or begins it with this path and query, looks for.
    pub(super) fn seeks<'a>(&self, (path, query): (&'a str, Option<&'a str>)) -> Asked<'a>
    where
        'p: 'a,
    {
        self.served_template().map_or(Asked::Target(path, query), Asked::Template)
    }

    /// Whether its rules say where a request goes and nothing else.
    pub fn is_bare(&self) -> bool {
        self.hops.iter().all(|hop| {
            let Route { request, responses, mapped, .. } = hop.route;
            request.is_none() && responses.is_empty() && mapped.is_empty()
        })
    }

    /// Whether translating the request needs its body.
    pub fn reads_request_body(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.request.as_ref().is_some_and(Message::touches_body))
    }

    /// Whether translating a response of this status needs its body.
    pub fn reads_response_body(&self, status: StatusCode) -> bool {
        self.hops.iter().any(|hop| {
            let by_more = self.mapped(hop, status).any(|one| one.condition(hop.direction.reverse()).is_some());
            by_more || self.response_messages(hop, status).any(Message::touches_body)
        })
    }

    /// What a hop's rules may make of a response that the service gave this status. A rule may change the status on the
    /// way, and so which rules the next hop has: where there are several, each of them.
    fn mapped<'h>(&self, hop: &'h Hop<'_>, status: StatusCode) -> impl Iterator<Item = &'h Mapped> {
        let is_only = self.hops.len() == 1;
        let covers = move |one: &&Mapped| one.sides(hop.direction.reverse()).0.covers(status.as_u16());
        hop.route.mapped.iter().filter(move |one| !is_only || covers(one))
    }

    fn response_messages<'h>(&self, hop: &'h Hop<'_>, status: StatusCode) -> impl Iterator<Item = &'h Message> {
        let is_only = self.hops.len() == 1;
        let chosen = hop.route.response(status.as_u16()).filter(|_| is_only);
        let all = hop.route.responses.iter().map(|(_, message)| message).filter(move |_| !is_only);
        self.mapped(hop, status).filter_map(|one| one.message.as_ref()).chain(chosen).chain(all)
    }

    /// Whether rules over the request see forms and texts, too.
    pub fn takes_any_request(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.request.as_ref().is_some_and(|message| message.general))
    }

    /// Whether rules over a response of this status see forms and texts, too.
    pub fn takes_any_response(&self, status: StatusCode) -> bool {
        self.hops.iter().any(|hop| self.response_messages(hop, status).any(|message| message.general))
    }

    /// Whether the write must be put onto the live document: the request that reads it, in the service's terms.
    ///
    /// # Errors
    /// The first [`Fault`] of translating the request's path and headers.
    pub fn merge_read(
        &self,
        request: &RequestIn<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<Option<RequestOut>, Fault> {
        if !self.merges() {
            return Ok(None);
        }
        let mut read = self.request(request, None, scratch, limits)?;
        read.method = Method::GET;
        read.body = BodyOut::Replaced(Vec::new());
        for name in [http::header::CONTENT_TYPE, http::header::IF_MATCH, http::header::IF_UNMODIFIED_SINCE] {
            read.headers.remove(name);
        }
        Ok(Some(read))
    }

    /// The steps that a request takes, each with the type of the message that its rules make of it.
    pub(super) fn request_steps(&self) -> impl Iterator<Item = (&'p StepPlan, Option<TypeId>, Direction)> {
        self.hops.iter().map(|hop| (hop.step, hop.route.request.as_ref().map(|message| message.of), hop.direction))
    }

    /// Whether what the service gets depends on the document as it is there.
    pub fn writes_onto_live(&self) -> bool {
        self.merges()
    }

    pub(super) fn merges(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.write == WriteMode::Merge && hop.direction == Direction::Up)
    }

    /// Translates the request to the service's version. `base` is the live document where [`Exchange::merge_read`]
    /// asked for one.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is in the caller's terms.
    pub fn request(
        &self,
        request: &RequestIn<'_>,
        base: Option<&[u8]>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        let limits = Limits { unplaced: Unplaced::Refuse, ..limits };
        let bases = match base.filter(|_| self.merges()) {
            Some(live) => self.bases(live, scratch, limits)?,
            None => Vec::new(),
        };
        if let Some((way, body)) = self.request_way().zip(request.body) {
            let current = self.readdressed(RequestOut::of(request, BodyOut::Unchanged), scratch, limits)?;
            let of = |hop: &Hop<'_>| hop.route.request.as_ref()?.body_only;
            let (body, _) = way.translate(&self.steps(of), self.direction(), body, scratch, limits)?;
            return Ok(RequestOut { body: BodyOut::Replaced(body), ..current });
        }
        let mut current: Option<RequestOut> = None;
        for (index, hop) in self.hops.iter().enumerate() {
            let base = bases.get(index).and_then(Option::as_deref);
            current = Some(match current {
                None => hop.request(request, base, scratch, limits)?,
                Some(before) => {
                    let next = hop.request(&before.seen_over(request.body), base, scratch, limits)?;
                    before.then(next)
                }
            });
        }
        Ok(current.unwrap_or_else(|| RequestOut::of(request, BodyOut::Unchanged)))
    }

    /// The request as each version on the way sees it, its caller's first; fewer where it cannot be translated. Empty where
    /// no rule over responses looks back at it.
    fn views(&self, request: Option<&RequestIn<'_>>, scratch: &mut Scratch, limits: Limits) -> Vec<Vec<u8>> {
        let Some(request) = request.filter(|_| self.hops.iter().any(|hop| hop.route.looks_back)) else {
            return Vec::new();
        };
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let mut views = Vec::new();
        let body = request.body.filter(|body| !body.is_empty());
        let mut current = RequestOut::of(request, BodyOut::Unchanged);
        for hop in &self.hops {
            let seen = current.seen_over(body);
            let Ok(view) = super::hop::view(&hop.route.sides(hop.direction).0.template, &seen) else { return views };
            views.push(view);
            let Ok(next) = hop.request(&seen, None, scratch, limits) else { return views };
            current = current.then(next);
        }
        if let Some(hop) = self.hops.last() {
            views.extend(super::hop::view(&hop.route.sides(hop.direction).1.template, &current.seen_over(body)));
        }
        views
    }

    /// Translates the response to the caller's version. `request` is the exchange's request as its caller sent it, for
    /// rules that look back at it; its body is there where [`Exchange::reads_request_body`] asked for it.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is in the service's terms.
    pub fn response(
        &self,
        response: &ResponseIn<'_>,
        request: Option<&RequestIn<'_>>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        if let Some((way, body)) = self.response_way(response.status).zip(response.body) {
            let limits = Limits { unplaced: Unplaced::Drop, ..limits };
            let of = |hop: &Hop<'_>| hop.route.response(response.status.as_u16())?.body_only;
            let (body, dropped) = way.translate(&self.steps(of), self.direction().reverse(), body, scratch, limits)?;
            let (status, headers) = (response.status, response.headers.clone());
            return Ok(ResponseOut { status, headers, body: BodyOut::Replaced(body), dropped });
        }
        let views = self.views(request, scratch, limits);
        // The request was translated for its views alone.
        self.hops.iter().for_each(|hop| hop.step.forget_notes());
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let mut current: Option<ResponseOut> = None;
        for (index, hop) in self.hops.iter().enumerate().rev() {
            let (asked, served) = (views.get(index).map(Vec::as_slice), views.get(index + 1).map(Vec::as_slice));
            let requests = match hop.direction {
                Direction::Up => Requests { old: asked, new: served, ..hop.alone() },
                Direction::Down => Requests { old: served, new: asked, ..hop.alone() },
            };
            current = Some(match current {
                None => hop.response(response, requests, scratch, limits)?,
                Some(ResponseOut { status, headers, body, dropped }) => {
                    let seen = ResponseIn { status, headers: &headers, body: body.over(response.body) };
                    let next = hop.response(&seen, requests, scratch, limits)?;
                    let body = if next.body == BodyOut::Unchanged { body } else { next.body };
                    ResponseOut { body, dropped: dropped + next.dropped, ..next }
                }
            });
        }
        Ok(current.unwrap_or_else(|| ResponseOut {
            status: response.status,
            headers: response.headers.clone(),
            body: BodyOut::Unchanged,
            dropped: 0,
        }))
    }
}
