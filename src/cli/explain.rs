//! `bifocal explain`

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{CLEAN, cannot_run, finish};
use crate::codecs;
use crate::diagnostic::{codes, suggest};
use crate::rules::manual;

/// Explain a diagnostic's code, a codec or an operation
///
/// Explains a diagnostic's code (`E8`), a codec (`split`) or an operation of the rule language (`cases`): what it means,
/// why, and how to write it. Without a name it lists all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bifocal explain          every code, codec and operation
  bifocal explain E8
  bifocal explain split
  bifocal explain cases")]
pub(super) struct Args {
    /// A code, or the name of a codec or operation
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Some(text) = args.name.as_deref().map_or_else(|| Some(list()), explain) else {
        return unknown(args.name.as_deref().unwrap_or_default());
    };
    finish(&text, CLEAN)
}

fn unknown(name: &str) -> ExitCode {
    let known = codes::all().map(|entry| entry.code.0).chain(codecs::ALL.iter().map(|info| info.name));
    let known = known.chain(manual::all().map(|page| page.name));
    let help = match suggest::closest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bifocal explain` lists what there is".to_owned(),
    };
    cannot_run(&format!("no code, codec or operation is called `{name}`; {help}"))
}

fn explain(name: &str) -> Option<String> {
    if let Some(entry) = codes::find(name) {
        let mut out = format!("{}: {}\n\n{}\n", entry.code.0, entry.title, wrap(entry.explanation));
        // Writing to a string cannot fail.
        let _ = write!(out, "\nWrong:\n\n{}\nMended:\n\n{}", indent(entry.wrong), indent(entry.mended));
        return Some(out);
    }
    if let Some(page) = manual::find(name) {
        return Some(format!("{}: {}\n\n{}", page.name, page.line, page.manual));
    }
    let info = codecs::ALL.iter().find(|info| info.name.eq_ignore_ascii_case(name))?;
    Some(format!("{}\n\n{}", info.name, info.manual))
}

fn list() -> String {
    let mut out = String::from("Codes\n\n");
    for entry in codes::all() {
        let _ = writeln!(out, "  {:<4} {}", entry.code.0, entry.title);
    }
    for (kind, title) in manual::Kind::ALL {
        let _ = write!(out, "\n{title}\n\n");
        for page in manual::all().filter(|page| page.kind == kind) {
            let _ = writeln!(out, "  {:<11} {}", page.name, page.line);
        }
    }
    out.push_str("\nCodecs\n\n");
    for info in codecs::ALL {
        let words = info.manual.split_whitespace().collect::<Vec<_>>().join(" ");
        let first = words.split_inclusive([';', '.']).next().unwrap_or_default().trim_end_matches([';', '.']);
        let _ = writeln!(out, "  {:<11} {first}", info.name);
    }
    out.push_str("\n`bifocal explain NAME` tells the whole story of one.\n");
    out
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |out, line| out + "    " + line + "\n")
}

/// Breaks lines between words.
fn wrap(text: &str) -> String {
    const WIDTH: usize = 90;
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}
