//! The command line: one file a subcommand. Results go to standard output, everything else to standard error.

mod admin;
mod check;
mod dead_letters;
mod demo;
mod explain;
mod flows;
mod ledger;
mod schema;
mod serve;
mod table;
mod test;
mod translate;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::diagnostic::Style;

/// Nothing to complain about.
pub const CLEAN: u8 = 0;
/// The command ran and found something wrong with what it was given.
pub const FINDINGS: u8 = 1;
/// The command could not run.
pub const CANNOT_RUN: u8 = 2;

/// Lets the old and the new version of a service's interface live side by side, from one set of rules.
#[derive(Debug, Parser)]
#[command(name = "bifocal", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  bifocal demo                          see it work: two services, one gateway, old beside new
  bifocal check --rules rules           every mistake in the rules, each with its place and its help
  bifocal test --rules rules            examples and laws
  bifocal serve --config bifocal.toml   run the gateway
  bifocal explain E8                    what a code means and how to mend it")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// Each subcommand's help is the doc comment of its `Args`: the first line for the list, the rest for `--help`.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    Test(test::Args),
    Translate(translate::Args),
    Explain(explain::Args),
    Schema(schema::Args),
    Ledger(ledger::Args),
    Flows(flows::Args),
    DeadLetters(dead_letters::Args),
    Demo(demo::Args),
}

/// Runs the command line `args` (the program's name first) and answers its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are errors to clap, but not to anyone else.
            let code = if error.use_stderr() { CANNOT_RUN } else { CLEAN };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(CANNOT_RUN) };
        }
    };
    match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Translate(args) => translate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Flows(args) => flows::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// What a command ends with: its text on standard output, and this code.
pub(crate) fn finish(text: &str, code: u8) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::from(code),
        Err(error) => cannot_run(&format!("cannot write: {error}")),
    }
}

/// Writes `bifocal: …` to standard error and answers the exit code for a command that could not run.
pub(crate) fn cannot_run(message: &str) -> ExitCode {
    // Where standard error is closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "bifocal: {message}");
    ExitCode::from(CANNOT_RUN)
}

/// Colour only where a person reads: a terminal, unless `NO_COLOR` is set.
pub(crate) fn style() -> Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && io::stdout().is_terminal() { Style::Colour } else { Style::Plain }
}
