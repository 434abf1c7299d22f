//! One step of an exchange's way: a request, and the response that comes back.

use std::borrow::Cow;

use http::{Method, StatusCode};

use super::exchange::{BodyOut, Hop, RequestIn, RequestOut, ResponseIn, ResponseOut};
use super::general::Requests;
use super::message::{self, Envelope, Source, Unpacked};
use super::query;
use super::route::{self, Mapped, Message, Params};
use super::{Direction, Fault, FaultKind, Limits, Scratch};
use crate::json::Tree;
use crate::path::percent;
use crate::path::template::{Segment, Template};
use crate::rules::ast::WriteMode;

impl Hop<'_> {
    /// Whether a request that has come by a template that this one covers has the same address behind it: both sides
    /// have the same method and path, written anew as they were, and no query of their own.
    pub(super) fn keeps_address(&self) -> bool {
        let (source, target) = self.route.sides(self.direction);
        let mut segments = source.template.segments.iter();
        source.template == target.template
            && source.template.query.is_empty()
            && segments.all(|segment| !matches!(segment, Segment::Part { .. }))
    }

    /// What a message is translated in that answers no request.
    pub(super) fn alone(&self) -> Requests<'_> {
        Requests { place: self.surroundings.as_deref().map(|here| (here, self.direction)), ..Requests::default() }
    }

    pub(super) fn request(
        &self,
        request: &RequestIn<'_>,
        base: Option<&[u8]>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        self.request_by(self.route.request.as_ref(), request, base, scratch, limits)
    }

    /// The request at the hop's other address, as if there were no rules over it.
    pub(super) fn readdressed(
        &self,
        request: &RequestIn<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        self.request_by(None, request, None, scratch, limits)
    }

    fn request_by(
        &self,
        message: Option<&Message>,
        request: &RequestIn<'_>,
        base: Option<&[u8]>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        let (source, target) = self.route.sides(self.direction);
        let mut params = route::match_path(&source.template, request.path)
            .ok_or_else(|| Fault::new(FaultKind::Missing, "the path does not match its route").within("path"))?;
        let (query, asked) = query::take_query(&source.template, request.query);
        params.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
        let request = &RequestIn { query: query.as_deref(), ..*request };
        let method = match target.template.method.as_str() {
            "*" => request.method.clone(),
            // A route that names HEAD says itself what becomes of it.
            "GET" if *request.method == Method::HEAD && source.template.method != "HEAD" => Method::HEAD,
            name => Method::from_bytes(name.as_bytes()).unwrap_or_else(|_| request.method.clone()),
        };
        // Where no rule names anything beside the body.
        let beside = |body: BodyOut| -> Result<RequestOut, Fault> {
            let path = write_path(&target.template.segments, &params, &[])?;
            let query = query::give_query(&target.template, request.query, &params, &[])?;
            Ok(RequestOut { method: method.clone(), path, query, headers: request.headers.clone(), body })
        };
        let Some(message) = message else { return beside(BodyOut::Unchanged) };
        if let (Some(of), Some(body), None) = (message.body_only, request.body, base) {
            let mut out = Vec::with_capacity(body.len() + body.len() / 4);
            self.step.translate_within(of, self.direction, body, self.alone(), &mut out, scratch, limits)?;
            return beside(BodyOut::Replaced(out));
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
            message::pack_whole(&packed, Some(request.method.as_str()), None)?
        } else {
            Envelope::pack(parts.0, &packed)?
        };
        let mut out = Vec::new();
        let base = base.filter(|_| self.route.write == WriteMode::Merge && request.body.is_some());
        let (direction, text) = (self.direction, &envelope.text);
        let result = match base {
            Some(base) => {
                let mut live = b"{\"body\":".to_vec();
                live.extend_from_slice(base);
                live.push(b'}');
                self.step.put_within(message.of, (text, &live), self.alone(), &mut out, limits)
            }
            None => self.step.translate_within(message.of, direction, text, self.alone(), &mut out, scratch, limits),
        };
        result.map_err(|fault| envelope.fault(fault))?;
        let unpacked = message::unpack(&out)?;
        let mut headers = request.headers.clone();
        message::write_headers(&mut headers, parts, &unpacked)?;
        let query = query::write_query(request.query, parts, &unpacked.query, true)?;
        Ok(RequestOut {
            method,
            path: write_path(&target.template.segments, &params, &unpacked.path)?,
            query: query::give_query(&target.template, query.as_deref(), &params, &unpacked.path)?,
            headers,
            body: body_out(message, parts.0.body, request.body, &unpacked),
        })
    }

    /// The rules of a response, the status that it takes, and it as a document where a condition had to see that.
    fn response_rules(
        &self,
        response: &ResponseIn<'_>,
        requests: Requests<'_>,
    ) -> Result<(StatusCode, Option<&Message>, Option<Envelope>), Fault> {
        let direction = self.direction.reverse();
        let mut mapped = self.route.mapped(response.status.as_u16(), direction).peekable();
        // Without a condition the first is the one.
        let asks = mapped.peek().is_some_and(|one| one.condition(direction).is_some());
        let whole = asks.then(|| pack_response(response, requests, direction)).transpose()?;
        let chosen = {
            let tree = whole.as_ref().map(|whole| Tree::parse(&whole.text, crate::json::MAX_DEPTH)).transpose()?;
            let fits = |one: &Mapped| match (one.condition(direction), &tree) {
                (Some(query), Some(tree)) => message::holds(query, tree),
                _ => Ok(true),
            };
            mapped.find_map(|one| fits(one).map(|fits| fits.then_some(one)).transpose()).transpose()?
        };
        Ok(match chosen {
            Some(one) => (one.sides(direction).1.or(response.status), one.message.as_ref(), whole),
            None => (response.status, self.route.response(response.status.as_u16()), whole),
        })
    }

    pub(super) fn response(
        &self,
        response: &ResponseIn<'_>,
        requests: Requests<'_>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        let mut headers = response.headers.clone();
        let (mapped_status, message, whole) = self.response_rules(response, requests)?;
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
        let envelope = match whole {
            Some(whole) if message.general => whole,
            _ if message.general => pack_response(response, requests, direction)?,
            _ => Envelope::pack(parts.0, &source(response, &Params::new()))?,
        };
        let mut out = Vec::new();
        let text = &envelope.text;
        let result = self.step.translate_within(message.of, direction, text, requests, &mut out, scratch, limits);
        result.map_err(|fault| envelope.fault(fault))?;
        let dropped = scratch.dropped();
        let unpacked = message::unpack(&out)?;
        message::write_headers(&mut headers, parts, &unpacked)?;
        let own_status = if parts.1.status { unpacked.status_code()? } else { None };
        let status = own_status.unwrap_or(mapped_status);
        let body = body_out(message, parts.0.body, response.body, &unpacked);
        Ok(ResponseOut { status, headers, body, dropped })
    }
}

/// A request as a document, in the terms of one side of its route.
pub(super) fn view(template: &Template, request: &RequestIn<'_>) -> Result<Vec<u8>, Fault> {
    let mut params = route::match_path(template, request.path).unwrap_or_default();
    let (_, asked) = query::take_query(template, request.query);
    params.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
    view_of(&params, request)
}

/// The same with the parameters of its path and query.
pub(super) fn view_of(params: &Params<'_>, request: &RequestIn<'_>) -> Result<Vec<u8>, Fault> {
    let (headers, query, body) = (request.headers, request.query, request.body);
    let source = Source { params, query, headers, status: None, body };
    Ok(message::pack_whole(&source, Some(request.method.as_str()), None)?.text)
}

/// A response as a document, with the request that it answers in it.
pub(super) fn pack_response(
    response: &ResponseIn<'_>,
    requests: Requests<'_>,
    direction: Direction,
) -> Result<Envelope, Fault> {
    let request = match direction {
        Direction::Up => requests.old,
        Direction::Down => requests.new,
    };
    message::pack_whole(&source(response, &Params::new()), None, request)
}

fn source<'a>(response: &ResponseIn<'a>, params: &'a Params<'a>) -> Source<'a> {
    let (headers, status) = (response.headers, Some(response.status.as_u16()));
    Source { params, query: None, headers, status, body: response.body }
}

fn body_out(message: &Message, source_has_rules: bool, body: Option<&[u8]>, unpacked: &Unpacked<'_>) -> BodyOut {
    // Where the rules read a body and there is none, there is nothing to translate: constants alone do not make one.
    if !message.touches_body() || (body.is_none() && source_has_rules) {
        return BodyOut::Unchanged;
    }
    BodyOut::Replaced(unpacked.body.map(<[u8]>::to_vec).unwrap_or_default())
}

/// The target's path: literals as written, params as the rules give them or as they came.
pub(super) fn write_path(
    segments: &[Segment],
    params: &Params<'_>,
    given: &[(Cow<'_, str>, Tree<'_>)],
) -> Result<String, Fault> {
    let given_of = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let write_param =
        |name: &str, path: &mut String| match (given_of(name), params.iter().find(|(known, _)| *known == name)) {
            (None, Some((_, raw))) => {
                path.push_str(raw);
                Ok(())
            }
            (value, _) => message::write_segment(name, value, params, path),
        };
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        match segment {
            Segment::Literal(text) => percent::encode(text, percent::SEGMENT, &mut path),
            Segment::Rest(name) => match given_of(name) {
                Some(value) => write_rest(name, value, &mut path)?,
                None => write_param(name, &mut path)?,
            },
            Segment::Part { prefix, name, suffix } => {
                percent::encode(prefix, percent::SEGMENT, &mut path);
                write_param(name, &mut path)?;
                percent::encode(suffix, percent::SEGMENT, &mut path);
            }
            Segment::Param(name) => write_param(name, &mut path)?,
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// Segments that rules give.
fn write_rest(name: &str, value: &Tree<'_>, path: &mut String) -> Result<(), Fault> {
    let text = value.text().unwrap_or_default();
    for (index, part) in text.split('/').enumerate() {
        if index > 0 {
            path.push('/');
        }
        if matches!(part, "" | "." | "..") || part.contains(char::is_control) {
            return Err(Fault::guard("expected the segments of a path".into()).within(name).within("path"));
        }
        percent::encode(part, percent::SEGMENT, path);
    }
    Ok(())
}
