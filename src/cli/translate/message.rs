//! Messages as documents: `{method, path, query, headers, body}` and `{status, headers, body, request}`.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::limits;
use crate::json::{MAX_DEPTH, Tree, TreeKind, write_string};
use crate::path::template::{Segment, Template, percent_decode, percent_encode};
use crate::plan::{BodyOut, Exchange, RequestIn, RequestOut, ResponseIn, ResponseOut, Scratch, ServicePlan};
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
    pub(super) fn translate(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let tree = Tree::parse(document, MAX_DEPTH).map_err(|error| error.to_string())?;
        if !tree.is_object() {
            return Err("expected a message: an object".to_owned());
        }
        let by_itself = if tree.get("status").is_some() { Part::Response } else { Part::Request };
        match self.part.unwrap_or(by_itself) {
            Part::Request => self.request(&tree, out),
            Part::Response => self.response(&tree, out),
        }
    }

    fn request(&mut self, tree: &Tree<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let named = self.named.as_ref().and_then(|named| named.request.as_ref());
        let request = Request::parse(tree, named)?;
        let exchange = exchange(self.plan, (self.from, self.to), &request)?;
        let input = request.input();
        if self.base.is_some() {
            let read = exchange.merge_read(&input, &mut self.scratch, limits()).map_err(|fault| fault.to_string())?;
            if read.is_none() {
                return Err("--base is for routes with `write: merge` on the way up".to_owned());
            }
        }
        let translated = exchange.request(&input, self.base.as_deref(), &mut self.scratch, limits());
        let translated = translated.map_err(|fault| fault.to_string())?;
        write_request(&translated, &request, out);
        Ok(())
    }

    fn response(&mut self, tree: &Tree<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        refuse_unknown(tree, &["status", "headers", "body", "request"])?;
        let named = self.named.as_ref().and_then(|named| named.response.as_ref());
        let request = match (tree.get("request"), named) {
            (Some(request), _) => Request::parse(request, named).map_err(|reason| format!("`request`: {reason}"))?,
            (None, Some((method, path))) => Request::bare(method.clone(), path.clone()),
            (None, None) => return Err("name its route with --route, or give its `request`".to_owned()),
        };
        let exchange = exchange(self.plan, (self.to, self.from), &request)?;
        let status = tree.get("status").ok_or("`status` is missing")?;
        let status = StatusCode::from_bytes(status.raw).map_err(|_| "`status`: expected a number of three digits")?;
        let headers = Headers::parse(tree.get("headers"))?;
        let body = tree.get("body").map(|body| body.raw);
        let input = ResponseIn { status, headers: &headers.map, body };
        let translated = exchange.response(&input, &mut self.scratch, limits()).map_err(|fault| fault.to_string())?;
        write_response(&translated, tree, &headers, out);
        Ok(())
    }
}

fn exchange<'p>(plan: &'p ServicePlan, way: (usize, usize), request: &Request<'_>) -> Result<Exchange<'p>, String> {
    let (method, path) = (request.method.as_str(), &request.path);
    plan.exchange(way.0, way.1, method, path).map_err(|none| {
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
        let Ok(exchange) = plan.exchange(asked, served, method.as_str(), &path) else { continue };
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

/// A request of a route; a route for any method takes that of `wanted`.
fn request_of(template: &Template, wanted: &Template) -> Option<(Method, String)> {
    let method = [&template.method, &wanted.method].into_iter().find(|name| *name != "*").map_or("GET", String::as_str);
    let mut path = String::new();
    for segment in &template.segments {
        path.push('/');
        match segment {
            Segment::Literal(text) => percent_encode(text, &mut path),
            // Stands for any value: a response's rules see no path.
            Segment::Param(_) => path.push('-'),
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Some((Method::from_bytes(method.as_bytes()).ok()?, path))
}

/// A request as its document says it.
struct Request<'a> {
    method: Method,
    path: String,
    query: Option<String>,
    headers: Headers,
    body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn bare(method: Method, path: String) -> Self {
        Self { method, path, query: None, headers: Headers::default(), body: None }
    }

    fn parse(tree: &Tree<'a>, named: Option<&(Method, String)>) -> Result<Self, String> {
        refuse_unknown(tree, &["method", "path", "query", "headers", "body"])?;
        let text = |name: &str| match tree.get(name) {
            None => Ok(None),
            Some(value) => value.text().map(Some).ok_or_else(|| format!("`{name}`: expected a text")),
        };
        let method = match (text("method")?, named) {
            (Some(text), _) => Method::from_bytes(text.as_bytes()).map_err(|_| "`method`: expected a method's name")?,
            (None, Some((method, _))) => method.clone(),
            (None, None) => return Err("`method` is missing".to_owned()),
        };
        let path = match (text("path")?, named) {
            (Some(text), _) if !text.starts_with('/') => return Err("`path`: expected `/…`".to_owned()),
            (Some(text), _) if text.contains(['?', '#']) => {
                return Err("`path`: the query has a member of its own, `query`".to_owned());
            }
            (Some(text), _) => text.into_owned(),
            (None, Some((_, path))) => path.clone(),
            (None, None) => return Err("`path` is missing".to_owned()),
        };
        let query = tree.get("query").map(parse_query).transpose()?.filter(|query| !query.is_empty());
        let headers = Headers::parse(tree.get("headers"))?;
        Ok(Self { method, path, query, headers, body: tree.get("body").map(|body| body.raw) })
    }

    fn input(&self) -> RequestIn<'_> {
        RequestIn {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers.map,
            body: self.body,
        }
    }
}

fn refuse_unknown(tree: &Tree<'_>, known: &[&str]) -> Result<(), String> {
    match tree.members().iter().find(|(name, _)| !known.contains(&&**name)) {
        Some((name, _)) => {
            Err(format!("`{name}` is no part of a message ({}); a document goes into `body`", known.join(", ")))
        }
        None => Ok(()),
    }
}

/// One text or several.
fn texts<'t>(place: &str, name: &str, value: &Tree<'t>) -> Result<Vec<Cow<'t, str>>, String> {
    let values = value.elements().unwrap_or(std::slice::from_ref(value));
    let text = |value: &Tree<'t>| match value.kind {
        TreeKind::Number | TreeKind::Bool(_) => std::str::from_utf8(value.raw).ok().map(Cow::Borrowed),
        _ => value.text(),
    };
    let found: Option<Vec<_>> = values.iter().map(text).collect();
    found.ok_or_else(|| format!("`{place}.{name}`: expected a text or a list of texts"))
}

/// Decoded values as they stand in an address.
fn parse_query(tree: &Tree<'_>) -> Result<String, String> {
    if !tree.is_object() {
        return Err("`query`: expected an object of texts".to_owned());
    }
    let mut query = String::new();
    for (name, value) in tree.members() {
        for text in texts("query", name, value)? {
            if !query.is_empty() {
                query.push('&');
            }
            encode(name, &mut query);
            query.push('=');
            encode(&text, &mut query);
        }
    }
    Ok(query)
}

/// Everything but unreserved characters (RFC 3986, 2.3) in percent-encoding.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A message's headers, and how their names were spelled.
#[derive(Default)]
struct Headers {
    map: HeaderMap,
    spelled: Vec<(HeaderName, String)>,
}

impl Headers {
    fn parse(tree: Option<&Tree<'_>>) -> Result<Self, String> {
        let mut headers = Self::default();
        let Some(tree) = tree else { return Ok(headers) };
        if !tree.is_object() {
            return Err("`headers`: expected an object of texts".to_owned());
        }
        for (name, value) in tree.members() {
            let unfit = || format!("`headers.{name}`: expected what a header can carry");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
            for text in texts("headers", name, value)? {
                headers.map.append(key.clone(), HeaderValue::from_bytes(text.as_bytes()).map_err(|_| unfit())?);
            }
            headers.spelled.push((key, name.to_string()));
        }
        Ok(headers)
    }
}

fn write_request(translated: &RequestOut, request: &Request<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("method", translated.method.as_str());
    object.text("path", &translated.path);
    if let Some(query) = &translated.query {
        object.texts("query", decode_query(query));
    }
    object.headers(&translated.headers, &request.headers);
    object.body(&translated.body, request.body);
    object.end();
}

fn write_response(translated: &ResponseOut, tree: &Tree<'_>, headers: &Headers, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.raw("status", translated.status.as_str().as_bytes());
    object.headers(&translated.headers, headers);
    object.body(&translated.body, tree.get("body").map(|body| body.raw));
    // The request is as its caller sent it, on both sides of the translation.
    if let Some(request) = tree.get("request") {
        object.raw("request", request.raw);
    }
    object.end();
}

/// Names in the order of their first appearance, each with its decoded values.
fn decode_query(query: &str) -> Vec<(String, Vec<String>)> {
    let decode = |text: &str| percent_decode(&text.replace('+', "%20")).unwrap_or_else(|| text.to_owned());
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    all
}

/// A JSON object that is being written around raw values.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    fn name(&mut self, name: &str) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        write_string(name, self.out);
        self.out.push(b':');
    }

    fn raw(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_string(value, self.out);
    }

    /// Names with one text or a list of them.
    fn texts(&mut self, name: &str, values: Vec<(String, Vec<String>)>) {
        self.name(name);
        let mut object = Object::begin(self.out);
        for (name, values) in values {
            if let [value] = values.as_slice() {
                object.text(&name, value);
                continue;
            }
            object.name(&name);
            object.out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    object.out.push(b',');
                }
                write_string(value, object.out);
            }
            object.out.push(b']');
        }
        object.end();
    }

    fn headers(&mut self, map: &HeaderMap, source: &Headers) {
        if map.is_empty() {
            return;
        }
        let values = map.keys().map(|key| {
            let spelled = source.spelled.iter().find(|(known, _)| known == key).map(|(_, name)| name.clone());
            let texts = map.get_all(key).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            (spelled.unwrap_or_else(|| key.as_str().to_owned()), texts.collect())
        });
        self.texts("headers", values.collect());
    }

    /// The body's bytes as they are.
    fn body(&mut self, translated: &BodyOut, source: Option<&[u8]>) {
        let body = match translated {
            BodyOut::Unchanged => source,
            BodyOut::Replaced(body) => Some(body.as_slice()).filter(|body| !body.is_empty()),
        };
        if let Some(body) = body {
            self.raw("body", body);
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}
