//! Rule and service files as their authors wrote them: names unresolved, every part with its span.

use std::borrow::Cow;

use http::StatusCode;

use super::answer::{AnsweredBy, AssignDecl, ConsumerSource, DeprecatedDecl, ListDecl, PinDecl};
use super::asynchronous::{Follow, IdempotencyDecl, OperationsDecl};
use super::channel::ChannelDecl;
use super::lockstep::Lockstep;
use super::mapping::Mapping;
use super::publish::PublishDecl;
use super::upstream::UpstreamDecl;
use crate::codecs::Codec;
use crate::diagnostic::Span;
use crate::path::Place;
use crate::path::template::Template;

/// A value and where it is written.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// `rules/<service>/service.yaml`.
#[derive(Debug, Clone)]
pub struct ServiceFile {
    /// Host names (without port) that this service answers for; empty: any.
    pub hosts: Vec<Spanned<String>>,
    /// Path prefixes (whole segments) that this service answers for; empty: any.
    pub paths: Vec<Spanned<String>>,
    /// Oldest first.
    pub versions: Vec<VersionDecl>,
    /// How a caller's version is found, tried in this order.
    pub negotiate: Vec<Spanned<Negotiator>>,
    /// The version of callers that name none; without it they are refused.
    pub default: Option<Spanned<String>>,
    /// A request header by which a caller (a tester) may choose the version whose service answers.
    pub answer_header: Option<Spanned<String>>,
    /// Which callers a version's shares fall to.
    pub assign: Option<AssignDecl>,
    /// How a caller is told from others, tried in this order.
    pub consumer: Option<Vec<Spanned<ConsumerSource>>>,
    /// The versions of consumers that name none.
    pub pins: Vec<PinDecl>,
    /// The services that it changes together with.
    pub lockstep: Option<Lockstep>,
    /// Requests that are carried out once.
    pub idempotency: Option<IdempotencyDecl>,
    /// Requests that may be carried out later.
    pub operations: Option<OperationsDecl>,
    /// Its queues and topics.
    pub channels: Vec<ChannelDecl>,
    /// Calls that become messages.
    pub publish: Vec<PublishDecl>,
    /// Where the whole is written.
    pub span: Span,
}

/// One version of a service.
#[derive(Debug, Clone)]
pub struct VersionDecl {
    /// Its name, for example `v1`.
    pub name: Spanned<String>,
    /// Other spellings that callers use for it.
    pub aliases: Vec<Spanned<String>>,
    /// Where the service built for this version runs, if it does.
    pub upstream: Option<UpstreamDecl>,
    /// The versions whose services answer callers of this one; default: itself if it has an upstream.
    pub answered_by: Option<AnsweredBy>,
    /// Whether its own service answers where another has failed to; where that is written.
    pub fallback: Option<Span>,
    /// Which consumers may ask for it.
    pub consumers: Option<ListDecl>,
    /// Since when it is deprecated, and when it ends.
    pub deprecated: Option<DeprecatedDecl>,
    /// Path prefix that names this version in a caller's URL (whole segments, for example `/v2`).
    pub path: Option<Spanned<String>>,
    /// The interface's OpenAPI file, relative to the service's folder.
    pub openapi: Option<Spanned<String>>,
}

/// One way to find a caller's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Negotiator {
    /// By the versions' `path` prefixes, longest first.
    Path,
    /// By a request header's whole value.
    Header(String),
    /// By a query parameter's value.
    Query(String),
    /// By a parameter of the media types in `Accept` (best q-value first) or `Content-Type`.
    MediaType(String),
}

/// `rules/<service>/<old>-<new>.yaml`: the equations between two neighbours.
#[derive(Debug, Clone)]
pub struct RuleFile {
    /// The older version's name.
    pub old: Spanned<String>,
    /// The newer version's name.
    pub new: Spanned<String>,
    /// Refuse every rule whose verdict is less than proven.
    pub strict: bool,
    /// `types:`.
    pub types: Vec<TypeDecl>,
    /// `routes:`.
    pub routes: Vec<RouteDecl>,
    /// Those of them that become several calls.
    pub calls: Vec<super::calls::CallsDecl>,
    /// `messages:`, each as a route that is named after its channel.
    pub messages: Vec<RouteDecl>,
    /// `examples:`.
    pub examples: Vec<Example>,
}

/// `Name: [rules]`, or `Old = New: [rules]` where the schema's name changed.
#[derive(Debug, Clone)]
pub struct TypeDecl {
    /// Its schema's name in the old interface; also the name that rules use.
    pub old: Spanned<String>,
    /// Its schema's name in the new interface.
    pub new: Spanned<String>,
    /// Its equations.
    pub rules: Vec<Rule>,
}

/// One entry of a rule list.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What it says.
    pub kind: RuleKind,
    /// The author's reason for a loss.
    pub loss: Option<Spanned<String>>,
    /// The equation's text, or the whole entry.
    pub span: Span,
}

/// What a rule says.
#[derive(Debug, Clone)]
pub enum RuleKind {
    /// `old = new`, `old = new + new`, or `same`.
    Equation {
        /// Places on the old side, at least one.
        olds: Vec<Place>,
        /// Places on the new side, at least one.
        news: Vec<Place>,
        /// How the value changes on its way.
        codec: CodecDecl,
        /// The new side's value where the source has none, as JSON text.
        default: Option<Spanned<String>>,
    },
    /// `{added: place, default: …}`: only the new interface has it.
    Added {
        /// The place on the new side.
        place: Place,
        /// JSON text written there on the way up.
        default: Option<Spanned<String>>,
    },
    /// `{removed: place, default: …}`: only the old interface has it.
    Removed {
        /// The place on the old side.
        place: Place,
        /// JSON text written there on the way down.
        default: Option<Spanned<String>>,
    },
    /// Anything else.
    Mapping(Box<Mapping<TypeRef>>),
}

impl RuleKind {
    /// The places that it owns on a side, as far as they are known before a document is seen.
    pub fn places(&self, is_new: bool) -> Cow<'_, [Place]> {
        match self {
            Self::Equation { olds, news, .. } => Cow::Borrowed(if is_new { news } else { olds }),
            Self::Added { place, .. } if is_new => Cow::Borrowed(std::slice::from_ref(place)),
            Self::Removed { place, .. } if !is_new => Cow::Borrowed(std::slice::from_ref(place)),
            Self::Added { .. } | Self::Removed { .. } => Cow::Borrowed(&[]),
            Self::Mapping(mapping) => Cow::Owned(mapping.places(is_new)),
        }
    }
}

/// The codec part of an equation.
#[derive(Debug, Clone)]
pub enum CodecDecl {
    /// A value codec with its arguments, already valid in itself; `Codec::Same` where none is written.
    Value(Codec),
    /// `: Type`, `{as: Type}`.
    As(TypeRef),
    /// `{each: Type, key: place}`; the key is a place inside an old element.
    Each(TypeRef, Option<Place>),
}

/// A type by name, or its rules written in place.
#[derive(Debug, Clone)]
pub enum TypeRef {
    /// A name from `types:`.
    Named(Spanned<String>),
    /// A list of rules.
    Inline(Vec<Rule>, Span),
}

/// `METHOD /old = METHOD /new: {…}`.
#[derive(Debug, Clone)]
pub struct RouteDecl {
    /// The old side.
    pub old: Template,
    /// The new side.
    pub new: Template,
    /// How a write from old to new reaches the live document.
    pub write: Option<Spanned<WriteMode>>,
    /// How the new side is waited for where it answers later.
    pub follow: Option<Follow>,
    /// Rules over the request message (`path query header cookie body`).
    pub request: Option<MessageRules>,
    /// Rules over responses: by status, most specific wins.
    pub responses: Vec<(Spanned<StatusKey>, MessageRules)>,
    /// Rules over responses whose status changes or that depend on more than it; the first that fits wins, before those.
    pub mapped: Vec<MappedDecl>,
    /// Where the route's line is written.
    pub span: Span,
}

/// `404 = 200: …`, or an entry of `responses:`.
#[derive(Debug, Clone)]
pub struct MappedDecl {
    /// The old side's status.
    pub old: StatusKey,
    /// The new side's status.
    pub new: StatusKey,
    /// Further conditions on the response.
    pub when: super::mapping::When,
    /// Its rules; none: the message passes but for its status.
    pub rules: Option<MessageRules>,
    /// Where it is written.
    pub span: Span,
}

/// The rules of one message; `request: Order` is short for `request: [{body: Order}]`.
#[derive(Debug, Clone)]
pub struct MessageRules {
    /// Its rules, over places that begin with `body`, `header`, `query`, `path`, `cookie` or `status`.
    pub rules: Vec<Rule>,
    /// Where.
    pub span: Span,
}

/// How an old write reaches the new service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Translate the body alone.
    Replace,
    /// Read the live document, put the old one onto it, send the result with `If-Match`.
    Merge,
}

/// Which responses a rule list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusKey {
    /// One status.
    Exact(u16),
    /// A class: `2XX` is `Class(2)`; `response` is short for it.
    Class(u8),
    /// `default`.
    Default,
}

impl StatusKey {
    /// Whether it is for a status.
    pub fn covers(self, status: u16) -> bool {
        match self {
            Self::Exact(exact) => exact == status,
            Self::Class(class) => u16::from(class) == status / 100,
            Self::Default => true,
        }
    }

    /// The status that it names, or this one where it names none.
    pub fn or(self, status: StatusCode) -> StatusCode {
        match self {
            Self::Exact(own) => StatusCode::from_u16(own).unwrap_or(status),
            Self::Class(_) | Self::Default => status,
        }
    }
}

/// `{type: T, old: …, new: …}`, checked at load in both directions.
#[derive(Debug, Clone)]
pub struct Example {
    /// The type's name.
    pub of: Spanned<String>,
    /// The old document as JSON text.
    pub old: Option<Spanned<String>>,
    /// The new document as JSON text.
    pub new: Option<Spanned<String>>,
    /// What `new` becomes on the way down, where that differs from `old`.
    pub back: Option<Spanned<String>>,
    /// A write of this old document onto `new` …
    pub edit: Option<Spanned<String>>,
    /// … gives this new document.
    pub put: Option<Spanned<String>>,
    /// Where the entry is written.
    pub span: Span,
}
