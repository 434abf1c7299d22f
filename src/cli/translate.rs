//! `bifocal translate`

use std::process::ExitCode;

use super::cannot_run;

/// Translate documents or messages from one version to another
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> ExitCode {
    cannot_run("`translate` is not part of this build yet")
}
