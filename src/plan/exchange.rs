//! One request and its response on their way between two versions.

use http::{HeaderMap, Method, StatusCode};

use super::{Fault, Limits, Scratch};

/// No rule maps this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoute {
    /// Whether some route has this path with another method (405 rather than 404).
    pub path_known: bool,
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
#[derive(Debug, PartialEq, Eq)]
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
}

/// One exchange between a caller of one version and a service of another, through every step between them.
#[derive(Debug)]
pub struct Exchange<'p> {
    label: &'p str,
}

impl<'p> Exchange<'p> {
    /// The route in the caller's terms, for logs and metrics: `GET /orders/{id}`.
    pub fn label(&self) -> &'p str {
        self.label
    }

    /// Whether translating the request needs its body.
    pub fn reads_request_body(&self) -> bool {
        false
    }

    /// Whether translating a response of this status needs its body.
    pub fn reads_response_body(&self, _status: StatusCode) -> bool {
        false
    }

    /// Whether the write must be put onto the live document: the request that reads it, in the service's terms.
    pub fn merge_read(&self, _request: &RequestIn<'_>) -> Option<RequestOut> {
        None
    }

    /// Translates the request to the service's version. `base` is the live document where [`Exchange::merge_read`]
    /// asked for one.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is in the caller's terms.
    pub fn request(
        &self,
        _request: &RequestIn<'_>,
        _base: Option<&[u8]>,
        _scratch: &mut Scratch,
        _limits: Limits,
    ) -> Result<RequestOut, Fault> {
        Err(Fault::new(super::FaultKind::Guard, ""))
    }

    /// Translates the response to the caller's version.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is in the service's terms.
    pub fn response(
        &self,
        _response: &ResponseIn<'_>,
        _scratch: &mut Scratch,
        _limits: Limits,
    ) -> Result<ResponseOut, Fault> {
        Err(Fault::new(super::FaultKind::Guard, ""))
    }
}
