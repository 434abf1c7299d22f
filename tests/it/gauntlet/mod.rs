//! Real breaking changes as data: every exchange of every case, in every direction that it asks for.
//!
//! The cases lie beside the project (`../shared/gauntlet`, or where `GAUNTLET` says); the rules that bridge them in
//! `tests/gauntlet/<id>/`. Cases of our own, rules and exchanges, lie in `tests/gauntlet/own/<name>/` and always run.

#![expect(clippy::panic, reason = "a test ends by panicking")]

mod case;
mod exact;
mod run;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use case::Case;
use run::Outcome;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> PathBuf {
    root().join("tests/gauntlet")
}

/// The cases beside the project; nothing where they are not there.
fn cases() -> Option<Vec<Case>> {
    let beside = || root().join("../shared/gauntlet");
    let folder = std::env::var_os("GAUNTLET").map_or_else(beside, PathBuf::from).join("cases");
    if !folder.is_dir() {
        // Straight to the stream: what a test prints is shown only where it fails.
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "skipped: the gauntlet's cases ({} is not there)", folder.display());
        return None;
    }
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read =
        |path: &PathBuf| Case::parse(path.file_stem().unwrap().to_str().unwrap(), &fs::read_to_string(path).unwrap());
    Some(paths.iter().map(read).collect())
}

/// What each case came to; nothing for one without rules.
fn outcomes(cases: &[Case]) -> Vec<Option<Outcome>> {
    let one = |case: &Case| {
        let folder = rules().join(&case.id);
        folder.is_dir().then(|| run::run(case, &folder, &[]))
    };
    // Most of the time goes into starting processes.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let size = cases.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let parts = cases.chunks(size).map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

/// The cases that are known not to be bridged, each with its reason.
fn missed() -> BTreeMap<String, String> {
    let text = fs::read_to_string(rules().join("missed.md")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("- ")).map(|line| {
        let (id, reason) = line.split_once(": ").unwrap_or_else(|| panic!("missed.md: no reason in `{line}`"));
        (id.to_owned(), reason.to_owned())
    });
    lines.collect()
}

#[test]
fn real_changes_are_bridged() {
    let Some(cases) = cases() else { return };
    let outcomes = outcomes(&cases);
    let missed = missed();
    let mut wrong = String::new();
    for (case, outcome) in cases.iter().zip(&outcomes) {
        let is_bridged = outcome.as_ref().is_some_and(Outcome::is_bridged);
        match (is_bridged, missed.contains_key(&case.id)) {
            (true, true) => drop(writeln!(wrong, "{}: is bridged; take it out of missed.md", case.id)),
            (false, false) => {
                let story = outcome.as_ref().map_or_else(|| "no rules\n".to_owned(), Outcome::story);
                let _ = writeln!(wrong, "{}: is not bridged\n{story}", case.id);
            }
            _ => {}
        }
    }
    for id in missed.keys().filter(|id| !cases.iter().any(|case| case.id == **id)) {
        let _ = writeln!(wrong, "{id}: is in missed.md, but there is no such case");
    }
    assert!(wrong.is_empty(), "{wrong}");
    table::check(&cases, &outcomes, &missed);
}

#[test]
fn changes_of_our_own_are_bridged() {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(rules().join("own")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 12, "{folders:?}");
    let mut wrong = String::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let case = Case::parse(name, &fs::read_to_string(folder.join("exchanges.json")).unwrap());
        // Tracing goes through the general engine, whatever the rules: it must not refuse what the other translates.
        let outcome = run::run(&case, &folder, &["--trace"]);
        assert!(outcome.asked.iter().sum::<usize>() >= 2 * case.exchanges.len(), "{name} asks too little");
        if !outcome.is_bridged() {
            let _ = writeln!(wrong, "{name}:\n{}", outcome.story());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
