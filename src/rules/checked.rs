//! What checking returns: names resolved to indices, places disjoint, routes distinct. Compiling it cannot fail.

use std::sync::Arc;

use super::answer::{Admission, Assign, ConsumerSource, Deprecation};
use super::ast::{Negotiator, StatusKey, WriteMode};
use super::asynchronous::{Follow, Idempotency, Operations};
use super::channel::Channel;
use super::lockstep::Lockstep;
use super::mapping::Mapping;
use super::publish::Publish;
use super::upstream::Upstream;
use crate::codecs::Codec;
use crate::diagnostic::Span;
use crate::path::Place;
use crate::path::template::Template;

/// Index into [`CheckedStep::types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub usize);

/// One service, ready to compile.
#[derive(Debug, Clone)]
pub struct CheckedService {
    /// The folder's name.
    pub name: String,
    /// Lower-case host names; empty: any.
    pub hosts: Vec<String>,
    /// Path prefixes, each `/…` without a trailing slash; empty: any.
    pub paths: Vec<String>,
    /// Oldest first, at least one.
    pub versions: Vec<CheckedVersion>,
    /// Tried in this order.
    pub negotiate: Vec<Negotiator>,
    /// Index of the default version.
    pub default: Option<usize>,
    /// Header that chooses who answers.
    pub answer_header: Option<String>,
    /// Which callers shares fall to.
    pub assign: Assign,
    /// How a caller is told from others.
    pub consumer: Vec<ConsumerSource>,
    /// Consumers and the indices of their versions.
    pub pins: Vec<(String, usize)>,
    /// The services that it changes together with.
    pub lockstep: Option<Lockstep>,
    /// Requests that are carried out once.
    pub idempotency: Option<Idempotency>,
    /// Requests that may be carried out later.
    pub operations: Option<Operations>,
    /// Its queues and topics.
    pub channels: Vec<Channel>,
    /// Calls that become messages.
    pub publish: Vec<Publish>,
    /// Rules between version `i` and `i + 1`; one fewer than versions.
    pub steps: Vec<CheckedStep>,
}

/// One version, ready to compile.
#[derive(Debug, Clone)]
pub struct CheckedVersion {
    /// Its name.
    pub name: String,
    /// Other spellings.
    pub aliases: Vec<String>,
    /// Where its own service runs.
    pub upstream: Option<Arc<Upstream>>,
    /// Index of the version whose service answers its callers; that version has an upstream. With shares, those callers
    /// who cannot be told apart.
    pub answered_by: usize,
    /// Indices of versions that share its callers, with their weights; empty: [`CheckedVersion::answered_by`] has all.
    pub shares: Vec<(usize, u32)>,
    /// Whether its own service answers where another has failed to.
    pub fallback: bool,
    /// Which consumers may ask for it.
    pub consumers: Admission,
    /// Since when it is deprecated, and when it ends.
    pub deprecated: Option<Deprecation>,
    /// Path prefix that names it.
    pub path: Option<String>,
}

/// The rules between two neighbours.
#[derive(Debug, Clone, Default)]
pub struct CheckedStep {
    /// Named types first, then those written in place and those derived from schemas.
    pub types: Vec<CheckedType>,
    /// In written order.
    pub routes: Vec<CheckedRoute>,
    /// Routes that become several calls, in written order.
    pub calls: Vec<super::calls::CheckedCalls>,
    /// The messages of channels, each as a route that is named after its channel, in written order.
    pub messages: Vec<CheckedRoute>,
    /// In written order.
    pub examples: Vec<CheckedExample>,
    /// Refuse every rule whose verdict is less than proven.
    pub strict: bool,
}

impl CheckedStep {
    /// Whether any rule has to do with addresses of the service.
    pub fn tells_addresses(&self) -> bool {
        self.types.iter().flat_map(|of| &of.rules).any(CheckedRule::tells_addresses)
    }

    /// For each type, whether the general engine translates it: it has a rule that says more than one codec between
    /// plain places, or it refers to such a type.
    pub fn general(&self) -> Vec<bool> {
        self.with_users(|mapping| mapping.is_some())
    }

    /// For each type, whether its rules, or those of types that it refers to, may look at the request that a response
    /// answers.
    pub fn sees_request(&self) -> Vec<bool> {
        self.with_users(|mapping| mapping.is_some_and(Mapping::sees_request))
    }

    /// For each type, whether `is_one` is true of one of its rules, or of one of a type that it refers to.
    fn with_users(&self, is_one: impl Fn(Option<&Mapping<TypeId>>) -> bool) -> Vec<bool> {
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.types.len()];
        let mut open = Vec::new();
        for (index, one) in self.types.iter().enumerate() {
            for rule in &one.rules {
                let (mapping, types) = match &rule.kind {
                    CheckedKind::Mapping(mapping) => (Some(&**mapping), mapping.types()),
                    CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => {
                        (None, vec![of])
                    }
                    _ => (None, Vec::new()),
                };
                if is_one(mapping) {
                    open.push(index);
                }
                for of in types {
                    users.get_mut(of.0).into_iter().for_each(|users| users.push(index));
                }
            }
        }
        let mut found = vec![false; self.types.len()];
        while let Some(index) = open.pop() {
            if let Some(is_found) = found.get_mut(index)
                && !std::mem::replace(is_found, true)
            {
                open.extend(users.get(index).into_iter().flatten());
            }
        }
        found
    }
}

/// A type's rules; places are disjoint on both sides.
#[derive(Debug, Clone)]
pub struct CheckedType {
    /// The rules' name for it; for those written in place, the path that leads there.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its rules.
    pub rules: Vec<CheckedRule>,
    /// Its name or its rule list, as written.
    pub span: Span,
}

/// Where a type comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An entry of `types:`, with the names of its schemas in the old and the new interface.
    Named {
        /// In the old interface.
        old: String,
        /// In the new interface.
        new: String,
    },
    /// A rule list written in place of a type's name.
    Inline,
    /// The rules of a route's request or response; places begin with `body`, `query`, …
    Message,
    /// Made from the schemas on both sides of a plain equation.
    Derived,
}

/// One rule with its codec bound.
#[derive(Debug, Clone)]
pub struct CheckedRule {
    /// What it does.
    pub kind: CheckedKind,
    /// Whether its author accepted a loss.
    pub lossy: bool,
    /// How far its laws are shown.
    pub verdict: Verdict,
    /// The rule as written.
    pub text: String,
    /// Where it is written.
    pub span: Span,
}

impl CheckedRule {
    /// Whether it has to do with addresses of the service.
    pub fn tells_addresses(&self) -> bool {
        matches!(&self.kind, CheckedKind::Mapping(mapping) if mapping.tells_addresses())
    }
}

/// What a rule does.
#[derive(Debug, Clone)]
pub enum CheckedKind {
    /// Old places and new places hold the same information.
    Equation {
        /// Old side.
        olds: Vec<Place>,
        /// New side.
        news: Vec<Place>,
        /// How the value changes.
        codec: BoundCodec,
        /// The new side's value where the source has none, as JSON text.
        default: Option<String>,
    },
    /// Only the new interface has it.
    Added {
        /// New side.
        place: Place,
        /// JSON text.
        default: Option<String>,
    },
    /// Only the old interface has it.
    Removed {
        /// Old side.
        place: Place,
        /// JSON text.
        default: Option<String>,
    },
    /// Anything else: types with such rules are translated by the general engine.
    Mapping(Box<Mapping<TypeId>>),
}

/// A codec with its types resolved.
#[derive(Debug, Clone)]
pub enum BoundCodec {
    /// Converts values by itself.
    Value(Codec),
    /// The value is a document of this type.
    As(TypeId),
    /// The value is a list of documents of this type.
    Each {
        /// Element type.
        of: TypeId,
        /// The place inside an old element that tells elements apart on a write.
        key: Option<Place>,
    },
}

/// How far a rule's laws are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// By the schemas alone, for every document they allow.
    Proven,
    /// By examples and generated documents only.
    Tested,
    /// A document breaks it; such a rule set is refused.
    Refuted,
}

/// One route, both sides, with its message rules.
#[derive(Debug, Clone)]
pub struct CheckedRoute {
    /// Old side.
    pub old: Template,
    /// New side.
    pub new: Template,
    /// How old writes reach the new service.
    pub write: WriteMode,
    /// How the new side is waited for where it answers later.
    pub follow: Option<Follow>,
    /// Message type of requests; its places begin with `body`, `header`, `query`, `path`, `cookie`.
    pub request: Option<TypeId>,
    /// Message types of responses.
    pub responses: Vec<(StatusKey, TypeId)>,
    /// Responses whose status changes or that depend on more than it, in written order.
    pub mapped: Vec<CheckedMapped>,
}

impl CheckedRoute {
    /// The types of all its messages.
    pub fn messages(&self) -> impl Iterator<Item = TypeId> {
        let responses = self.responses.iter().map(|(_, of)| *of);
        self.request.into_iter().chain(responses).chain(self.mapped.iter().filter_map(|one| one.of))
    }
}

/// A response whose status changes or that depends on more than it.
#[derive(Debug, Clone)]
pub struct CheckedMapped {
    /// The old side's status.
    pub old: StatusKey,
    /// The new side's status.
    pub new: StatusKey,
    /// Further conditions on the response.
    pub when: super::mapping::When,
    /// Its message type.
    pub of: Option<TypeId>,
}

/// One example, its documents valid JSON.
#[derive(Debug, Clone)]
pub struct CheckedExample {
    /// Which type.
    pub of: TypeId,
    /// Old document.
    pub old: Option<String>,
    /// New document.
    pub new: Option<String>,
    /// What `new` becomes on the way down, where that differs from `old`.
    pub back: Option<String>,
    /// An old document written onto `new` …
    pub edit: Option<String>,
    /// … gives this.
    pub put: Option<String>,
    /// Where it is written.
    pub span: Span,
}
