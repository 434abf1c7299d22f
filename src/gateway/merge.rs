//! `write: merge`: an old document is put onto the live one, so the live one is read first.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::aside;
use super::body::coding::parse_codings;
use super::body::collect;
use super::exchange::Call;
use super::receive::{check_json_type, decode_large};
use super::translate::Conditions;
use super::trouble::{Kind, Trouble};
use super::upstream::Payload;
use super::validators::{lists, strong_etag};
use crate::plan::RequestOut;

/// How often a write is tried before others' writes win.
pub(super) const ATTEMPTS: u32 = 3;

/// The live document that a write is put onto.
pub(super) enum Live {
    /// This write needs none.
    Unneeded,
    /// There is none yet: the write creates it.
    Missing,
    /// It, and the tag that it had.
    Document(Vec<u8>, Option<HeaderValue>),
}

/// What reading the live document gave.
pub(super) enum Read {
    /// It, or that there is none.
    Live(Live),
    /// The service refused or failed; its answer.
    Refused(Response),
}

impl Live {
    pub(super) fn document(&self) -> Option<&[u8]> {
        match self {
            Self::Document(document, _) => Some(document),
            Self::Unneeded | Self::Missing => None,
        }
    }

    /// Makes the write fail if the document is no longer the one that was read. Says whether such a failure is worth
    /// another attempt: it is not where the caller's own condition failed.
    ///
    /// # Errors
    /// The caller's own `If-Match` does not hold for the document that was read.
    pub(super) fn guard(&self, headers: &mut HeaderMap, asked: &Conditions) -> Result<bool, Trouble> {
        match self {
            Self::Unneeded | Self::Document(_, None) => Ok(false),
            Self::Missing => {
                if asked.if_match.is_some() {
                    return Err(Trouble::new(Kind::Precondition).detail("the document does not exist"));
                }
                headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
                Ok(!asked.if_none_match)
            }
            Self::Document(_, Some(tag)) => {
                if asked.if_match.as_ref().is_some_and(|list| !lists(list, tag)) {
                    return Err(Trouble::new(Kind::Precondition).detail("the document has changed"));
                }
                headers.insert(header::IF_MATCH, tag.clone());
                Ok(asked.if_match.is_none() && !asked.if_none_match)
            }
        }
    }
}

/// Reads the live document.
pub(super) async fn read_live(call: &Call<'_>, read: RequestOut) -> Result<Read, Trouble> {
    let RequestOut { path, query, mut headers, .. } = read;
    for name in [
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_UNMODIFIED_SINCE,
    ] {
        headers.remove(name);
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
    let target = (path.as_str(), query.as_deref());
    let response = call.send(Method::GET, target, headers, Payload::Whole(bytes::Bytes::new())).await?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Read::Live(Live::Missing)),
        StatusCode::OK => {
            let contract =
                |cause: &str| Trouble::new(Kind::UpstreamContract).cause(format!("the live document: {cause}"));
            let (parts, body) = response.into_parts();
            check_json_type(&parts.headers).map_err(contract)?;
            let codings = parse_codings(&parts.headers).ok_or_else(|| contract("an unknown content coding"))?;
            let settings = &call.app.settings;
            let mut held = call.app.overload.holding();
            let raw = collect(body, settings.limits.body, settings.timeouts.response_body, &mut held);
            let raw = raw.await.map_err(Trouble::from_service_body)?;
            call.facts.change(|known| known.held.push(held));
            aside::leave(raw.len()).await;
            let decoded = decode_large(call, &raw, &codings).map_err(|_| contract("cannot be decoded"))?;
            let tag = strong_etag(&parts.headers).cloned();
            Ok(Read::Live(Live::Document(decoded.unwrap_or_else(|| raw.to_vec()), tag)))
        }
        _ => Ok(Read::Refused(response)),
    }
}
