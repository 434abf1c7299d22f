//! The keys of every map that has a fixed set of them: what the parser accepts and the schemas say.

/// Of a rule file.
pub(in crate::rules) const FILE: &[&str] = &["versions", "strict", "types", "routes", "messages", "examples"];
/// Of an example.
pub(in crate::rules) const EXAMPLE: &[&str] = &["type", "old", "new", "back", "edit", "put"];
/// Beside the conversion of an equation.
pub(in crate::rules) const BESIDE: &[&str] = &["default", "loss", "unfit", "when", "keys", "only"];
/// Beside `added` or `removed`.
pub(in crate::rules) const DERIVED: &[&str] = &["from", "reduce", "default", "loss", "when", "separator", "unfit"];
/// How several values become one.
pub(in crate::rules) const REDUCTIONS: &[&str] =
    &["sum", "count", "first", "last", "min", "max", "join", "list", "any"];
/// Of a case.
pub(in crate::rules) const CASE: &[&str] = &["old", "new", "with", "when", "rules", "else"];
/// Of `entries`.
pub(in crate::rules) const ENTRIES: &[&str] = &["key", "value", "sort", "last"];
/// Of `flat`.
pub(in crate::rules) const FLAT: &[&str] = &["separator", "list"];
/// Of `cel`.
pub(in crate::rules) const CEL: &[&str] = &["up", "down"];
/// Of an entry of `responses`.
pub(in crate::rules) const RESPONSE: &[&str] = &["status", "when", "rules"];
pub(in crate::rules) const CALL: &[&str] =
    &["call", "request", "each", "when", "stop", "optional", "partial", "timeout"];
/// Of `service.yaml`.
pub(in crate::rules) const SERVICE: &[&str] = &[
    "match",
    "versions",
    "negotiate",
    "default",
    "answer_header",
    "assign",
    "consumer",
    "pins",
    "lockstep",
    "idempotency",
    "async",
    "channels",
    "publish",
];
/// Of `idempotency`.
pub(in crate::rules) const IDEMPOTENCY: &[&str] =
    &["required", "methods", "routes", "keep", "most", "keep_errors", "interrupted"];
/// Of `async`.
pub(in crate::rules) const ASYNC: &[&str] = &["path", "routes", "keep", "timeout", "most", "at_once"];
/// Of an entry of `publish`.
pub(in crate::rules) const PUBLISH: &[&str] = &["channel", "wait", "headers"];
/// Of a route's `follow`.
pub(in crate::rules) const FOLLOW: &[&str] = &["until", "result", "limit", "cancel"];
/// Of `match`.
pub(in crate::rules) const MATCH: &[&str] = &["hosts", "paths"];
/// Of a version.
pub(in crate::rules) const VERSION: &[&str] =
    &["path", "names", "upstream", "answered_by", "fallback", "consumers", "deprecated", "openapi"];
/// Of a version's `upstream`.
pub(in crate::rules) const UPSTREAM: &[&str] = &[
    "endpoints",
    "dns",
    "srv",
    "resolve",
    "host",
    "protocol",
    "balance",
    "slow_start",
    "limits",
    "breaker",
    "health",
    "eject",
    "retry",
    "timeouts",
];
/// Of one of `endpoints`.
pub(in crate::rules) const ENDPOINT: &[&str] = &["url", "weight"];
/// Of an upstream's `limits`.
pub(in crate::rules) const ENDPOINT_LIMITS: &[&str] = &["connections", "in_flight", "waiting", "idle", "idle_time"];
/// Of `breaker`.
pub(in crate::rules) const BREAKER: &[&str] = &["in_flight", "waiting"];
/// Of `health`.
pub(in crate::rules) const HEALTH: &[&str] = &["path", "every", "timeout", "healthy", "unhealthy", "status"];
/// Of `eject`.
pub(in crate::rules) const EJECT: &[&str] = &["failures", "time", "longest", "share", "panic", "status"];
/// Of `retry`.
pub(in crate::rules) const RETRY: &[&str] = &["attempts", "status", "backoff", "share", "floor"];
/// Of an upstream's `timeouts`.
pub(in crate::rules) const UPSTREAM_TIMEOUTS: &[&str] = &["connect", "response", "attempt", "stream", "total"];
/// Of `assign`.
pub(in crate::rules) const ASSIGN: &[&str] = &["by", "salt"];
/// Of a consumer that a token names.
pub(in crate::rules) const CLAIM: &[&str] = &["claim", "header", "verified_by"];
/// Of a version's `consumers`.
pub(in crate::rules) const CONSUMERS: &[&str] = &["allow", "deny"];
/// Of `lockstep`.
pub(in crate::rules) const LOCKSTEP: &[&str] = &["group", "step"];
/// Of `deprecated`.
pub(in crate::rules) const DEPRECATED: &[&str] = &["at", "sunset", "link", "gone"];
/// What callers are assigned by; those with a name after a dot, then the others.
pub(in crate::rules) const ASSIGNED_BY: &[&str] = &["header", "cookie", "path", "consumer", "request"];
/// What names a consumer, with a header's name after a dot.
pub(in crate::rules) const CONSUMER: &[&str] = &["header", "api_key", "certificate"];
/// Ways to find a caller's version.
pub(in crate::rules) const NEGOTIATORS: &[&str] = &["path", "header", "query", "media_type"];
/// Of a channel.
pub(in crate::rules) const CHANNEL: &[&str] = &[
    "topology",
    "canonical",
    "version_by",
    "id_by",
    "key_by",
    "guarantee",
    "order",
    "on_poison",
    "dedup",
    "attempts",
    "dead_letter",
    "replies",
    "versions",
];
/// Of a channel's version.
pub(in crate::rules) const CHANNEL_VERSION: &[&str] = &["type", "ingress", "egress"];
/// Of an address.
pub(in crate::rules) const ADDRESS: &[&str] = &["broker", "queue", "exchange", "routing_key", "subject", "stream"];
/// Of a channel's `replies`.
pub(in crate::rules) const REPLIES: &[&str] = &["channel", "address", "timeout"];
/// Of a channel's `dedup`.
pub(in crate::rules) const DEDUP: &[&str] = &["window", "entries"];
