//! The schema of a version's `upstream` where it is more than an address.

use serde_json::{Value, json};

use super::{closed, members, text};
use crate::rules::parse::keys;

pub(super) fn upstream() -> Value {
    let told = |schema: Value, told: &str| json!({"allOf": [schema], "description": told});
    closed(members(keys::UPSTREAM, |key| match key {
        "endpoints" => json!({"type": "array", "minItems": 1, "description": "the addresses that it has",
            "items": {"anyOf": [text("such as `http://10.0.0.7:9101`"), endpoint()]}}),
        "dns" => text("every address of this name is an endpoint: `http://orders.internal:9101`"),
        "srv" => text("the SRV records of this name are the endpoints: `http://_orders._tcp.internal`"),
        "resolve" => time("how often the name is looked up again"),
        "host" => text("what services are told as Host, and what their certificates must hold for"),
        "protocol" => json!({"enum": ["http1", "http2", "auto"], "description": "what is spoken"}),
        "balance" => json!({"enum": ["least_request", "round_robin"], "description": "which endpoint is next"}),
        "slow_start" => time("in which a new or recovered endpoint comes to its whole share"),
        "limits" => told(limits(), "of each endpoint"),
        "breaker" => told(breaker(), "of the version as a whole; what is more is refused at once (503)"),
        "health" => told(health(), "how each endpoint is asked whether it is well"),
        "eject" => json!({"anyOf": [{"enum": ["off", "default"]}, eject()],
            "description": "when an endpoint is left out for what it answers"}),
        "retry" => json!({"anyOf": [{"enum": ["off", "default"]}, retry()],
            "description": "when a request is sent again"}),
        _ => told(timeouts(), "how long things may take, instead of what the settings say"),
    }))
}

fn endpoint() -> Value {
    let mut endpoint = closed(members(keys::ENDPOINT, |key| match key {
        "url" => text("such as `http://10.0.0.7:9101`"),
        _ => number(1, 1000, "its share of the sum of all weights; 1 if it is left out"),
    }));
    require(&mut endpoint, "url");
    endpoint
}

fn limits() -> Value {
    closed(members(keys::ENDPOINT_LIMITS, |key| match key {
        "connections" => number(1, 1_000_000, "open connections"),
        "in_flight" => number(1, 1_000_000, "requests in flight"),
        "waiting" => number(0, 1_000_000, "requests that wait for either"),
        "idle" => number(0, 1_000_000, "connections that are kept for the next request"),
        _ => time("how long they are kept"),
    }))
}

fn breaker() -> Value {
    closed(members(keys::BREAKER, |key| match key {
        "in_flight" => number(1, 1_000_000, "requests in flight"),
        _ => number(1, 1_000_000, "those of them that have no connection yet"),
    }))
}

fn health() -> Value {
    let mut health = closed(members(keys::HEALTH, |key| match key {
        "path" => text("what is asked for, such as `/healthz`"),
        "every" => time("how often; 5s if it is left out"),
        "timeout" => time("how long it may take; 1s if it is left out"),
        "healthy" => number(1, 100, "good answers in a row that bring an endpoint back; 2 if it is left out"),
        "unhealthy" => number(1, 100, "bad ones in a row that leave it out; 3 if it is left out"),
        _ => statuses("what is a good answer; 2XX if it is left out"),
    }));
    require(&mut health, "path");
    health
}

fn eject() -> Value {
    closed(members(keys::EJECT, |key| match key {
        "failures" => number(1, 1000, "failures in a row"),
        "time" => time("how long it is left out the first time; longer each further one"),
        "longest" => time("how long at most"),
        "share" => number(0, 100, "the part of all endpoints that may be left out at once, in percent"),
        "panic" => {
            number(0, 100, "with less than this percentage in use, those that were left out are used all the same")
        }
        _ => statuses("statuses that are failures"),
    }))
}

fn retry() -> Value {
    closed(members(keys::RETRY, |key| match key {
        "attempts" => number(0, 10, "how often one request is sent again at most"),
        "status" => statuses("answers to idempotent requests that are no answers"),
        "backoff" => time("the wait before it is sent again, doubled each time, with chance in it"),
        "share" => number(0, 100, "how many for each hundred requests"),
        _ => number(0, 10_000, "how many in ten seconds, however few requests there are"),
    }))
}

fn timeouts() -> Value {
    closed(members(keys::UPSTREAM_TIMEOUTS, |key| match key {
        "connect" => time("reaching an endpoint"),
        "response" => time("the head of the response, all attempts together"),
        "attempt" => time("the same of one attempt"),
        "stream" => time("a silence inside a body"),
        _ => time("the whole exchange, to the last byte of the response"),
    }))
}

fn time(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]+(ms|s|m)$", "description": description})
}

fn number(least: u32, most: u32, description: &str) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
}

fn statuses(description: &str) -> Value {
    let one = json!({"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": "^[1-5]XX$"}]});
    json!({"anyOf": [one, {"type": "array", "minItems": 1, "items": one}], "description": description})
}

fn require(schema: &mut Value, key: &str) {
    if let Some(members) = schema.as_object_mut() {
        members.insert("required".to_owned(), json!([key]));
    }
}
