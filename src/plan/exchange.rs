//! One request and its response on their way between two versions, through every step between them.

use std::borrow::Cow;

use http::{HeaderMap, Method, StatusCode};

use super::general::Requests;
use super::line::{Line, Way};
use super::message::{self, Envelope, Source, Unpacked};
use super::route::{self, Message, Params, Route};
use super::{Direction, Fault, FaultKind, Limits, Scratch, ServicePlan, StepPlan, TypeId, Unplaced};
use crate::json::Tree;
use crate::path::template::{Segment, Template, percent_encode};
use crate::rules::ast::{StatusKey, WriteMode};

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
#[derive(Debug)]
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

/// What becomes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyOut {
    /// The incoming bytes go on as they are (still content-coded).
    Unchanged,
    /// These bytes (not content-coded) replace it; empty where the rules leave no body.
    Replaced(Vec<u8>),
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
#[derive(Debug)]
pub struct Exchange<'p> {
    /// In the order that a request takes.
    hops: Vec<Hop<'p>>,
    /// What is fused of the version line, and its step that the oldest hop is.
    line: (&'p Line, usize),
}

/// One step of the way.
#[derive(Debug, Clone, Copy)]
struct Hop<'p> {
    step: &'p StepPlan,
    route: &'p Route,
    /// The request's direction; the response takes the other.
    direction: Direction,
    /// The body is translated for all hops at once.
    is_bodiless: bool,
}

impl ServicePlan {
    /// The route of one exchange between a caller of version `asked` and the service of version `served`.
    ///
    /// `path` and `query` are the request's as on the wire (percent-encoded).
    ///
    /// # Errors
    /// [`NoRoute`] where no rule maps this method and path all the way.
    pub fn exchange(
        &self,
        asked: usize,
        served: usize,
        method: &str,
        (path, query): (&str, Option<&str>),
    ) -> Result<Exchange<'_>, NoRoute> {
        let (direction, steps): (_, Vec<&StepPlan>) = if asked <= served {
            (Direction::Up, self.steps.get(asked..served).into_iter().flatten().collect())
        } else {
            (Direction::Down, self.steps.get(served..asked).into_iter().flatten().rev().collect())
        };
        let mut hops: Vec<Hop<'_>> = Vec::with_capacity(steps.len());
        for step in steps {
            let found = match hops.last() {
                None => step.find_route(direction, method, |side| {
                    route::match_path(&side.template, path).is_some() && message::has_query(&side.template, query)
                }),
                Some(last) => {
                    let (_, target) = last.route.sides(direction);
                    let method = if target.template.method == "*" { method } else { &target.template.method };
                    step.find_route(direction, method, |side| route::covers(&side.template, &target.template))
                }
            };
            hops.push(Hop { step, route: found?, direction, is_bodiless: false });
        }
        Ok(Exchange { hops, line: (&self.line, asked.min(served)) })
    }
}

impl StepPlan {
    /// The most specific route whose caller's side has the method and passes the test.
    pub(super) fn find_route(
        &self,
        direction: Direction,
        method: &str,
        matches: impl Fn(&route::Side) -> bool,
    ) -> Result<&Route, NoRoute> {
        let of_path = || self.routes.iter().filter(|route| matches(route.sides(direction).0));
        let of_method = of_path().filter(|route| route::takes(&route.sides(direction).0.template, method));
        of_method.max_by_key(|route| route.sides(direction).0.template.specificity()).ok_or_else(|| NoRoute {
            methods: of_path().map(|route| route.sides(direction).0.template.method.clone()).collect(),
        })
    }
}

impl<'p> Exchange<'p> {
    /// The route in the caller's terms, for logs and metrics: `GET /orders/{id}`. Empty where both speak one version.
    pub fn label(&self) -> &'p str {
        self.hops.first().map_or("", |hop| hop.route.sides(hop.direction).0.label.as_str())
    }

    /// The route in the service's terms. `None` where both speak one version.
    pub fn served_template(&self) -> Option<&'p Template> {
        self.hops.last().map(|hop| &hop.route.sides(hop.direction).1.template)
    }

    /// Whether translating the request needs its body.
    pub fn reads_request_body(&self) -> bool {
        self.hops.iter().any(|hop| hop.route.request.as_ref().is_some_and(Message::touches_body))
    }

    /// Whether translating a response of this status needs its body.
    pub fn reads_response_body(&self, status: StatusCode) -> bool {
        // A rule may change the status on the way, and so which rules the next step has: ask every message.
        let single = self.hops.len() == 1;
        self.hops.iter().any(|hop| {
            let chosen = hop.route.response(status.as_u16()).filter(|_| single);
            let any = hop.route.responses.iter().map(|(_, message)| message).filter(|_| !single);
            let mapped = hop
                .route
                .mapped
                .iter()
                .filter(|one| !single || one.sides(hop.direction.reverse()).0.covers(status.as_u16()));
            let by_more = mapped.clone().any(|one| one.condition(hop.direction.reverse()).is_some());
            let messages = chosen.into_iter().chain(any).chain(mapped.filter_map(|one| one.message.as_ref()));
            by_more || messages.into_iter().any(Message::touches_body)
        })
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

    /// The request's direction.
    fn direction(&self) -> Direction {
        self.hops.first().map_or(Direction::Up, |hop| hop.direction)
    }

    /// The oldest step first, whatever the direction.
    fn oldest_first<T>(&self, of: impl FnMut(&Hop<'p>) -> T) -> Vec<T> {
        let mut all: Vec<T> = self.hops.iter().map(of).collect();
        if self.direction() == Direction::Down {
            all.reverse();
        }
        all
    }

    /// Every step with the body's type in it.
    fn steps(&self, mut of: impl FnMut(&Hop<'p>) -> Option<TypeId>) -> Vec<(&'p StepPlan, Option<TypeId>)> {
        self.oldest_first(|hop| (hop.step, of(hop)))
    }

    /// How the request's body is translated for all hops at once, if some of them are fused.
    fn request_way(&self) -> Option<Way<'p>> {
        let (line, oldest) = self.line;
        if self.hops.len() < 2 || self.merges() {
            return None;
        }
        line.way(oldest, &self.oldest_first(|hop| hop.route.request.as_ref()))
    }

    /// As [`Exchange::request_way`], of a response's body.
    fn response_way(&self, status: StatusCode) -> Option<Way<'p>> {
        let (line, oldest) = self.line;
        if self.hops.len() < 2 || self.hops.iter().any(|hop| !hop.route.mapped.is_empty()) {
            return None;
        }
        line.way(oldest, &self.oldest_first(|hop| hop.route.response(status.as_u16())))
    }

    /// How many times the request's body is read on its way.
    pub fn request_passes(&self) -> usize {
        let touched = self.hops.iter().filter(|hop| hop.route.request.as_ref().is_some_and(Message::touches_body));
        self.request_way().map_or(touched.count(), |way| way.passes())
    }

    /// How many times the body of a response of this status is read on its way, where no rule changes the status.
    pub fn response_passes(&self, status: StatusCode) -> usize {
        let message = |hop: &Hop<'p>| hop.route.response(status.as_u16());
        let touched = self.hops.iter().filter(|hop| message(hop).is_some_and(Message::touches_body));
        self.response_way(status).map_or(touched.count(), |way| way.passes())
    }

    fn merges(&self) -> bool {
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
        let bases = self.bases(base.filter(|_| self.merges()), scratch, limits)?;
        let mut current = RequestOut {
            method: request.method.clone(),
            path: request.path.to_owned(),
            query: request.query.map(str::to_owned),
            headers: request.headers.clone(),
            body: BodyOut::Unchanged,
        };
        let way = self.request_way().zip(request.body);
        for (index, (hop, base)) in self.hops.iter().zip(&bases).enumerate() {
            let hop = Hop { is_bodiless: way.is_some(), ..*hop };
            // What the first hop wrote, a later one of the same address would write again.
            if index > 0 && hop.is_bodiless && hop.keeps_address() {
                continue;
            }
            let next = {
                let body = match &current.body {
                    BodyOut::Unchanged => request.body,
                    BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
                };
                let seen = RequestIn {
                    method: &current.method,
                    path: &current.path,
                    query: current.query.as_deref(),
                    headers: &current.headers,
                    body,
                };
                hop.request(&seen, base.as_deref(), scratch, limits)?
            };
            // A hop that leaves the body alone passes on what the one before made of it.
            let body = if next.body == BodyOut::Unchanged { current.body } else { next.body };
            let headers = if hop.is_bodiless { current.headers } else { next.headers };
            current = RequestOut { headers, body, ..next };
        }
        if let Some((way, body)) = way {
            let of = |hop: &Hop<'_>| hop.route.request.as_ref()?.body_only;
            let direction = self.direction();
            current.body = BodyOut::Replaced(way.translate(&self.steps(of), direction, body, scratch, limits)?.0);
        }
        Ok(current)
    }

    /// The live document as each hop's target version sees it, nearest the service last.
    fn bases(&self, live: Option<&[u8]>, scratch: &mut Scratch, limits: Limits) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let mut bases = vec![None; self.hops.len()];
        let mut base = live.map(<[u8]>::to_vec);
        for (index, hop) in self.hops.iter().enumerate().rev() {
            if let Some(slot) = bases.get_mut(index) {
                slot.clone_from(&base);
            }
            if index > 0
                && let (Some(text), Some(message)) = (&base, &hop.route.request)
            {
                let headers = HeaderMap::new();
                let params = Params::new();
                let source = Source { params: &params, query: None, headers: &headers, status: None, body: Some(text) };
                let (from, _) = message.parts(hop.direction.reverse());
                let envelope = if message.general {
                    message::pack_whole(&source, None, None)
                } else {
                    Envelope::pack(from, &source)?
                };
                let mut out = Vec::new();
                hop.step.translate(message.of, hop.direction.reverse(), &envelope.text, &mut out, scratch, limits)?;
                base = message::unpack(&out)?.body.map(<[u8]>::to_vec);
            }
        }
        Ok(bases)
    }

    /// The request as each version on the way sees it, its caller's first; fewer where it cannot be translated. Empty where
    /// no rule over responses looks back at it.
    fn views(&self, request: Option<&RequestIn<'_>>, scratch: &mut Scratch, limits: Limits) -> Vec<Vec<u8>> {
        let Some(request) = request.filter(|_| self.hops.iter().any(|hop| hop.route.looks_back)) else {
            return Vec::new();
        };
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let mut views = Vec::new();
        let mut current = RequestOut {
            method: request.method.clone(),
            path: request.path.to_owned(),
            query: request.query.map(str::to_owned),
            headers: request.headers.clone(),
            body: request.body.map_or(BodyOut::Unchanged, |body| BodyOut::Replaced(body.to_vec())),
        };
        for hop in &self.hops {
            let next = {
                let body = match &current.body {
                    BodyOut::Unchanged => None,
                    BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
                };
                let seen = RequestIn {
                    method: &current.method,
                    path: &current.path,
                    query: current.query.as_deref(),
                    headers: &current.headers,
                    body,
                };
                views.push(view(&hop.route.sides(hop.direction).0.template, &seen));
                match hop.request(&seen, None, scratch, limits) {
                    Ok(next) => next,
                    Err(_) => return views,
                }
            };
            let body = if next.body == BodyOut::Unchanged { current.body } else { next.body };
            current = RequestOut { body, ..next };
        }
        if let Some(hop) = self.hops.last() {
            let body = match &current.body {
                BodyOut::Unchanged => None,
                BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
            };
            let seen = RequestIn {
                method: &current.method,
                path: &current.path,
                query: current.query.as_deref(),
                headers: &current.headers,
                body,
            };
            views.push(view(&hop.route.sides(hop.direction).1.template, &seen));
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
            let direction = self.direction().reverse();
            let (body, dropped) = way.translate(&self.steps(of), direction, body, scratch, limits)?;
            let (status, headers) = (response.status, response.headers.clone());
            return Ok(ResponseOut { status, headers, body: BodyOut::Replaced(body), dropped });
        }
        let views = self.views(request, scratch, limits);
        let limits = Limits { unplaced: Unplaced::Drop, ..limits };
        let mut current = ResponseOut {
            status: response.status,
            headers: response.headers.clone(),
            body: BodyOut::Unchanged,
            dropped: 0,
        };
        for (index, hop) in self.hops.iter().enumerate().rev() {
            let (asked, served) = (views.get(index).map(Vec::as_slice), views.get(index + 1).map(Vec::as_slice));
            let requests = match hop.direction {
                Direction::Up => Requests { old: asked, new: served },
                Direction::Down => Requests { old: served, new: asked },
            };
            let next = {
                let body = match &current.body {
                    BodyOut::Unchanged => response.body,
                    BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
                };
                let seen = ResponseIn { status: current.status, headers: &current.headers, body };
                hop.response(&seen, requests, scratch, limits)?
            };
            let body = if next.body == BodyOut::Unchanged { current.body } else { next.body };
            current = ResponseOut { body, dropped: current.dropped + next.dropped, ..next };
        }
        Ok(current)
    }
}

impl Hop<'_> {
    /// Whether both sides have the same method and path, and no query of their own.
    fn keeps_address(&self) -> bool {
        let (source, target) = self.route.sides(self.direction);
        source.template == target.template && source.template.query.is_empty()
    }

    fn request(
        &self,
        request: &RequestIn<'_>,
        base: Option<&[u8]>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        let (source, target) = self.route.sides(self.direction);
        let mut params = route::match_path(&source.template, request.path)
            .ok_or_else(|| Fault::new(FaultKind::Missing, "the path does not match its route").within("path"))?;
        let (query, asked) = message::take_query(&source.template, request.query);
        params.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
        let request = &RequestIn { query: query.as_deref(), ..*request };
        let method = match target.template.method.as_str() {
            "*" => request.method.clone(),
            // A route that names HEAD says itself what becomes of it.
            "GET" if *request.method == Method::HEAD && source.template.method != "HEAD" => Method::HEAD,
            name => Method::from_bytes(name.as_bytes()).unwrap_or_else(|_| request.method.clone()),
        };
        // Hops whose bodies are translated at once have nothing to do with headers.
        let mut headers = if self.is_bodiless { HeaderMap::new() } else { request.headers.clone() };
        let Some(message) = self.route.request.as_ref().filter(|_| !self.is_bodiless) else {
            let path = write_path(&target.template.segments, &params, &[])?;
            let query = message::give_query(&target.template, request.query, &params, &[])?;
            return Ok(RequestOut { method, path, query, headers, body: BodyOut::Unchanged });
        };
        if let (Some(of), Some(body), None) = (message.body_only, request.body, base) {
            let mut out = Vec::with_capacity(body.len() + body.len() / 4);
            self.step.translate(of, self.direction, body, &mut out, scratch, limits)?;
            let path = write_path(&target.template.segments, &params, &[])?;
            let query = message::give_query(&target.template, request.query, &params, &[])?;
            return Ok(RequestOut { method, path, query, headers, body: BodyOut::Replaced(out) });
        }
        let parts = message.parts(self.direction);
        let packed = Source {
            params: &params,
            query: request.query,
            headers: request.headers,
            status: None,
            body: request.body,
        };
        let envelope = if message.general {
            message::pack_whole(&packed, Some(request.method.as_str()), None)
        } else {
            Envelope::pack(parts.0, &packed)?
        };
        let mut out = Vec::new();
        let base = base.filter(|_| self.route.write == WriteMode::Merge && request.body.is_some());
        let result = match base {
            Some(base) => {
                let mut live = b"{\"body\":".to_vec();
                live.extend_from_slice(base);
                live.push(b'}');
                self.step.put(message.of, &envelope.text, &live, &mut out, limits)
            }
            None => self.step.translate(message.of, self.direction, &envelope.text, &mut out, scratch, limits),
        };
        result.map_err(|fault| envelope.fault(fault))?;
        let unpacked = message::unpack(&out)?;
        message::write_headers(&mut headers, parts, &unpacked)?;
        let query = message::write_query(request.query, parts, &unpacked.query, true)?;
        Ok(RequestOut {
            method,
            path: write_path(&target.template.segments, &params, &unpacked.path)?,
            query: message::give_query(&target.template, query.as_deref(), &params, &unpacked.path)?,
            headers,
            body: body_out(message, parts.0.body, request.body, &unpacked),
        })
    }

    /// The rules of a response, and the status that it takes.
    fn response_rules(
        &self,
        response: &ResponseIn<'_>,
        requests: Requests<'_>,
    ) -> Result<(StatusCode, Option<&Message>), Fault> {
        let direction = self.direction.reverse();
        let mut whole: Option<Envelope> = None;
        for one in self.route.mapped(response.status.as_u16(), direction) {
            if let Some(query) = one.condition(direction) {
                let envelope = whole.get_or_insert_with(|| pack_response(response, requests, direction));
                let tree = Tree::parse(&envelope.text, crate::json::MAX_DEPTH)?;
                let costly = |_| Fault::new(FaultKind::TooLarge, "a condition needs more steps than the limit");
                if !query.matches(&tree).map_err(costly)? {
                    continue;
                }
            }
            let status = match one.sides(direction).1 {
                StatusKey::Exact(status) => StatusCode::from_u16(status).unwrap_or(response.status),
                StatusKey::Class(_) | StatusKey::Default => response.status,
            };
            return Ok((status, one.message.as_ref()));
        }
        Ok((response.status, self.route.response(response.status.as_u16())))
    }

    fn response(
        &self,
        response: &ResponseIn<'_>,
        requests: Requests<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        let mut headers = response.headers.clone();
        let (mapped_status, message) = self.response_rules(response, requests)?;
        let Some(message) = message else {
            return Ok(ResponseOut { status: mapped_status, headers, body: BodyOut::Unchanged, dropped: 0 });
        };
        let direction = self.direction.reverse();
        if let (Some(of), Some(body)) = (message.body_only, response.body) {
            let mut out = Vec::with_capacity(body.len() + body.len() / 4);
            self.step.translate_within(of, direction, body, requests, &mut out, scratch, limits)?;
            let (status, dropped) = (mapped_status, scratch.dropped());
            return Ok(ResponseOut { status, headers, body: BodyOut::Replaced(out), dropped });
        }
        let parts = message.parts(direction);
        let packed = Source {
            params: &Params::new(),
            query: None,
            headers: response.headers,
            status: Some(response.status.as_u16()),
            body: response.body,
        };
        let envelope = if message.general {
            pack_response(response, requests, direction)
        } else {
            Envelope::pack(parts.0, &packed)?
        };
        let mut out = Vec::new();
        let text = &envelope.text;
        let result = self.step.translate_within(message.of, direction, text, requests, &mut out, scratch, limits);
        result.map_err(|fault| envelope.fault(fault))?;
        let dropped = scratch.dropped();
        let unpacked = message::unpack(&out)?;
        message::write_headers(&mut headers, parts, &unpacked)?;
        let own_status = unpacked.status.as_ref().filter(|_| parts.1.status);
        let status = match own_status {
            Some(tree) => std::str::from_utf8(tree.raw)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Fault::guard("expected a status of three digits".into()).within("status"))?,
            None => mapped_status,
        };
        let body = body_out(message, parts.0.body, response.body, &unpacked);
        Ok(ResponseOut { status, headers, body, dropped })
    }
}

/// A request as a document, in the terms of one side of its route.
fn view(template: &Template, request: &RequestIn<'_>) -> Vec<u8> {
    let mut params = route::match_path(template, request.path).unwrap_or_default();
    let (_, asked) = message::take_query(template, request.query);
    params.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
    let (headers, query, body) = (request.headers, request.query, request.body);
    let source = Source { params: &params, query, headers, status: None, body };
    message::pack_whole(&source, Some(request.method.as_str()), None).text
}

/// A response as a document, with the request that it answers in it.
fn pack_response(response: &ResponseIn<'_>, requests: Requests<'_>, direction: Direction) -> Envelope {
    let request = match direction {
        Direction::Up => requests.old,
        Direction::Down => requests.new,
    };
    let params = Params::new();
    let source = Source {
        params: &params,
        query: None,
        headers: response.headers,
        status: Some(response.status.as_u16()),
        body: response.body,
    };
    message::pack_whole(&source, None, request)
}

fn body_out(message: &Message, source_has_rules: bool, body: Option<&[u8]>, unpacked: &Unpacked<'_>) -> BodyOut {
    // Where the rules read a body and there is none, there is nothing to translate: constants alone do not make one.
    if !message.touches_body() || (body.is_none() && source_has_rules) {
        return BodyOut::Unchanged;
    }
    BodyOut::Replaced(unpacked.body.map(<[u8]>::to_vec).unwrap_or_default())
}

/// The target's path: literals as written, params as the rules give them or as they came.
fn write_path(segments: &[Segment], params: &Params<'_>, given: &[(Cow<'_, str>, Tree<'_>)]) -> Result<String, Fault> {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        match segment {
            Segment::Literal(text) => percent_encode(text, &mut path),
            Segment::Rest(name) => match given.iter().find(|(known, _)| known == name) {
                Some((_, value)) => {
                    let text = value.text().unwrap_or_default();
                    for (index, part) in text.split('/').enumerate() {
                        if index > 0 {
                            path.push('/');
                        }
                        let fault =
                            || Fault::guard("expected the segments of a path".into()).within(name).within("path");
                        if matches!(part, "" | "." | "..") || part.contains(char::is_control) {
                            return Err(fault());
                        }
                        percent_encode(part, &mut path);
                    }
                }
                None => match params.iter().find(|(known, _)| known == name) {
                    Some((_, raw)) => path.push_str(raw),
                    None => message::write_segment(name, None, params, &mut path)?,
                },
            },
            Segment::Part { prefix, name, suffix } => {
                percent_encode(prefix, &mut path);
                match given.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => message::write_segment(name, Some(value), params, &mut path)?,
                    None => match params.iter().find(|(known, _)| known == name) {
                        Some((_, raw)) => path.push_str(raw),
                        None => message::write_segment(name, None, params, &mut path)?,
                    },
                }
                percent_encode(suffix, &mut path);
            }
            Segment::Param(name) => match given.iter().find(|(known, _)| known == name) {
                Some((_, value)) => message::write_segment(name, Some(value), params, &mut path)?,
                None => match params.iter().find(|(known, _)| known == name) {
                    Some((_, raw)) => path.push_str(raw),
                    None => message::write_segment(name, None, params, &mut path)?,
                },
            },
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}
