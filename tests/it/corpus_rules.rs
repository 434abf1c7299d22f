//! Every diagnostic as a document: `tests/corpus/rules/*.md`.
//!
//! A case is a heading `## …`, the files of one service as fenced blocks (`yaml v1-v2.yaml`), and the exact
//! diagnostics as a fenced `text` block. Where a case has no `service.yaml`, [`SERVICE`] is used. `UPDATE=1` rewrites
//! the expected blocks.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bifocal::diagnostic::{Style, codes, to_text};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;

pub(crate) const SERVICE: &str = "\
versions:
  v1: {path: /v1, answered_by: v2}
  v2: {path: /v2, upstream: \"http://127.0.0.1:9102\"}
";

const SERVICE_WITH_INTERFACES: &str = "\
versions:
  v1: {path: /v1, answered_by: v2, openapi: api/v1.yaml}
  v2: {path: /v2, upstream: \"http://127.0.0.1:9102\", openapi: api/v2.yaml}
";

#[test]
fn rules() {
    for file in files("tests/corpus/rules") {
        check(&file);
    }
}

/// The same form with interfaces: what schemas refute, and what they prove.
#[test]
fn contract() {
    for file in files("tests/corpus/contract") {
        check(&file);
    }
}

/// Whole rule sets with interfaces and examples; the laws run on them too.
#[test]
fn lens() {
    for file in files("tests/corpus/lens") {
        check(&file);
    }
}

/// Codes whose cases are elsewhere: they need a disk, or several services.
const ELSEWHERE: [&str; 2] = ["R16", "R21"];

#[test]
fn every_code_has_a_case() {
    let files = files("tests/corpus/rules").into_iter().chain(files("tests/corpus/contract"));
    let all: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    for entry in codes::all() {
        let shown = [format!("error[{}]", entry.code.0), format!("warning[{}]", entry.code.0)];
        let covered = shown.iter().any(|one| all.contains(one.as_str()));
        assert!(covered || ELSEWHERE.contains(&entry.code.0), "no case in the corpus shows {}", entry.code.0);
    }
}

/// Runs every case of a file; the whole file is compared, so that a difference shows in its context.
fn check(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let mut actual = String::with_capacity(text.len());
    let mut case: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        writeln!(actual, "{line}").unwrap();
        if line.starts_with('#') {
            case.clear();
        }
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if info == "text" {
            writeln!(actual, "{}\n```", outcome(&case)).unwrap();
            continue;
        }
        let body = body.join("\n") + "\n";
        writeln!(actual, "{body}```").unwrap();
        if let Some((_, name)) = info.split_once(' ') {
            case.push((name.to_owned(), body));
        }
    }
    if crate::generated::is_update() {
        fs::write(file, actual).unwrap();
        return;
    }
    assert!(text == actual, "{}: expected diagnostics differ (UPDATE=1 rewrites them)\n{actual}", file.display());
}

fn outcome(case: &[(String, String)]) -> String {
    let mut texts: Vec<(&str, &str)> = case.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let has = |wanted: &str| texts.iter().any(|(name, _)| *name == wanted);
    match (has("service.yaml"), has("api/v1.yaml")) {
        (true, _) => {}
        (false, true) => texts.push(("service.yaml", SERVICE_WITH_INTERFACES)),
        (false, false) => texts.push(("service.yaml", SERVICE)),
    }
    let report = check_service(&ServiceSources::from_texts("shop", texts));
    assert_eq!(report.checked.is_some(), !report.diagnostics.has_errors(), "{case:?}");
    if report.diagnostics.is_empty() {
        return "nothing found".to_owned();
    }
    to_text(&report.diagnostics, &report.sources, Style::Plain)
}

pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "md"));
    files.sort();
    assert!(!files.is_empty());
    files
}
