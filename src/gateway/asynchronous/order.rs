//! What is kept of a request and of its answer: in the terms of one version, so that any version's caller can read it.

use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::gateway::rescue::problem;
use crate::gateway::trouble::Trouble;

/// Fields in their order; values as bytes, since not all of them are text.
type Fields = Vec<(String, Vec<u8>)>;

/// Where a request goes to, in a version's terms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::gateway) struct Address {
    pub(in crate::gateway) version: String,
    pub(in crate::gateway) method: String,
    pub(in crate::gateway) path: String,
    pub(in crate::gateway) query: Option<String>,
}

impl Address {
    pub(in crate::gateway) fn method(&self) -> Method {
        self.method.parse().unwrap_or_default()
    }
}

/// A request that is to be carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::gateway) struct Order {
    pub(in crate::gateway) service: String,
    /// In the terms of the version whose service answers, where a translation alone leads there; else as it was sent.
    pub(in crate::gateway) to: Address,
    /// As its caller sent it.
    pub(in crate::gateway) from: Address,
    /// The version whose service answers.
    pub(in crate::gateway) served: String,
    fields: Fields,
    #[serde(skip)]
    pub(in crate::gateway) body: Bytes,
    /// What the service is told of the caller.
    pub(in crate::gateway) authority: Option<String>,
    pub(in crate::gateway) host: Option<String>,
    pub(in crate::gateway) peer: SocketAddr,
    pub(in crate::gateway) secured: bool,
    pub(in crate::gateway) certificate: Option<Vec<u8>>,
    pub(in crate::gateway) names: HeadersOfIdentity,
}

/// `x-request-id` and `traceparent`.
pub(in crate::gateway) type HeadersOfIdentity = (String, String);

impl Order {
    pub(in crate::gateway) fn with_fields(mut self, headers: &HeaderMap) -> Self {
        self.fields = fields(headers);
        self
    }

    pub(in crate::gateway) fn headers(&self) -> HeaderMap {
        headers(&self.fields)
    }

    /// What can be told of it: neither its body nor its fields.
    pub(in crate::gateway) fn without_payload(&self) -> Self {
        let (service, to, from, served) =
            (self.service.clone(), self.to.clone(), self.from.clone(), self.served.clone());
        let (authority, host, names) = (self.authority.clone(), self.host.clone(), self.names.clone());
        let (fields, body) = (Vec::new(), Bytes::new());
        let (peer, secured, certificate) = (self.peer, self.secured, None);
        Self { service, to, from, served, fields, body, authority, host, peer, secured, certificate, names }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of what is kept")]
    pub(in crate::gateway) fn new(
        service: &str,
        served: &str,
        from: Address,
        to: Address,
        body: Bytes,
        (authority, host): (Option<String>, Option<String>),
        (peer, secured, certificate): (SocketAddr, bool, Option<Vec<u8>>),
        names: HeadersOfIdentity,
    ) -> Self {
        let (service, served) = (service.to_owned(), served.to_owned());
        Self { service, to, from, served, fields: Vec::new(), body, authority, host, peer, secured, certificate, names }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::gateway) struct Answer {
    /// Whose terms it is in; none: the gateway's own word, the same for everybody.
    pub(in crate::gateway) version: Option<String>,
    status: u16,
    fields: Fields,
    #[serde(skip)]
    pub(in crate::gateway) body: Bytes,
}

impl Answer {
    pub(in crate::gateway) fn new(version: Option<&str>, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Self {
        Self { version: version.map(str::to_owned), status: status.as_u16(), fields: fields(headers), body }
    }

    /// What the gateway says of a trouble.
    pub(in crate::gateway) fn of(trouble: &Trouble, id: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(trouble.headers.iter().cloned());
        let status = trouble.status.unwrap_or(trouble.kind.row().0);
        Self::new(None, status, &headers, problem(trouble, id).into())
    }

    pub(in crate::gateway) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    pub(in crate::gateway) fn headers(&self) -> HeaderMap {
        headers(&self.fields)
    }

    /// As it is.
    pub(in crate::gateway) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status();
        *response.headers_mut() = headers(&self.fields);
        response
    }
}

fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn headers(fields: &Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// A record and its bodies as bytes.
pub(in crate::gateway) fn pack(record: &impl Serialize, bodies: [&[u8]; 2]) -> Vec<u8> {
    let head = serde_json::to_vec(record).unwrap_or_default();
    let [first, second] = bodies;
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length(&head)[..], &head, &length(first), first, second].concat()
}

/// A part of what [`pack`] has made, and what follows it.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// The record that [`pack`] was given, without the bodies.
pub(in crate::gateway) fn unpack_head<T: for<'d> Deserialize<'d>>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(part(bytes)?.0).ok()
}

/// What [`pack`] was given.
pub(in crate::gateway) fn unpack<T: for<'d> Deserialize<'d>>(bytes: &[u8]) -> Option<(T, Bytes, Bytes)> {
    let (head, rest) = part(bytes)?;
    let (first, second) = part(rest)?;
    Some((serde_json::from_slice(head).ok()?, Bytes::copy_from_slice(first), Bytes::copy_from_slice(second)))
}
