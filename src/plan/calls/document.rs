//! The documents between calls: the old request with the answers so far, and one answer.

use http::{HeaderMap, StatusCode, header};

use super::CallFault;
use crate::json::{MAX_DEPTH, Tree, write_name};
use crate::path::query::Query;
use crate::path::{Place, Step};
use crate::plan::general::Requests;
use crate::plan::route::Params;
use crate::plan::{Direction, Fault, FaultKind, RequestIn, ResponseIn, hop, message, route};

/// The caller's conditions and ranges are about one representation, and this answer is made of several.
const NOT_FOR_CALLS: [header::HeaderName; 8] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
];

/// The old request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: http::Method,
    /// Those that go with each call.
    pub(super) headers: HeaderMap,
    /// Parameters of its path and query, percent-encoded.
    pub(super) params: Vec<(String, String)>,
    /// It as a document.
    pub(super) view: Vec<u8>,
}

impl Asked {
    pub(super) fn new(template: &crate::path::template::Template, request: &RequestIn<'_>) -> Result<Self, CallFault> {
        if let Some(body) = request.body {
            // A body must be one value in itself, or it could speak for other parts of the document.
            Tree::parse(body, MAX_DEPTH).map_err(|error| CallFault::caller(error.into()))?;
        }
        let mut params: Params<'_> = route::match_path(template, request.path).unwrap_or_default();
        let (_, asked) = crate::plan::query::take_query(template, request.query);
        params.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
        let view = hop::view_of(&params, request).map_err(CallFault::caller)?;
        let mut headers = request.headers.clone();
        for name in NOT_FOR_CALLS {
            headers.remove(name);
        }
        let params = params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { method: request.method.clone(), headers, params, view })
    }
}

/// Adds members to an object's text.
pub(super) fn extend(object: &[u8], members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = object.strip_suffix(b"}").unwrap_or(object).to_vec();
    for (name, value) in members {
        write_name(name, &mut text);
        text.extend_from_slice(value);
    }
    text.push(b'}');
    text
}

/// An answer as a document: `{status, header, body}`.
pub(super) fn answered(status: StatusCode, headers: &HeaderMap, body: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
    if let Some(body) = body {
        Tree::parse(body, MAX_DEPTH)?;
    }
    Ok(hop::pack_response(&ResponseIn { status, headers, body }, Requests::default(), Direction::Up)?.text)
}

/// The value at the place of one value.
pub(super) fn value_at<'t, 'a>(place: &Place, document: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
    place.steps().iter().try_fold(document, |tree, step| match step {
        Step::Name(name) => tree.get(name),
        Step::Index(index) => tree.elements()?.get(*index),
        Step::Find(members) => tree.elements()?.iter().find(|element| {
            members.iter().all(|(path, value)| {
                let wanted = Tree::parse(value.as_bytes(), MAX_DEPTH).ok();
                wanted.is_some_and(|wanted| element.at(path).is_some_and(|found| found.same(&wanted)))
            })
        }),
        Step::Pattern { .. } | Step::Asked { .. } | Step::Rest => None,
    })
}

/// A whole address that an answer gave: of it only the path and the query count, never the host.
pub(super) fn address(place: &Place, document: &Tree<'_>) -> Result<(String, Option<String>), Fault> {
    let unfit =
        || Fault::guard("expected an address: `/path` or `https://host/path`".into()).within(&place.to_string());
    let missing = || Fault::new(FaultKind::Missing, "there is no value for the call's path").within(&place.to_string());
    let text = value_at(place, document).ok_or_else(missing)?.text().ok_or_else(unfit)?;
    let text = text.split('#').next().unwrap_or_default();
    let behind_host = match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        None => text,
        Some(rest) => rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/"),
    };
    let (path, query) = match behind_host.split_once('?') {
        None => (behind_host, None),
        Some((path, query)) => (path, Some(query.to_owned())),
    };
    let path = if path.is_empty() { "/" } else { path };
    let odd = |one: char| !one.is_ascii_graphic() || "\"<>\\^`{|}".contains(one);
    let leads_out =
        path.split('/').any(|part| crate::path::percent::decode(part).is_none_or(|part| part == "." || part == ".."));
    if !path.starts_with('/') || path.starts_with("//") || behind_host.contains(odd) || leads_out {
        return Err(unfit());
    }
    Ok((path.to_owned(), query))
}

/// Reads a document.
pub(super) fn parse(text: &[u8]) -> Result<Tree<'_>, Fault> {
    Ok(Tree::parse(text, MAX_DEPTH)?)
}

/// Whether a condition holds for a document.
pub(super) fn holds(query: &Query, text: &[u8]) -> Result<bool, Fault> {
    message::holds(query, &parse(text)?)
}
