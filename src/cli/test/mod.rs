//! `bifocal test`

mod coverage;
mod watch;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{CLEAN, FINDINGS, cannot_run, print, style};
use crate::contract::laws::{Documents, Evidence, TypeEvidence};
use crate::contract::{Budget, verify_service};
use crate::diagnostic::to_text;
use crate::rules::load::load_folder;
use crate::rules::prove_service;

/// Run the rules' examples and try their laws on generated documents
///
/// Runs every example in each direction that it speaks of, and tries the laws of every type on generated documents:
/// valid results both ways, nothing lost on the way up and down, writes that change what was edited and nothing else.
/// Ends with 0 where all hold, 1 where something does not, 2 where it could not run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal test
  bifocal test --count 10000 --seed 42     more documents, other documents
  bifocal test --coverage                  what the examples leave out
  bifocal test --watch                     again whenever a file changes")]
pub(super) struct Args {
    /// The rules folder: one subfolder a service
    #[arg(long, value_name = "DIR", default_value = "rules", env = "BIFOCAL_RULES")]
    rules: PathBuf,
    /// Generated documents for each type
    #[arg(long, value_name = "N", default_value_t = 1000)]
    count: usize,
    /// Where chance begins: the same seed gives the same documents
    #[arg(long, value_name = "S", default_value_t = 7)]
    seed: u64,
    /// List what of the rules no example has exercised, and how much of each type has been
    #[arg(long)]
    coverage: bool,
    /// Run again whenever a file under the rules folder changes, until stopped with Ctrl-C
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    if !args.watch {
        return match once(args).and_then(|(out, is_clean)| told(&out).map(|()| is_clean)) {
            Ok(is_clean) => ExitCode::from(if is_clean { CLEAN } else { FINDINGS }),
            Err(message) => cannot_run(&message),
        };
    }
    // Watched before the first run, so that no change falls between.
    let changes = match watch::Changes::of(&args.rules) {
        Ok(changes) => changes,
        Err(error) => return cannot_run(&format!("cannot watch the rules folder {}: {error}", args.rules.display())),
    };
    loop {
        // A folder that cannot be read just now may be on its way back.
        let out = once(args).map_or_else(|message| format!("{message}\n"), |(out, _)| out);
        let (report, result) = out.trim_end().rsplit_once('\n').unwrap_or(("", out.trim_end()));
        let gap = if report.is_empty() { "" } else { "\n" };
        if let Err(message) = told(&format!("{report}{gap}{} {result}\n", watch::now())) {
            return cannot_run(&message);
        }
        if !changes.wait() {
            return cannot_run("the rules folder is not watched any more");
        }
    }
}

fn told(out: &str) -> Result<(), String> {
    print(out).map_err(|error| format!("cannot write: {error}"))
}

/// What is found, the result in its last line, and whether all is well.
fn once(args: &Args) -> Result<(String, bool), String> {
    let loaded = load_folder(&args.rules)
        .map_err(|error| format!("cannot read the rules folder {}: {error}", args.rules.display()))?;
    let budget = Budget { documents: args.count, seed: args.seed };
    let mut out = String::new();
    let mut totals = Totals::default();
    let mut is_clean = !loaded.diagnostics.has_errors();
    if !loaded.diagnostics.is_empty() {
        out.push_str(&to_text(&loaded.diagnostics, &loaded.sources, style()));
        out.push_str("\n\n");
    }
    for (name, sources) in &loaded.services {
        let report = prove_service(sources);
        let mut diagnostics = report.diagnostics;
        // Writing to a string cannot fail.
        if let Some(checked) = &report.checked {
            let pairs = checked.versions.iter().zip(checked.versions.iter().skip(1));
            let evidence = verify_service(checked, &report.interfaces, budget, &mut diagnostics);
            for ((step, rules), (old, new)) in evidence.iter().zip(&checked.steps).zip(pairs) {
                let _ = writeln!(out, "{name}: {} - {}", old.name, new.name);
                totals.add(step);
                describe(step, &mut out);
                if args.coverage {
                    coverage::describe(rules, &report.sources, &mut out);
                }
            }
        } else {
            let _ = writeln!(out, "{name}: refused");
        }
        is_clean &= !diagnostics.has_errors();
        if !diagnostics.is_empty() {
            let _ = writeln!(out, "\n{}\n", to_text(&diagnostics, &report.sources, style()));
        }
    }
    let _ = writeln!(out, "{}", totals.line(is_clean));
    Ok((out, is_clean))
}

fn describe(step: &Evidence, out: &mut String) {
    let word = |holds: bool| if holds { "ok  " } else { "FAIL" };
    for one in &step.types {
        let examples: Vec<bool> =
            step.examples.iter().filter(|(name, _)| *name == one.name).map(|(_, holds)| *holds).collect();
        if !examples.is_empty() {
            let holding = examples.iter().filter(|holds| **holds).count();
            let all = word(holding == examples.len());
            let _ = writeln!(out, "  {all} {}: {holding} of {} examples", one.name, examples.len());
        }
        for law in one.laws.iter().filter(|law| law.law.is_required()) {
            let holds = law.counter_example.is_none();
            let _ = writeln!(
                out,
                "  {} {}: {} on {} documents{}",
                word(holds),
                one.name,
                law.law.name(),
                law.documents,
                origin(one)
            );
        }
        for law in one.laws.iter().filter(|law| !law.law.is_required() && law.counter_example.is_some()) {
            let _ = writeln!(out, "  note {}: not {} ({})", one.name, law.law.name(), law.law.meaning());
        }
    }
}

fn origin(one: &TypeEvidence) -> &'static str {
    match one.documents {
        Documents::Schemas => "",
        Documents::Rules => " (made by the rules: no schemas on both sides)",
        Documents::Examples => " (its examples, changed)",
    }
}

#[derive(Default)]
struct Totals {
    types: usize,
    examples: usize,
    laws: usize,
    failed: usize,
}

impl Totals {
    fn add(&mut self, step: &Evidence) {
        self.types += step.types.len();
        self.examples += step.examples.len();
        self.failed += step.examples.iter().filter(|(_, holds)| !holds).count();
        for law in step.types.iter().flat_map(|one| &one.laws).filter(|law| law.law.is_required()) {
            self.laws += 1;
            self.failed += usize::from(law.counter_example.is_some());
        }
    }

    fn line(&self, is_clean: bool) -> String {
        let Self { types, examples, laws, failed } = self;
        let verdict = match (failed, is_clean) {
            (0, true) => "all hold".to_owned(),
            (0, false) => "some rules are refused".to_owned(),
            (failed, _) => format!("{failed} do not hold"),
        };
        let count =
            |number: &usize, one: &str, more: &str| format!("{number} {}", if *number == 1 { one } else { more });
        format!(
            "{}, {}, {}: {verdict}",
            count(types, "type", "types"),
            count(examples, "example", "examples"),
            count(laws, "law", "laws")
        )
    }
}
