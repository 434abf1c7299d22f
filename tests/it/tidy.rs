//! Invariants of the source tree that the compiler does not hold.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the package.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut open = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// Lines of code (no comments) with their file and number.
fn lines(folder: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for file in sources(folder) {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                lines.push((format!("{name}:{}", number + 1), line.to_owned()));
            }
        }
    }
    lines
}

fn refuse(folder: &str, words: &[&str], except: &str, reason: &str) {
    for (at, line) in lines(folder) {
        let found = words.iter().find(|word| line.contains(*word));
        assert!(found.is_none() || (!except.is_empty() && at.starts_with(except)), "{at}: {line}\n{reason}");
    }
}

#[test]
fn the_core_knows_no_runtime_and_no_network() {
    let words = ["tokio", "hyper", "axum::", "arc_swap", "std::net::Tcp", "std::net::Udp", "notify::", "tracing::"];
    for part in ["diagnostic", "json", "path", "contract", "rules", "codecs", "plan"] {
        let reason = "the core is pure: what needs a runtime or the network belongs to `gateway`";
        refuse(&format!("src/{part}"), &words, "", reason);
    }
}

#[test]
fn only_load_reads_the_disk_in_the_core() {
    let words = ["std::fs", "fs::read", "File::open", "std::env"];
    for part in ["diagnostic", "json", "path", "contract", "rules", "codecs", "plan"] {
        refuse(&format!("src/{part}"), &words, "src/rules/load.rs", "only `rules::load` reads the disk");
    }
}

#[test]
fn one_file_names_each_of_these_crates() {
    for (word, file) in [
        ("annotate_snippets", "src/diagnostic/render.rs"),
        ("saphyr_parser", "src/rules/yaml/read.rs"),
        ("arc_swap", "src/gateway/generation.rs"),
        ("jsonpath_rust", "src/path/query/read.rs"),
        ("pest::", "src/path/query/read.rs"),
        ("regex::", "src/path/query/pattern.rs"),
        ("jiff", "src/codecs/date.rs"),
        ("num_bigint", "src/json/exact.rs"),
    ] {
        refuse("src", &[word], file, "this crate is named in one file, so that it can be replaced there");
    }
}

#[test]
fn every_codec_file_is_listed() {
    let listed: Vec<&str> = bifocal::codecs::ALL.iter().map(|info| info.name).collect();
    let mut files: Vec<String> = sources("src/codecs")
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !["mod", "argument", "chain", "value", "tests"].contains(&name.as_str()))
        .collect();
    files.sort();
    let mut expected: Vec<&str> = listed.clone();
    expected.sort_unstable();
    assert_eq!(files, expected, "one codec, one file, one line in `codecs::ALL`");
}

#[test]
fn every_manual_speaks_of_its_options() {
    for info in bifocal::codecs::ALL {
        for option in info.options {
            assert!(info.manual.contains(&format!("{option}:")), "`{}` does not explain `{option}:`", info.name);
        }
    }
    for page in bifocal::rules::manual::all() {
        for option in page.options {
            assert!(page.manual.contains(&format!("{option}:")), "`{}` does not explain `{option}:`", page.name);
        }
    }
}

#[test]
fn the_rules_are_swapped_in_one_place() {
    let reason = "one snapshot a request and one swap a reload: `gateway::generation` is the only place for either";
    refuse("src", &["arc_swap", "ArcSwap"], "src/gateway/generation.rs", reason);
}

#[test]
fn files_can_be_read_in_one_go() {
    const MOST: usize = 450;
    for folder in ["src", "tests", "benches", "examples"] {
        for file in sources(folder) {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            let count = fs::read_to_string(&file).unwrap().lines().count();
            assert!(count <= MOST, "{name} has {count} lines, {MOST} is the most: split it by ideas");
        }
    }
}

/// Every text file that people read.
fn texts() -> Vec<(String, String)> {
    let mut open = vec![root().to_owned()];
    let mut texts = Vec::new();
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let end = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if path == root() || !["target", ".git", "corpus", "artifacts", "state"].contains(&name.as_str()) {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if ["rs", "md", "yaml", "toml", "json", "run"].contains(&end.as_str()) || name == "run" {
            texts.push((path.strip_prefix(root()).unwrap().display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(texts.len() > 100);
    texts
}

#[test]
fn texts_speak_of_the_product_alone() {
    // Spelled apart, so that this file does not name them itself.
    let words = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    for (name, text) in texts() {
        for word in words {
            assert!(!text.contains(word), "{name} names {word}");
        }
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{name}:{}: {line}", number + 1);
            // Work that is left says what it waits for.
            let todo = concat!("TO", "DO");
            assert!(!line.contains(todo) || line.contains(&format!("{todo}(")), "{}", place());
            assert!(line.trim_end() == line || name.contains("corpus"), "white space at the end: {}", place());
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for folder in ["src", "tests", "benches", "examples"] {
        for file in sources(folder).iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.starts_with("//! "), "{} has no first line that says what it is", file.display());
        }
    }
}

/// Names in backticks in the last column of the list in `docs/reliability.md`.
#[test]
fn every_test_that_is_named_exists() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let list = text.split("## The list").nth(1).unwrap().split("\n## ").next().unwrap();
    let code: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut rows = 0;
    for row in list.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")) {
        rows += 1;
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(shown != "-" || row.contains("*not here:*"), "nothing shows {row}");
        for name in shown.split('`').skip(1).step_by(2) {
            let exists = match name.strip_prefix("full/") {
                Some(name) => root().join("tests/full").join(name).is_file(),
                None => code.contains(&format!("fn {name}(")),
            };
            assert!(exists, "there is no test `{name}`: {row}");
        }
    }
    assert_eq!(rows, 91);
}
