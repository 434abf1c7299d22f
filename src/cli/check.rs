//! `bifocal check`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::serve::sources;
use super::{CLEAN, FINDINGS, cannot_run, finish, style};
use crate::diagnostic::{Finding, Position, to_text};
use crate::rules::checked::Verdict;
use crate::rules::load::load_folder;
use crate::rules::upstream::Upstream;
use crate::rules::{FolderReport, Report, RuleVerdict, check_folder};
use crate::settings::Settings;

/// Check rules: every mistake in every file, each at its place; or the settings
///
/// Reads every service in the rules folder and reports every mistake in every file, each with its place, a caret and
/// help. Ends with 0 where all is well (warnings allowed), 1 where something is wrong, 2 where it could not look.
///
/// With `--hardening` the settings are looked at instead, as `bifocal serve` would find them: one line for each that is
/// less safe than the defaults, and why. Ends with 0 where there is none, 1 where there are some, 2 where the settings
/// are not valid.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal check
  bifocal check --rules rules --verbose     where versions run, and the verdict of every rule
  bifocal check --format json | jq '.findings[].message'
  bifocal check --hardening --config bifocal.toml")]
pub(super) struct Args {
    /// The rules folder: one subfolder a service
    #[arg(long, value_name = "DIR", default_value = "rules", env = "BIFOCAL_RULES")]
    rules: PathBuf,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// List where every version runs, and the verdict of every rule
    #[arg(long, short)]
    verbose: bool,
    /// Look at the settings instead: what is less safe than the defaults, and why
    #[arg(long, conflicts_with_all = ["format", "verbose"])]
    hardening: bool,
    /// Settings file; without it that of the environment (`BIFOCAL_CONFIG`), or `bifocal.toml`, if there is one
    #[arg(long, value_name = "FILE", requires = "hardening")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: one object, stable keys
    Json,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if args.hardening {
        return harden(args.config.clone());
    }
    let loaded = match load_folder(&args.rules) {
        Ok(loaded) => loaded,
        Err(error) => return cannot_run(&format!("cannot read the rules folder {}: {error}", args.rules.display())),
    };
    let report = check_folder(&loaded);
    let text = match args.format {
        Format::Text => text(&report, args.verbose),
        Format::Json => match serde_json::to_string_pretty(&Output::new(&report)) {
            Ok(text) => text + "\n",
            Err(error) => return cannot_run(&error.to_string()),
        },
    };
    finish(&text, if report.is_clean() { CLEAN } else { FINDINGS })
}

/// Tells what of the settings is less safe than the defaults.
fn harden(config: Option<PathBuf>) -> ExitCode {
    // No `env` of the flag: a variable that is there for the gateway must not be taken for a flag without its other.
    let config = config.or_else(|| std::env::var_os("BIFOCAL_CONFIG").map(PathBuf::from));
    let deviations = match Settings::load(sources(config, Vec::new())) {
        Ok(settings) => settings.deviations(),
        Err(mistakes) => return cannot_run(&format!("the settings are not valid\n{mistakes}")),
    };
    let mut text = String::new();
    for one in &deviations {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", one.setting, one.why);
    }
    if deviations.is_empty() {
        text.push_str("nothing is less safe than the defaults\n");
    }
    finish(&text, if deviations.is_empty() { CLEAN } else { FINDINGS })
}

fn text(report: &FolderReport, verbose: bool) -> String {
    let mut out = String::new();
    let shown = std::iter::once((&report.diagnostics, &report.sources))
        .chain(report.services.values().map(|one| (&one.diagnostics, &*one.sources)));
    for (diagnostics, sources) in shown {
        if !diagnostics.is_empty() {
            out.push_str(&to_text(diagnostics, sources, style()));
            out.push_str("\n\n");
        }
    }
    for (name, service) in &report.services {
        out.push_str(&summary(name, service));
        for flow in flows(service) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "  flow {}: {} -> {}: {}",
                flow.name,
                flow.source,
                flow.targets.join(", "),
                flow.guarantee
            );
        }
        if verbose {
            for (version, upstream) in upstreams(service) {
                // Writing to a string cannot fail.
                let _ = writeln!(out, "  {version}  runs at {}", upstream.told());
            }
            for one in service.verdicts() {
                let loss = if one.lossy { ", loss accepted" } else { "" };
                let by = if one.by_expression { ", by an expression" } else { "" };
                let (old, new) = &one.step;
                // Writing to a string cannot fail.
                let _ = writeln!(out, "  {old}-{new}  {:<8} {}: {}{loss}{by}", word(one.verdict), one.owner, one.rule);
            }
        }
    }
    out
}

/// Where the versions of a service run, as far as its files say.
fn upstreams(service: &Report) -> impl Iterator<Item = (&str, &Upstream)> {
    let versions = service.checked.iter().flat_map(|checked| &checked.versions);
    versions.filter_map(|version| Some((version.name.as_str(), version.upstream.as_deref()?)))
}

/// The flows of messages that a service asks for.
fn flows(service: &Report) -> impl Iterator<Item = FlowTold> {
    let channels = service.checked.iter().flat_map(|checked| &checked.channels);
    channels.flat_map(|channel| &channel.flows).map(|flow| FlowTold {
        name: flow.name.clone(),
        source: flow.source.to_string(),
        targets: flow.targets.iter().map(|target| target.address.to_string()).collect(),
        guarantee: flow.guarantee().name(),
    })
}

fn summary(name: &str, service: &Report) -> String {
    let errors = service.diagnostics.errors();
    let warnings = service.diagnostics.iter().count() - errors;
    let mut parts = Vec::new();
    let count = |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
    if errors > 0 {
        parts.push(count(errors, "error"));
    }
    if warnings > 0 {
        parts.push(count(warnings, "warning"));
    }
    if let Some(checked) = &service.checked {
        parts.insert(0, count(checked.versions.len(), "version"));
        parts.insert(1, count(checked.steps.iter().map(|step| step.routes.len() + step.calls.len()).sum(), "route"));
        let verdicts = service.verdicts();
        let of = |verdict: Verdict| verdicts.iter().filter(|one| one.verdict == verdict).count();
        parts.push(format!("rules: {} proven, {} tested", of(Verdict::Proven), of(Verdict::Tested)));
        let expressions = verdicts.iter().filter(|one| one.by_expression).count();
        if expressions > 0 {
            parts.push(format!("{expressions} by an expression"));
        }
    }
    let state = if service.checked.is_some() { "ok" } else { "refused" };
    format!("{name}: {state} ({})\n", parts.join(", "))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proven => "proven",
        Verdict::Tested => "tested",
        Verdict::Refuted => "refuted",
    }
}

/// The JSON form.
#[derive(Debug, Serialize)]
struct Output<'r> {
    ok: bool,
    findings: Vec<Finding>,
    services: BTreeMap<&'r str, Service>,
}

#[derive(Debug, Serialize)]
struct Service {
    ok: bool,
    /// Where its versions run.
    upstreams: BTreeMap<String, String>,
    flows: Vec<FlowTold>,
    rules: Vec<Rule>,
}

/// What is read, where it goes, and what is promised of it.
#[derive(Debug, Serialize)]
struct FlowTold {
    name: String,
    source: String,
    targets: Vec<String>,
    guarantee: &'static str,
}

#[derive(Debug, Serialize)]
struct Rule {
    versions: [String; 2],
    owner: String,
    #[serde(rename = "rule")]
    text: String,
    verdict: &'static str,
    loss: bool,
    expression: bool,
    #[serde(flatten)]
    place: Position,
}

impl<'r> Output<'r> {
    fn new(report: &'r FolderReport) -> Self {
        let folder = report.diagnostics.iter().map(|one| Finding::new(one, &report.sources));
        let services = report.services.values();
        let inner = services.flat_map(|one| one.diagnostics.iter().map(|found| Finding::new(found, &one.sources)));
        Self {
            ok: report.is_clean(),
            findings: folder.chain(inner).collect(),
            services: report.services.iter().map(|(name, one)| (name.as_str(), Service::new(one))).collect(),
        }
    }
}

impl Service {
    fn new(report: &Report) -> Self {
        let rules = report.verdicts().into_iter().map(|one| Rule::new(one, report)).collect();
        let told = |(version, upstream): (&str, &Upstream)| (version.to_owned(), upstream.told());
        let upstreams = upstreams(report).map(told).collect();
        Self { ok: report.checked.is_some(), upstreams, flows: flows(report).collect(), rules }
    }
}

impl Rule {
    fn new(one: RuleVerdict, report: &Report) -> Self {
        Self {
            versions: one.step.into(),
            owner: one.owner,
            text: one.rule,
            verdict: word(one.verdict),
            loss: one.lossy,
            expression: one.by_expression,
            place: Position::new(one.span, &report.sources),
        }
    }
}
