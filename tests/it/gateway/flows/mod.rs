//! Flows of messages in a running gateway.

mod example;
mod real;
mod reload;
mod report;
mod succession;

use std::sync::Arc;

use bifocal::gateway::Brokers;
use bifocal::messaging::brokers::memory::Memory;

/// Orders are read at `OUT.v1` as they were written at `IN.v2`, and the other way round; `more` is said of the channel.
fn channel(name: &str, more: &str) -> String {
    format!(
        "  {name}:\n{more}    versions:\n      \
         v1: {{ingress: {{broker: m, queue: {name}.in.v1}}, egress: {{broker: m, queue: {name}.out.v1}}}}\n      \
         v2: {{ingress: {{broker: m, queue: {name}.in.v2}}, egress: {{broker: m, queue: {name}.out.v2}}}}\n"
    )
}

/// A service with these channels.
fn service(channels: &str) -> (&'static str, String) {
    ("shop/service.yaml", format!("versions: {{v1: , v2: }}\nchannels:\n{channels}"))
}

/// A total was cents, and is a text with as many decimals as told.
fn rules(decimals: u8, channels: &[&str]) -> (&'static str, String) {
    let messages: String = channels.iter().fold(String::new(), |all, name| format!("{all}  {name}: Order\n"));
    let text = format!(
        "types:\n  Order:\n    - total = price: {{decimal: {decimals}}}\n    - nick = name\nmessages:\n{messages}"
    );
    ("shop/v1-v2.yaml", text)
}

/// The broker inside this process, under the name that the rules use.
fn brokers(memory: &Memory) -> Brokers {
    Brokers::from([("m".to_owned(), Arc::new(memory.clone()) as _)])
}

/// What `/flows` says of one flow.
fn of<'j>(told: &'j serde_json::Value, name: &str) -> &'j serde_json::Value {
    let flows = told["flows"].as_array().unwrap();
    flows.iter().find(|flow| flow["name"] == name).unwrap_or(&serde_json::Value::Null)
}
