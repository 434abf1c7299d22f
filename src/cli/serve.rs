//! `bifocal serve`

use std::process::ExitCode;

use super::cannot_run;

/// Run the gateway
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    cannot_run("`serve` is not part of this build yet")
}
