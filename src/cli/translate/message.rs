//! Messages as documents: `{method, path, query, headers, body}` and `{status, headers, body, request}`.

use http::{Method, StatusCode};

use super::calls;
use super::incoming::{Headers, Members, Request};
use super::limits;
use super::outgoing::{write_request, write_response};
use crate::json::{MAX_DEPTH, Tree};
use crate::path::percent;
use crate::path::template::{QueryValue, Segment, Template};
use crate::plan::address::Surroundings;
use crate::plan::{BodyOut, Exchange, ResponseIn, Scratch, ServicePlan};
use crate::rules::checked::CheckedService;

/// Which messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Request,
    Response,
}

/// Messages between two versions.
pub(super) struct Messages<'p> {
    plan: &'p ServicePlan,
    from: usize,
    to: usize,
    /// A request of the route that was named: one for each way that messages can go.
    named: Option<Named>,
    part: Option<Part>,
    base: Option<Vec<u8>>,
    scratch: Scratch,
}

/// A route that was named, as its caller would ask for it.
struct Named {
    /// For requests: in terms of `from`.
    request: Option<(Method, String)>,
    /// For responses: in terms of `to`.
    response: Option<(Method, String)>,
}

impl<'p> Messages<'p> {
    /// # Errors
    /// No route is the one that was named; a base that is not JSON.
    pub(super) fn new(
        checked: &CheckedService,
        plan: &'p ServicePlan,
        (from, to): (usize, usize),
        (route, part): (Option<Template>, Option<Part>),
        base: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let named = match route {
            None => None,
            Some(route) => {
                let named = Named {
                    request: sample(checked, plan, (from, to), &route),
                    response: sample(checked, plan, (to, from), &route),
                };
                if named.request.is_none() && named.response.is_none() {
                    return Err(format!("no route is called `{route}` in either version"));
                }
                Some(named)
            }
        };
        if let Some(Err(error)) = base.as_ref().map(|base| Tree::parse(base, MAX_DEPTH)) {
            return Err(format!("the base document: {error}"));
        }
        Ok(Self { plan, from, to, named, part, base, scratch: Scratch::default() })
    }

    /// # Errors
    /// Why this message cannot be translated.
    pub(super) fn translate(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<Option<String>, String> {
        let members = Members::parse(document)?;
        if members.get("calls").is_some() {
            return calls::answered(self.plan, (self.to, self.from), &members, &mut self.scratch, out);
        }
        let by_itself = if members.get("status").is_some() { Part::Response } else { Part::Request };
        match self.part.unwrap_or(by_itself) {
            Part::Request => self.request(&members, out),
            Part::Response => self.response(&members, out).map(|()| None),
        }
    }

    fn request(&mut self, members: &Members<'_>, out: &mut Vec<u8>) -> Result<Option<String>, String> {
        let named = self.named.as_ref().and_then(|named| named.request.as_ref());
        let request = Request::parse(members, named)?;
        if let Some(note) = calls::first(self.plan, (self.from, self.to), &request, &mut self.scratch, out)? {
            return Ok(note);
        }
        let exchange = exchange(self.plan, (self.from, self.to), &request)?;
        let input = request.beside_patch();
        if self.base.is_some() {
            let read = exchange.merge_read(&input, &mut self.scratch, limits()).map_err(|fault| fault.to_string())?;
            if read.is_none() {
                return Err("--base is for routes with `write: merge` on the way up".to_owned());
            }
        }
        let translated = exchange.request(&input, self.base.as_deref(), &mut self.scratch, limits());
        let mut translated = translated.map_err(|fault| fault.to_string())?;
        if let Some(patch) = request.patch() {
            let patch = exchange.patch(patch, &mut self.scratch, limits()).map_err(|fault| fault.to_string())?;
            translated.body = BodyOut::Replaced(patch);
        }
        write_request(&translated, &request, out);
        Ok(None)
    }

    fn response(&mut self, members: &Members<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        members.refuse_unknown(&["status", "headers", "body", "request"])?;
        let named = self.named.as_ref().and_then(|named| named.response.as_ref());
        let request = match (members.get("request"), named) {
            (Some(request), _) => Members::parse(request)
                .and_then(|members| Request::parse(&members, named))
                .map_err(|reason| format!("`request`: {reason}"))?,
            (None, Some((method, path))) => Request::bare(method.clone(), path.clone()),
            (None, None) => return Err("name its route with --route, or give its `request`".to_owned()),
        };
        let exchange = exchange(self.plan, (self.to, self.from), &request)?;
        let status = members.get("status").ok_or("`status` is missing")?;
        let status = StatusCode::from_bytes(status).map_err(|_| "`status`: expected a number of three digits")?;
        let headers = Headers::parse(members.tree("headers")?.as_ref())?;
        let body = members.get("body");
        let input = ResponseIn { status, headers: &headers.map, body };
        let asked = members.get("request").map(|_| request.beside_patch());
        let translated = exchange.response(&input, asked.as_ref(), &mut self.scratch, limits());
        let translated = translated.map_err(|fault| fault.to_string())?;
        write_response(&translated, members, &headers, out);
        Ok(())
    }
}

fn exchange<'p>(plan: &'p ServicePlan, way: (usize, usize), request: &Request<'_>) -> Result<Exchange<'p>, String> {
    let (method, path) = (request.method.as_str(), &request.path);
    let base = plan.versions.get(way.1).and_then(|version| version.upstream.as_ref()?.base().cloned());
    let here = Surroundings { base, ..Surroundings::default() };
    let found = plan.exchange(way.0, way.1, method, (path, request.query.as_deref()));
    found.map(|exchange| exchange.within(&here)).map_err(|none| {
        if none.methods.is_empty() {
            format!("no route maps `{method} {path}`")
        } else {
            format!("no route maps `{method} {path}`; its path takes {}", none.methods.join(", "))
        }
    })
}

/// A request that takes the route which either end calls `wanted`.
fn sample(
    checked: &CheckedService,
    plan: &ServicePlan,
    (asked, served): (usize, usize),
    wanted: &Template,
) -> Option<(Method, String)> {
    if asked == served {
        return request_of(wanted, wanted);
    }
    let first = checked.steps.get(if asked < served { asked } else { asked - 1 })?;
    let mut by_service = None;
    for route in &first.routes {
        let own = if asked < served { &route.old } else { &route.new };
        let Some((method, path)) = request_of(own, wanted) else { continue };
        let Ok(exchange) = plan.exchange(asked, served, method.as_str(), (&path, query_of(own).as_deref())) else {
            continue;
        };
        if exchange.label() != own.to_string() {
            continue;
        }
        if own.shape() == wanted.shape() {
            return Some((method, path));
        }
        if exchange.served_template().is_some_and(|served| served.shape() == wanted.shape()) {
            by_service = Some((method, path));
        }
    }
    by_service
}

/// What a request must ask for to take a route.
fn query_of(template: &Template) -> Option<String> {
    let pairs = template.query.iter().map(|(name, value)| match value {
        QueryValue::Literal(text) => format!("{name}={text}"),
        QueryValue::Param(_) => format!("{name}=-"),
    });
    let all: Vec<String> = pairs.collect();
    (!all.is_empty()).then(|| all.join("&"))
}

/// A request of a route; a route for any method takes that of `wanted`.
fn request_of(template: &Template, wanted: &Template) -> Option<(Method, String)> {
    let method = [&template.method, &wanted.method].into_iter().find(|name| *name != "*").map_or("GET", String::as_str);
    let mut path = String::new();
    for segment in &template.segments {
        path.push('/');
        match segment {
            Segment::Literal(text) => percent::encode(text, percent::SEGMENT, &mut path),
            // Stands for any value: a response's rules see no path.
            Segment::Param(_) | Segment::Rest(_) => path.push('-'),
            Segment::Part { prefix, suffix, .. } => {
                percent::encode(prefix, percent::SEGMENT, &mut path);
                path.push('-');
                percent::encode(suffix, percent::SEGMENT, &mut path);
            }
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Some((Method::from_bytes(method.as_bytes()).ok()?, path))
}
