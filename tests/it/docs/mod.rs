//! README and docs: generated pages are fresh, snippets are true, commands work as typed.

mod manual;
mod reference;
mod schemas;
mod snippets;
mod tour;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every page for people.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = Vec::new();
    for folder in ["", "docs", "docs/reference"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// Fenced blocks with their first line, in order.
fn fenced(page: &str) -> Vec<(&str, String)> {
    let fences = page.lines().filter(|line| line.starts_with("```")).count();
    assert!(fences.is_multiple_of(2), "a block is not closed");
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body = lines.by_ref().take_while(|line| *line != "```");
            found.push((info, body.flat_map(|line| [line, "\n"]).collect()));
        }
    }
    found
}

/// The fenced blocks of a page whose first line is this.
fn blocks(page: &str, language: &str) -> Vec<String> {
    fenced(page).into_iter().filter(|(info, _)| *info == language).map(|(_, text)| text).collect()
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let target = page.parent().unwrap().join(link.split('#').next().unwrap());
                assert!(target.exists(), "{}: {link}", page.display());
            }
        }
    }
}
