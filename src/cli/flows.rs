//! `bifocal flows`

use std::process::ExitCode;

use serde_json::Value;

use super::admin::Gateway;
use super::table::{self, Format};
use super::{CLEAN, FINDINGS, cannot_run, finish};

/// Show the flows of messages
///
/// Asks a running gateway, and through it the brokers how much waits. Rates are messages a second of the last ten seconds,
/// all other numbers count since the flow was started. Ends with 1 where a flow does not take messages.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal flows                           every flow of every service
  bifocal flows --service orders
  bifocal flows --admin 10.0.0.7:9901 --format json
  bifocal flows --admin unix:/run/bifocal/admin.sock")]
pub(super) struct Args {
    #[command(flatten)]
    gateway: Gateway,
    /// Only flows of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let told = match args.gateway.look("/flows", &[("service", args.service.as_deref())]) {
        Ok(told) => told,
        Err(problem) => return cannot_run(&problem),
    };
    let text = match args.format {
        Format::Json => format!("{told:#}\n"),
        Format::Table => columns(&told),
    };
    let is_ready = told.get("ready").and_then(Value::as_bool) == Some(true);
    finish(&text, if is_ready { CLEAN } else { FINDINGS })
}

/// One line a flow, then one for each that has something to say.
fn columns(told: &Value) -> String {
    let head = ["FLOW", "STATE", "GUARANTEE", "WAITING", "IN FLIGHT", "IN/S", "OUT/S", "SETTLED", "DEAD", "SOURCE"];
    let empty = Vec::new();
    let flows = told.get("flows").and_then(Value::as_array).unwrap_or(&empty);
    let row = |flow: &Value| {
        let text = |name: &str| flow.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let number = |value: Option<&Value>| {
            value.filter(|value| value.is_number()).map_or_else(|| "-".to_owned(), Value::to_string)
        };
        let rate = |name: &str| number(flow.get("per_second").and_then(|rates| rates.get(name)));
        let letters = flow.get("dead_letters").and_then(Value::as_object);
        let dead = letters.map(|all| all.values().filter_map(Value::as_u64).sum::<u64>().to_string());
        [
            text("name"),
            text("state"),
            text("guarantee"),
            number(flow.get("waiting")),
            number(flow.get("in_flight")),
            rate("received"),
            rate("published"),
            number(flow.get("settled")),
            dead.unwrap_or_else(|| "-".to_owned()),
            text("source"),
        ]
    };
    let rows: Vec<[String; 10]> = flows.iter().map(row).collect();
    let mut out = table::of(head, &rows, &[3, 4, 5, 6, 7, 8]);
    for flow in flows {
        let Some(reason) = flow.get("reason").and_then(Value::as_str) else { continue };
        let name = flow.get("name").and_then(Value::as_str).unwrap_or("-");
        out.push_str(&table::plain(&format!("{name}: {reason}")));
        out.push('\n');
    }
    out
}
