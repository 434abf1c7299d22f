//! `bifocal schema`

use std::process::ExitCode;

use clap::ValueEnum;

use super::{CLEAN, finish};
use crate::rules::schema;

/// Print the JSON Schema of rule files or of service.yaml
///
/// Editors that know YAML complete and check rules by it: `# yaml-language-server: $schema=rules.schema.json` as a file's
/// first line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal schema rules > rules.schema.json
  bifocal schema service > service.schema.json")]
pub(super) struct Args {
    /// Which files
    #[arg(value_enum, value_name = "FILES")]
    of: Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Files {
    /// `<old>-<new>.yaml`
    Rules,
    /// service.yaml
    Service,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let schema = match args.of {
        Files::Rules => schema::rules(),
        Files::Service => schema::service(),
    };
    finish(&format!("{schema:#}\n"), CLEAN)
}
