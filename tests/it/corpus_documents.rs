//! What rules do to documents, as documents: `tests/corpus/codecs/*.md` (one a codec), `tests/corpus/operations/*.md` (what
//! else rules are made of) and `tests/corpus/documents/*.md`.
//!
//! A case is a `yaml` block of types, the first of which is the documents' own, followed by `pairs` blocks. A block that
//! begins with `types:` is a whole rule file, for what takes more than types. A pair is one line; the old document stands left, the new one right, and bytes are compared:
//!
//! ```text
//! old <-> new            both ways
//! old -> new             up only
//! old <- new             down only
//! old -> ! place: what   up is refused, with this fault
//! ! place: what <- new   down is refused
//! edit @ base => new     an old document written onto a live new one
//! ```

use std::fs;
use std::path::Path;

use bifocal::codecs::{ALL, Direction};
use bifocal::diagnostic::{Style, to_text};
use bifocal::plan::{Fault, Limits, Scratch, StepPlan, TypeId};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;

use crate::corpus_rules::{SERVICE, files};

#[test]
fn codecs() {
    for file in files("tests/corpus/codecs") {
        check(&file);
    }
}

#[test]
fn documents() {
    for file in files("tests/corpus/documents") {
        check(&file);
    }
}

/// One file a group of operations of the rule language.
#[test]
fn operations() {
    for file in files("tests/corpus/operations") {
        check(&file);
    }
}

/// Every conversion of structure is shown somewhere.
#[test]
fn every_conversion_has_a_case() {
    let all: String =
        files("tests/corpus/operations").into_iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for page in bifocal::rules::manual::conversions() {
        assert!(all.contains(&format!("{}:", page.name)), "no case in the corpus shows `{}`", page.name);
    }
}

#[test]
fn every_codec_has_its_page() {
    let pages: Vec<String> = files("tests/corpus/codecs")
        .iter()
        .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let mut names: Vec<&str> = ALL.iter().map(|info| info.name).collect();
    names.sort_unstable();
    assert_eq!(pages, names);
}

/// The compiled types of one `yaml` block.
pub(crate) fn compile(types: &str) -> StepPlan {
    compile_file(&format!("types:\n{}", indent(types)))
}

/// The same of a whole rule file, whose first type is the documents' own.
pub(crate) fn compile_file(rules: &str) -> StepPlan {
    let sources = ServiceSources::from_texts("shop", [("service.yaml", SERVICE), ("v1-v2.yaml", rules)]);
    let report = check_service(&sources);
    let Some(checked) = &report.checked else {
        let found = to_text(&report.diagnostics, &report.sources, Style::Plain);
        unreachable!("the rules are refused:\n{rules}\n{found}");
    };
    StepPlan::compile(checked.steps.first().unwrap())
}

fn indent(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

fn check(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines().enumerate();
    let mut step = None;
    let mut pairs = 0;
    while let Some((_, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let body: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        match info {
            "yaml" => {
                let text = body.iter().map(|(_, line)| *line).collect::<Vec<_>>().join("\n");
                step = Some(if text.starts_with("types:") { compile_file(&text) } else { compile(&text) });
            }
            "pairs" => {
                for (number, line) in body.into_iter().filter(|(_, line)| !line.is_empty()) {
                    let at = format!("{}:{}", file.display(), number + 1);
                    check_pair(step.as_ref().unwrap(), line, &at);
                    pairs += 1;
                }
            }
            other => unreachable!("{}: a block of `{other}`", file.display()),
        }
    }
    assert!(pairs > 0, "{} has no pairs", file.display());
}

pub(crate) fn check_pair(step: &StepPlan, line: &str, at: &str) {
    if let Some((old, new)) = line.split_once(" <-> ") {
        assert_eq!(translate(step, Direction::Up, old), new.trim(), "{at}, up");
        assert_eq!(translate(step, Direction::Down, new), old.trim(), "{at}, down");
    } else if let Some((edit, rest)) = line.split_once(" @ ") {
        let (base, new) = rest.split_once(" => ").unwrap();
        let mut out = Vec::new();
        let result = step.put(TypeId(0), edit.as_bytes(), base.as_bytes(), &mut out, Limits::default());
        assert_eq!(shown(result, out), new.trim(), "{at}, put");
    } else if let Some((old, new)) = line.split_once(" -> ") {
        assert_eq!(translate(step, Direction::Up, old), new.trim(), "{at}, up");
    } else if let Some((old, new)) = line.split_once(" <- ") {
        assert_eq!(translate(step, Direction::Down, new), old.trim(), "{at}, down");
    } else {
        unreachable!("{at}: not a pair");
    }
}

pub(crate) fn translate(step: &StepPlan, direction: Direction, text: &str) -> String {
    let mut out = Vec::new();
    let mut scratch = Scratch::default();
    let first = step.translate(TypeId(0), direction, text.as_bytes(), &mut out, &mut scratch, Limits::default());
    // The second time, the scratch knows the document's shape: it must make no difference.
    let mut again = Vec::new();
    let second = step.translate(TypeId(0), direction, text.as_bytes(), &mut again, &mut scratch, Limits::default());
    assert_eq!((&first, &out), (&second, &again), "{text}");
    shown(first, out)
}

fn shown(result: Result<(), Fault>, out: Vec<u8>) -> String {
    match result {
        Ok(()) => String::from_utf8(out).unwrap().trim().to_owned(),
        Err(fault) if fault.place.is_empty() => format!("! {}", fault.detail),
        Err(fault) => format!("! {}: {}", fault.place, fault.detail),
    }
}
