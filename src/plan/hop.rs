//! One step of an exchange's way: a request, and the response that comes back.

use std::borrow::Cow;

use http::{Method, StatusCode};

use super::exchange::{BodyOut, Hop, RequestIn, RequestOut, ResponseIn, ResponseOut};
use super::general::Requests;
use super::message::{self, Envelope, Source, Unpacked};
use super::query;
use super::route::{self, Message, Params};
use super::{Direction, Fault, FaultKind, Limits, Scratch};
use crate::json::Tree;
use crate::path::template::{Segment, Template, percent_encode};
use crate::rules::ast::{StatusKey, WriteMode};

impl Hop<'_> {
    pub(super) fn request(
        &self,
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
        let mut headers = request.headers.clone();
        let Some(message) = &self.route.request else {
            let path = write_path(&target.template.segments, &params, &[])?;
            let query = query::give_query(&target.template, request.query, &params, &[])?;
            return Ok(RequestOut { method, path, query, headers, body: BodyOut::Unchanged });
        };
        if let (Some(of), Some(body), None) = (message.body_only, request.body, base) {
            let mut out = Vec::with_capacity(body.len() + body.len() / 4);
            self.step.translate(of, self.direction, body, &mut out, scratch, limits)?;
            let path = write_path(&target.template.segments, &params, &[])?;
            let query = query::give_query(&target.template, request.query, &params, &[])?;
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
            message::pack_whole(&packed, Some(request.method.as_str()), None)?
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
        let query = query::write_query(request.query, parts, &unpacked.query, true)?;
        Ok(RequestOut {
            method,
            path: write_path(&target.template.segments, &params, &unpacked.path)?,
            query: query::give_query(&target.template, query.as_deref(), &params, &unpacked.path)?,
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
                let envelope = match whole.take() {
                    Some(envelope) => envelope,
                    None => pack_response(response, requests, direction)?,
                };
                let envelope = whole.insert(envelope);
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

    pub(super) fn response(
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
            pack_response(response, requests, direction)?
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
pub(super) fn view(template: &Template, request: &RequestIn<'_>) -> Result<Vec<u8>, Fault> {
    let mut params = route::match_path(template, request.path).unwrap_or_default();
    let (_, asked) = query::take_query(template, request.query);
    params.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
    let (headers, query, body) = (request.headers, request.query, request.body);
    let source = Source { params: &params, query, headers, status: None, body };
    Ok(message::pack_whole(&source, Some(request.method.as_str()), None)?.text)
}

/// A response as a document, with the request that it answers in it.
fn pack_response(response: &ResponseIn<'_>, requests: Requests<'_>, direction: Direction) -> Result<Envelope, Fault> {
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
pub(super) fn write_path(
    segments: &[Segment],
    params: &Params<'_>,
    given: &[(Cow<'_, str>, Tree<'_>)],
) -> Result<String, Fault> {
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
