//! Routes whose old call becomes several new ones: as written, and as checked.

use std::time::Duration;

use super::ast::{MappedDecl, MessageRules, Spanned, StatusKey};
use super::checked::{CheckedMapped, TypeId};
use crate::path::query::Query;
use crate::path::template::Template;
use crate::path::{Place, Step};

/// Calls that one route may make.
pub const MAX_CALLS: usize = 16;
/// Elements for which one call may be made.
pub const MAX_EACH: usize = 100;
/// What a document has before any call is answered; no call may be named so.
pub const RESERVED: [&str; 9] = ["method", "path", "query", "header", "cookie", "body", "item", "request", "status"];

/// `POST /old: {calls: {…}, 200: …}`
#[derive(Debug, Clone)]
pub struct CallsDecl {
    /// The old side.
    pub old: Template,
    /// Which of its requests; the others are ordinary routes' business.
    pub when: Option<Query>,
    /// Why a failure in the middle may leave half done.
    pub loss: Option<Spanned<String>>,
    /// In written order.
    pub calls: Vec<CallDecl>,
    /// Rules over the old response, by status.
    pub responses: Vec<(Spanned<StatusKey>, MessageRules)>,
    /// Those that depend on more than a status.
    pub mapped: Vec<MappedDecl>,
    /// Where the route's line is written.
    pub span: crate::diagnostic::Span,
}

/// `name: {call: METHOD /path, request: [...], …}`
#[derive(Debug, Clone)]
pub struct CallDecl {
    /// Its answer's name in documents.
    pub name: Spanned<String>,
    /// What is called.
    pub target: Target,
    /// Rules over its request.
    pub request: Option<MessageRules>,
    /// How it is made.
    pub how: How,
}

/// What a call asks for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Method and path; parameters that are places have the names of `given`.
    pub template: Template,
    /// What such a parameter stands for.
    pub given: Vec<(String, Place)>,
    /// The place that has the whole address, instead of the template's path.
    pub address: Option<Place>,
}

/// How a call is made, and what becomes of the others if it fails.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// One call for each element of this list.
    pub each: Option<Place>,
    /// It is made only where this holds.
    pub when: Option<Query>,
    /// No further call is made where this holds once it is answered.
    pub stop: Option<Query>,
    /// Its failure is no failure of the whole.
    pub optional: bool,
    /// What stands for its answer where it fails, as JSON text.
    pub partial: Option<String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// A route with calls, names resolved.
#[derive(Debug, Clone)]
pub struct CheckedCalls {
    /// The old side.
    pub old: Template,
    /// Which of its requests.
    pub when: Option<Query>,
    /// In written order.
    pub calls: Vec<CheckedCall>,
    /// Message types of responses.
    pub responses: Vec<(StatusKey, TypeId)>,
    /// Those that depend on more than a status, in written order.
    pub mapped: Vec<CheckedMapped>,
}

/// One call, names resolved.
#[derive(Debug, Clone)]
pub struct CheckedCall {
    /// Its answer's name in documents.
    pub name: String,
    /// What is called.
    pub target: Target,
    /// Message type of its request.
    pub request: Option<TypeId>,
    /// Indices of the calls whose answers it needs.
    pub after: Vec<usize>,
    /// How it is made.
    pub how: How,
}

impl CheckedCalls {
    /// The types of all its messages.
    pub fn messages(&self) -> impl Iterator<Item = TypeId> {
        let requests = self.calls.iter().filter_map(|call| call.request);
        let responses = self.responses.iter().map(|(_, of)| *of);
        requests.chain(responses).chain(self.mapped.iter().filter_map(|one| one.of))
    }
}

impl Target {
    /// The places that it is made from.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.given.iter().map(|(_, place)| place).chain(&self.address)
    }
}

/// Whether a method only reads (RFC 9110, 9.2.1).
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// Whether a place names one value of a document.
pub(super) fn is_single(place: &Place) -> bool {
    let plain = |step: &Step| matches!(step, Step::Name(_) | Step::Index(_) | Step::Find(_));
    place.view.is_none() && !place.segments.is_empty() && place.tail.iter().all(plain)
}
