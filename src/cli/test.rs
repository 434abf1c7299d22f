//! `bifocal test`

use std::process::ExitCode;

use super::cannot_run;

/// Run the rules' examples and try their laws on generated documents
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    cannot_run("`test` is not part of this build yet")
}
