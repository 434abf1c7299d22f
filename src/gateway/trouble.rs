//! What can go wrong with one exchange, and whose fault it is. [`super::rescue`] turns it into a response.

use std::fmt::Display;
use std::ops::{Deref, DerefMut};

use http::{HeaderName, HeaderValue, StatusCode};

use super::body::StreamFault;
use crate::json;
use crate::plan::{Fault, FaultKind, Unclear};
use Side::{Caller, Gateway, Upstream};
use StatusCode as S;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The caller's.
    Caller,
    /// The service's.
    Upstream,
    /// Ours.
    Gateway,
}

/// A kind of trouble: one row decides status, code, title and side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Framing,
    Target,
    Header,
    HeadersTooLarge,
    TargetTooLong,
    Method,
    Expectation,
    Upgrade,
    Overloaded,
    NoService,
    UnknownVersion,
    Forbidden,
    Gone,
    NoRoute,
    MethodNotAllowed,
    BodyTooLarge,
    BodyTimeout,
    BodyBroken,
    BodyMissing,
    UnsupportedCoding,
    UnsupportedType,
    CorruptCoding,
    JsonSyntax,
    JsonEncoding,
    JsonDepth,
    JsonDuplicate,
    Value,
    Collision,
    Precondition,
    Conflict,
    Loop,
    UpstreamUnreachable,
    UpstreamTimeout,
    UpstreamBroken,
    UpstreamContract,
    UpstreamError,
    UpstreamUnavailable,
    UpstreamOverloaded,
    IdempotencyKey,
    IdempotencyBusy,
    IdempotencyReused,
    IdempotencyUnknown,
    NoOperation,
    OperationOpen,
    OperationGone,
    OperationInterrupted,
    StoreFailed,
    StoreFull,
    Unconfirmed,
    Unpublishable,
    NotReady,
    AdminHost,
    AdminOrigin,
    AdminToken,
    AdminClosed,
    Internal,
}

impl Kind {
    /// Status, stable code, title, side.
    pub(super) fn row(self) -> (StatusCode, &'static str, &'static str, Side) {
        match self {
            Self::Framing => (S::BAD_REQUEST, "framing", "The request's framing is ambiguous", Caller),
            Self::Target => (S::BAD_REQUEST, "target", "The request's target is not acceptable", Caller),
            Self::Header => (S::BAD_REQUEST, "header", "A request header is not acceptable", Caller),
            Self::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The request's headers are too large", Caller)
            }
            Self::TargetTooLong => (S::URI_TOO_LONG, "target_too_long", "The request's target is too long", Caller),
            Self::Method => (S::NOT_IMPLEMENTED, "method", "This method is not served here", Caller),
            Self::Expectation => (S::EXPECTATION_FAILED, "expectation", "The expectation cannot be met", Caller),
            Self::Upgrade => (S::NOT_IMPLEMENTED, "upgrade", "Another protocol cannot be spoken here", Caller),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too many requests are in work", Gateway),
            Self::NoService => (S::NOT_FOUND, "no_service", "Nothing is served here", Caller),
            Self::UnknownVersion => (S::BAD_REQUEST, "unknown_version", "The version is not clear", Caller),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "This version is not for this caller", Caller),
            Self::Gone => (S::GONE, "gone", "This version has ended", Caller),
            Self::NoRoute => (S::NOT_FOUND, "no_route", "This version has no such resource", Caller),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "This version's resource has no such method", Caller)
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large", Caller),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time", Caller),
            Self::BodyBroken => (S::BAD_REQUEST, "body_broken", "The body broke off", Caller),
            Self::BodyMissing => (S::BAD_REQUEST, "body_missing", "A JSON body is needed", Caller),
            Self::UnsupportedCoding => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_coding", "The body's content coding is not understood", Caller)
            }
            Self::UnsupportedType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_type", "The body must be JSON in UTF-8", Caller)
            }
            Self::CorruptCoding => {
                (S::BAD_REQUEST, "corrupt_coding", "The body is not what its content coding says", Caller)
            }
            Self::JsonSyntax => (S::BAD_REQUEST, "json_syntax", "The body is not JSON", Caller),
            Self::JsonEncoding => (S::BAD_REQUEST, "json_encoding", "The body is not JSON in UTF-8", Caller),
            Self::JsonDepth => (S::BAD_REQUEST, "json_depth", "The body is nested too deeply", Caller),
            Self::JsonDuplicate => (S::BAD_REQUEST, "json_duplicate", "The body names a member twice", Caller),
            Self::Value => (S::UNPROCESSABLE_ENTITY, "value", "A value is outside what this version can say", Caller),
            Self::Collision => {
                (S::UNPROCESSABLE_ENTITY, "collision", "A member has the name of another version's field", Caller)
            }
            Self::Precondition => (S::PRECONDITION_FAILED, "precondition", "The condition does not hold", Caller),
            Self::Conflict => (S::CONFLICT, "conflict", "The document kept changing", Caller),
            Self::Loop => (S::LOOP_DETECTED, "loop", "The request came back to the gateway", Gateway),
            Self::UpstreamUnreachable => {
                (S::BAD_GATEWAY, "upstream_unreachable", "The service cannot be reached", Upstream)
            }
            Self::UpstreamTimeout => {
                (S::GATEWAY_TIMEOUT, "upstream_timeout", "The service did not answer in time", Upstream)
            }
            Self::UpstreamBroken => (S::BAD_GATEWAY, "upstream_broken", "The service broke off its answer", Upstream),
            Self::UpstreamContract => {
                (S::BAD_GATEWAY, "upstream_contract", "The service's answer does not keep its contract", Upstream)
            }
            Self::UpstreamError => {
                (S::BAD_GATEWAY, "upstream_error", "The service answered with an error of its own", Upstream)
            }
            Self::UpstreamUnavailable => {
                (S::SERVICE_UNAVAILABLE, "upstream_unavailable", "The service is not available now", Upstream)
            }
            Self::UpstreamOverloaded => {
                (S::SERVICE_UNAVAILABLE, "upstream_overloaded", "The service has too many requests in work", Upstream)
            }
            Self::IdempotencyKey => {
                (S::BAD_REQUEST, "idempotency_key", "The request needs a sound Idempotency-Key", Caller)
            }
            Self::IdempotencyBusy => {
                (S::CONFLICT, "idempotency_busy", "The first request with this key is still in work", Caller)
            }
            Self::IdempotencyReused => {
                (S::UNPROCESSABLE_ENTITY, "idempotency_reused", "The key belongs to another request", Caller)
            }
            Self::IdempotencyUnknown => (
                S::CONFLICT,
                "idempotency_unknown",
                "What became of the first request with this key is not known",
                Gateway,
            ),
            Self::NoOperation => (S::NOT_FOUND, "no_operation", "There is no such operation", Caller),
            Self::OperationOpen => (S::NOT_FOUND, "operation_open", "The operation has no result yet", Caller),
            Self::OperationGone => (S::GONE, "operation_gone", "The operation is kept no more", Caller),
            Self::OperationInterrupted => (
                S::INTERNAL_SERVER_ERROR,
                "operation_interrupted",
                "What became of the operation is not known",
                Gateway,
            ),
            Self::Unconfirmed => (S::SERVICE_UNAVAILABLE, "unconfirmed", "The message was not confirmed", Upstream),
            Self::Unpublishable => (S::BAD_GATEWAY, "unpublishable", "The broker does not take the message", Upstream),
            Self::StoreFailed => (S::SERVICE_UNAVAILABLE, "store", "Nothing can be kept at the moment", Gateway),
            Self::StoreFull => {
                (S::SERVICE_UNAVAILABLE, "store_full", "No more of this can be kept at the moment", Gateway)
            }
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "No rules are loaded yet", Gateway),
            Self::AdminHost => (S::MISDIRECTED_REQUEST, "admin_host", "The admin interface has another name", Caller),
            Self::AdminOrigin => (S::FORBIDDEN, "admin_origin", "Web pages may not change anything here", Caller),
            Self::AdminToken => (S::UNAUTHORIZED, "admin_token", "A bearer token is needed", Caller),
            Self::AdminClosed => (S::FORBIDDEN, "admin_closed", "Changes need a token, or the UNIX socket", Caller),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "The gateway failed", Gateway),
        }
    }
}

/// One thing that went wrong. Boxed: it is the rare half of every result.
#[derive(Debug, Clone)]
pub(super) struct Trouble(Box<Details>);

/// What is known of it.
#[derive(Debug, Clone)]
pub(super) struct Details {
    /// What kind.
    pub(super) kind: Kind,
    /// Instead of the kind's own status: where the service's status is kept.
    pub(super) status: Option<StatusCode>,
    /// For the caller, in its own version's terms; never a payload value.
    pub(super) detail: String,
    /// The caller's field that it is about, and what is wrong there.
    pub(super) field: Option<(String, String)>,
    /// Byte offset into the caller's body.
    pub(super) offset: Option<usize>,
    /// The versions that there are.
    pub(super) versions: Vec<String>,
    /// Further response headers.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log alone.
    pub(super) cause: Option<String>,
    /// Whether the connection must not be used again.
    pub(super) closes: bool,
    /// Whether nothing of the request has reached the service.
    pub(super) unsent: bool,
}

impl Deref for Trouble {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Trouble {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

impl Trouble {
    pub(super) fn new(kind: Kind) -> Self {
        Self(Box::new(Details {
            kind,
            status: None,
            detail: String::new(),
            field: None,
            offset: None,
            versions: Vec::new(),
            headers: Vec::new(),
            cause: None,
            closes: false,
            unsent: false,
        }))
    }

    /// There is more to do than there is room for.
    pub(super) fn overloaded() -> Self {
        Self::new(Kind::Overloaded).header(http::header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn detail(mut self, text: impl Into<String>) -> Self {
        self.detail = text.into();
        self
    }

    pub(super) fn cause(mut self, cause: impl Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Says whether nothing of the request has reached a service.
    pub(super) fn unsent(mut self, unsent: bool) -> Self {
        self.unsent = unsent;
        self
    }

    pub(super) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Translating a request failed: places are in the caller's terms.
    pub(super) fn from_request(fault: Fault) -> Self {
        let mut trouble = Self::new(match fault.kind {
            FaultKind::Json(kind) => json_kind(kind),
            FaultKind::Collision => Kind::Collision,
            FaultKind::TooLarge => Kind::BodyTooLarge,
            FaultKind::Missing if fault.place.is_empty() => Kind::BodyMissing,
            FaultKind::Guard | FaultKind::Missing => Kind::Value,
        });
        trouble.offset = fault.offset;
        if fault.place.is_empty() {
            trouble.detail = fault.detail;
        } else {
            trouble.detail = format!("`{}`: {}", fault.place, fault.detail);
            trouble.field = Some((fault.place, fault.detail));
        }
        trouble
    }

    /// Translating a response failed: its places are the service's business and stay in the log.
    pub(super) fn from_response(fault: &Fault) -> Self {
        Self::new(Kind::UpstreamContract).cause(format!("{:?} at `{}`: {}", fault.kind, fault.place, fault.detail))
    }

    /// Reading the caller's body failed.
    pub(super) fn from_caller_body(fault: StreamFault) -> Self {
        match fault {
            StreamFault::TooLarge => Self::new(Kind::BodyTooLarge),
            StreamFault::Silent => Self::new(Kind::BodyTimeout),
            StreamFault::Broken => Self::new(Kind::BodyBroken),
            StreamFault::NoRoom => Self::overloaded(),
        }
        .closing()
    }

    /// Reading the service's body failed.
    pub(super) fn from_service_body(fault: StreamFault) -> Self {
        match fault {
            StreamFault::TooLarge => Self::new(Kind::UpstreamContract),
            StreamFault::Silent => Self::new(Kind::UpstreamTimeout),
            StreamFault::Broken => Self::new(Kind::UpstreamBroken),
            StreamFault::NoRoom => Self::overloaded(),
        }
        .cause(fault)
    }

    /// The caller's version is not clear.
    pub(super) fn from_unclear(unclear: &Unclear, versions: Vec<String>) -> Self {
        let mut trouble = Self::new(Kind::UnknownVersion).detail(match unclear {
            Unclear::Unknown { place } => format!("the {place} names no version of this service"),
            Unclear::Conflicting { place } => format!("the {place} names two different versions"),
            Unclear::Missing => "the request names no version, and this service has no default".to_owned(),
        });
        trouble.versions = versions;
        trouble
    }
}

fn json_kind(kind: json::ErrorKind) -> Kind {
    match kind {
        json::ErrorKind::Syntax(_) => Kind::JsonSyntax,
        json::ErrorKind::Utf8 | json::ErrorKind::LoneSurrogate => Kind::JsonEncoding,
        json::ErrorKind::Depth => Kind::JsonDepth,
        json::ErrorKind::Nodes => Kind::BodyTooLarge,
        json::ErrorKind::DuplicateKey => Kind::JsonDuplicate,
    }
}
