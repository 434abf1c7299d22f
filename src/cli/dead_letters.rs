//! `bifocal dead-letters`

use std::fmt::Write;
use std::process::ExitCode;

use clap::Subcommand;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::admin::{Gateway, filtered, read};
use super::table::{self, Format, plain};
use super::{CLEAN, FINDINGS, cannot_run, finish};
use crate::path::percent;

/// Letters that a gateway is asked to send on at a time.
const AT_ONCE: u64 = 50;
/// Letters that a dry run looks at, at most.
const DRY: u64 = 1000;

/// List messages that could not be carried, show one, send them on
///
/// Asks a running gateway. A letter that is sent on is translated by the rules of now and goes to its flow's readers of its
/// version, and to nobody else.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal dead-letters list --reason rule_error
  bifocal dead-letters show orders/orders.created/v2 6f1c09ab7e55d210
  bifocal dead-letters redrive --flow orders/orders.created/v2 --dry-run
  bifocal dead-letters redrive --flow orders/orders.created/v2 --yes")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Redrive(Redrive),
}

/// Which there are and why; nothing of what they say
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    which: Which,
    /// How many, at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u64,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// One as it came, and what the rules of now make of it
///
/// Shows headers and body, so it needs a token as changes do.
#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    gateway: Gateway,
    /// Its flow, as the list has it
    flow: String,
    /// Its id, as the list has it
    id: String,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Send letters on by the rules of now
///
/// Without --yes nothing is sent, and what would happen is told. Ends with 1 where a letter came back or stayed.
#[derive(Debug, clap::Args)]
struct Redrive {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    which: Which,
    /// Only this one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How many, at most
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Send them on
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only tell what would happen
    #[arg(long)]
    dry_run: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only of this flow
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// Only for this reason
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only those that readers of this version did not get
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let told = match &args.command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
        Command::Redrive(args) => redrive(args),
    };
    let (text, code) = match told {
        Ok(told) => told,
        Err(problem) => return cannot_run(&problem),
    };
    finish(&text, code)
}

fn ask(gateway: &Gateway, method: Method, target: &str, body: String) -> Result<Value, String> {
    let (status, body) = gateway.ask(method, target, body)?;
    let error = || {
        let body: Option<Value> = serde_json::from_slice(&body).ok();
        body.and_then(|body| body.get("error")?.as_str().map(str::to_owned))
    };
    match status {
        StatusCode::FORBIDDEN => {
            Err("it answers 403: `admin_token_file` must be set there, and --token-file here, or \
                                      `--admin unix:PATH` be used"
                .to_owned())
        }
        StatusCode::NOT_FOUND | StatusCode::BAD_GATEWAY | StatusCode::UNPROCESSABLE_ENTITY if error().is_some() => {
            Err(error().unwrap_or_default())
        }
        status => read(status, &body),
    }
}

fn rows<'v>(told: &'v Value, name: &str) -> &'v [Value] {
    told.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// What could not be looked through.
fn problems(told: &Value, out: &mut String) -> u8 {
    let problems = rows(told, "problems");
    for one in problems {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: {}", plain(&text(one, "at")), plain(&text(one, "why")));
    }
    if problems.is_empty() { CLEAN } else { FINDINGS }
}

fn list(args: &List) -> Result<(String, u8), String> {
    let Which { flow, reason, to } = &args.which;
    let limit = args.limit.to_string();
    let target = filtered(
        "/dead-letters",
        &[
            ("limit", Some(limit.as_str())),
            ("flow", flow.as_deref()),
            ("reason", reason.as_deref()),
            ("to", to.as_deref()),
        ],
    );
    let told = ask(&args.gateway, Method::GET, &target, String::new())?;
    let mut out = String::new();
    let code = problems(&told, &mut out);
    if args.format == Format::Json {
        return Ok((format!("{told:#}\n"), code));
    }
    let head = ["FLOW", "ID", "TO", "REASON", "PLACE", "TRIES", "SIZE", "LAST", "DETAIL"];
    let row = |one: &Value| {
        [
            text(one, "flow"),
            text(one, "id"),
            text(one, "to"),
            text(one, "reason"),
            text(one, "place"),
            number(one, "attempts").to_string(),
            number(one, "size").to_string(),
            text(one, "last_at"),
            text(one, "detail"),
        ]
    };
    let all: Vec<[String; 9]> = rows(&told, "letters").iter().map(row).collect();
    let mut shown = table::of(head, &all, &[5, 6]);
    if told.get("more").and_then(Value::as_bool) == Some(true) {
        shown.push_str("and more: see --limit and the filters\n");
    }
    let others = number(&told, "others");
    if others > 0 {
        let _ = writeln!(shown, "and {others} messages that no flow has put there");
    }
    Ok((shown + &out, code))
}

fn show(args: &Show) -> Result<(String, u8), String> {
    let mut target = "/dead-letters/".to_owned();
    percent::encode(&args.flow, b"-._~/", &mut target);
    target.push('/');
    percent::encode(&args.id, percent::UNRESERVED, &mut target);
    let told = ask(&args.gateway, Method::GET, &target, String::new())?;
    if args.format == Format::Json {
        return Ok((format!("{told:#}\n"), CLEAN));
    }
    let nothing = Map::new();
    let mut out = String::new();
    for (name, value) in told.get("letter").and_then(Value::as_object).unwrap_or(&nothing) {
        let _ = writeln!(out, "{name}: {}", plain(&bare(value)));
    }
    out.push_str("\nas it came:\n");
    message(told.get("message").unwrap_or(&Value::Null), &mut out);
    let now = told.get("now").unwrap_or(&Value::Null);
    if let Some(goes) = now.get("goes") {
        out.push_str("\nby the rules of now:\n");
        message(goes, &mut out);
    } else if let Some(fails) = now.get("fails") {
        let (reason, detail, place) = (text(fails, "reason"), text(fails, "detail"), text(fails, "place"));
        let _ = writeln!(out, "\nby the rules of now it comes back: {reason}: {} at {}", plain(&detail), plain(&place));
    } else {
        out.push_str("\nits flow or its readers are no more: it cannot be sent on\n");
    }
    Ok((out, CLEAN))
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Headers, then the body as it is.
fn message(message: &Value, out: &mut String) {
    let nothing = Map::new();
    for (name, value) in message.get("properties").and_then(Value::as_object).unwrap_or(&nothing) {
        let _ = writeln!(out, "  {name} = {}", plain(&bare(value)));
    }
    for pair in rows(message, "headers") {
        let part = |index: usize| pair.get(index).map_or_else(String::new, |part| plain(&bare(part)));
        let _ = writeln!(out, "  {}: {}", part(0), part(1));
    }
    let body = message.get("body").unwrap_or(&Value::Null);
    let shown = match body.get("text").and_then(Value::as_str) {
        Some(text) => {
            text.chars().map(|one| if one.is_control() && !"\n\t".contains(one) { '?' } else { one }).collect()
        }
        None => format!("(Base64) {}", text(body, "base64")),
    };
    let _ = writeln!(out, "\n{shown}");
}

fn redrive(args: &Redrive) -> Result<(String, u8), String> {
    let is_dry = !args.yes;
    let most = args.limit.unwrap_or(if is_dry { DRY } else { u64::MAX });
    let mut letters: Vec<Value> = Vec::new();
    let mut before = Value::Null;
    let (mut more, mut released, mut out, mut code) = (true, 0, String::new(), CLEAN);
    let mut wrong: Vec<Value> = Vec::new();
    while more && (letters.len() as u64) < most && wrong.is_empty() {
        let at_once = (most - letters.len() as u64).min(if is_dry { DRY } else { AT_ONCE });
        let Which { flow, reason, to } = &args.which;
        let body = json!({
            "flow": flow, "reason": reason, "to": to, "id": args.id, "limit": at_once, "dry_run": is_dry,
            "before": before,
        });
        let told = ask(&args.gateway, Method::POST, "/dead-letters/redrive", body.to_string())?;
        code = code.max(problems(&told, &mut out));
        wrong.extend(rows(&told, "problems").iter().cloned());
        before = told.get("before").cloned().unwrap_or_default();
        released += number(&told, "released_keys");
        more = told.get("more").and_then(Value::as_bool) == Some(true);
        let count = |word: &str| told.get("counts").map_or(0, |counts| number(counts, word));
        // What was looked at and stays would be all that is looked at the next time.
        let has_moved = count("sent") + count("again") > 0;
        letters.extend(rows(&told, "letters").iter().cloned());
        if is_dry || !has_moved {
            break;
        }
    }
    let count = |word: &str| letters.iter().filter(|one| text(one, "outcome") == word).count();
    if count("sent") < letters.len() || (more && args.limit.is_none()) {
        code = FINDINGS;
    }
    if args.format == Format::Json {
        let told = json!({
            "dry_run": is_dry, "letters": letters, "more": more, "released_keys": released, "problems": wrong,
        });
        return Ok((format!("{told:#}\n"), code));
    }
    let row = |one: &Value| {
        let why = one.get("why").map_or_else(
            || "-".to_owned(),
            |why| {
                let parts = ["reason", "detail", "place"].map(|name| text(why, name));
                parts.into_iter().filter(|part| part != "-").collect::<Vec<_>>().join(": ")
            },
        );
        let outcome = text(one, "outcome");
        [text(one, "flow"), text(one, "id"), text(one, "to"), text(one, "reason"), outcome, why]
    };
    let all: Vec<[String; 6]> = letters.iter().map(row).collect();
    let mut shown = table::of(["FLOW", "ID", "TO", "REASON", "OUTCOME", "WHY"], &all, &[]);
    let would = if is_dry { "would be " } else { "" };
    let _ = writeln!(shown, "{} of {} {would}sent on", count("sent"), letters.len());
    if released > 0 {
        let _ = writeln!(shown, "{released} parked keys go on");
    }
    if more {
        shown.push_str("there are more\n");
    }
    if is_dry && !args.dry_run {
        shown.push_str("nothing was sent: say --yes\n");
    }
    Ok((shown + &out, code))
}
