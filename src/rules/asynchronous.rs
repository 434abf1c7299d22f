//! Requests that are carried out once, and requests that are carried out later; as written and as checked.

use std::time::Duration;

use super::ast::Spanned;
use crate::diagnostic::Span;
use crate::path::query::Query;
use crate::path::template::Template;

/// `idempotency:` as written.
#[derive(Debug, Clone)]
pub struct IdempotencyDecl {
    /// Whether a request without a key is refused.
    pub required: bool,
    /// The methods that it is about.
    pub methods: Vec<Spanned<String>>,
    /// The requests that it is about, in the newest version's terms; none: all of the methods.
    pub routes: Vec<Template>,
    /// How long an answer is kept.
    pub keep: Option<Duration>,
    /// How many keys are kept at once.
    pub most: Option<u64>,
    /// Whether answers that say of an error of the service are kept, too.
    pub keep_errors: bool,
    /// Whether a request is sent again that may have been carried out when the gateway ended.
    pub repeat: bool,
}

/// `async:` as written.
#[derive(Debug, Clone)]
pub struct OperationsDecl {
    /// Where operations are asked for.
    pub path: Option<Spanned<String>>,
    /// The requests that may become one, in the newest version's terms; none: all.
    pub routes: Vec<Template>,
    /// How long a finished one is kept.
    pub keep: Option<Duration>,
    /// How long the service may take.
    pub timeout: Option<Duration>,
    /// How many there are at once, finished ones included.
    pub most: Option<u64>,
    /// How many are carried out at once.
    pub at_once: Option<u64>,
    /// Where it is written.
    pub span: Span,
}

/// Requests that are carried out once, by their `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Whether a request without a key is refused.
    pub required: bool,
    /// The methods that it is about.
    pub methods: Vec<String>,
    /// The requests that it is about, in the newest version's terms; none: all of the methods.
    pub routes: Vec<Template>,
    /// How long an answer is kept.
    pub keep: Duration,
    /// How many keys are kept at once.
    pub most: u64,
    /// Whether answers that say of an error of the service are kept, too.
    pub keep_errors: bool,
    /// Whether a request is sent again that may have been carried out when the gateway ended.
    pub repeat: bool,
}

/// Requests that are carried out later, by `Prefer: respond-async`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    /// Where operations are asked for: whole segments.
    pub path: String,
    /// The requests that may become one, in the newest version's terms; none: all.
    pub routes: Vec<Template>,
    /// How long a finished one is kept.
    pub keep: Duration,
    /// How long the service may take.
    pub timeout: Duration,
    /// How many there are at once, finished ones included.
    pub most: u64,
    /// How many are carried out at once.
    pub at_once: usize,
}

/// The longest time that a caller can be made to wait for an asynchronous service.
pub const LONGEST_FOLLOW: Duration = Duration::from_secs(300);

/// How the gateway waits for a service that answers 202, for callers who know of no such thing.
#[derive(Debug, Clone)]
pub struct Follow {
    /// What is true of the status resource's answer once it is over; none: any answer but 202 is the end.
    pub until: Option<Query>,
    /// Where in its body the result's address is; none: the answer itself is the result.
    pub result: Option<Vec<String>>,
    /// How long the caller waits.
    pub limit: Duration,
    /// Whether the service is told with DELETE that nobody waits any more.
    pub cancel: bool,
}

impl Default for Follow {
    fn default() -> Self {
        Self { until: None, result: None, limit: Duration::from_secs(30), cancel: false }
    }
}
