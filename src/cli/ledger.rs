//! `bifocal ledger`

use std::process::ExitCode;

use serde_json::Value;

use super::admin::Gateway;
use super::table::{self, Format};
use super::{CLEAN, cannot_run, finish};

/// Show who calls which version
///
/// Asks a running gateway, which counts since it was started. The most frequent callers of each service have a row of
/// their own, all others together the last one.
#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
#[command(after_help = "\
Examples:
  bifocal ledger                          every version of every service
  bifocal ledger --version v1             who still calls v1
  bifocal ledger --admin 10.0.0.7:9901 --format json
  bifocal ledger --admin unix:/run/bifocal/admin.sock")]
pub(super) struct Args {
    #[command(flatten)]
    gateway: Gateway,
    /// Only callers of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only callers who ask for this version
    #[arg(long = "version", value_name = "NAME")]
    of: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let filters = [("service", args.service.as_deref()), ("version", args.of.as_deref())];
    let ledger = match args.gateway.look("/ledger", &filters) {
        Ok(ledger) => ledger,
        Err(problem) => return cannot_run(&problem),
    };
    let text = match args.format {
        Format::Json => format!("{ledger:#}\n"),
        Format::Table => columns(&ledger),
    };
    finish(&text, CLEAN)
}

fn columns(ledger: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let head = ["SERVICE", "ASKED", "SERVED", "OPERATION", "CONSUMER", "REQUESTS", "LAST"];
    let mut rows = Vec::new();
    let services = ledger.get("services").and_then(Value::as_object);
    for (service, page) in services.into_iter().flatten() {
        let empty = Vec::new();
        for row in page.get("rows").and_then(Value::as_array).unwrap_or(&empty) {
            let of = |name: &str| row.get(name).map_or_else(|| "-".to_owned(), text);
            let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or_default();
            let missed = number("missed");
            let requests = match missed {
                0 => number("count").to_string(),
                // At most as many more came before it was counted alone.
                _ => format!("{}+{missed}", number("count")),
            };
            let (asked, served) = (of("asked"), of("served"));
            rows.push([service.clone(), asked, served, of("operation"), of("consumer"), requests, of("last")]);
        }
        let other = page.get("other").and_then(Value::as_u64).unwrap_or_default();
        if other > 0 {
            let dash = || "-".to_owned();
            let all = "all others".to_owned();
            rows.push([service.clone(), dash(), dash(), dash(), all, other.to_string(), dash()]);
        }
    }
    let mut out = table::of(head, &rows, &[5]);
    if let Some(since) = ledger.get("since").and_then(Value::as_str) {
        out.extend(["counted since ", since, "\n"]);
    }
    out
}
