//! `bifocal test`

use std::process::ExitCode;

use super::cannot_run;

/// Runs the rules' examples and laws.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    cannot_run("`test` is not part of this build yet")
}
