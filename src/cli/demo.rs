//! `bifocal demo`

use std::process::ExitCode;

use super::cannot_run;

/// Start two sample services and the gateway between them
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    cannot_run("`demo` is not part of this build yet")
}
