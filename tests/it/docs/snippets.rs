//! What the docs show is true.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bifocal::diagnostic::{Style, to_text};
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;
use bifocal::settings::{Settings, Sources};

use super::{blocks, fenced, read, root};

const SERVICE: &str = "versions: {v1: {}, v2: {upstream: \"http://127.0.0.1:1\"}}\n";

#[test]
fn rules_are_accepted() {
    let page = read("docs/rules.md") + &read("docs/calls.md") + &read("docs/rollout.md") + &read("docs/async.md");
    let services = blocks(&page, "yaml service.yaml").into_iter().map(|text| vec![("service.yaml", text)]);
    let rules = blocks(&page, "yaml v1-v2.yaml")
        .into_iter()
        .map(|text| vec![("service.yaml", SERVICE.to_owned()), ("v1-v2.yaml", text)]);
    let all: Vec<_> = services.chain(rules).collect();
    assert!(all.len() > 10);
    for mut files in all {
        if files.len() == 1 {
            files.push(("v1-v2.yaml", "types: {}\n".to_owned()));
        }
        let sources = ServiceSources::from_texts("shop", files.iter().map(|(name, text)| (*name, text.as_str())));
        let report = check_service(&sources);
        let text = to_text(&report.diagnostics, &report.sources, Style::Plain);
        assert!(report.checked.is_some(), "{text}\nin\n{}", files.last().unwrap().1);
        assert!(!text.contains("error["), "{text}");
    }
}

/// A service of the guide to messages holds for the rules below it, up to the next one.
#[test]
fn channels_are_accepted() {
    let page = read("docs/messages.md");
    let (mut service, mut tried) = (String::new(), 0);
    for (info, text) in fenced(&page) {
        let rules = match info {
            "yaml service.yaml" => {
                service = text;
                "messages: {orders: same}\n".to_owned()
            }
            "yaml v1-v2.yaml" => text,
            _ => continue,
        };
        let files = [("service.yaml", service.as_str()), ("v1-v2.yaml", rules.as_str())];
        let report = check_service(&ServiceSources::from_texts("shop", files));
        let told = to_text(&report.diagnostics, &report.sources, Style::Plain);
        assert!(report.checked.is_some() && !told.contains("error["), "{told}\nin\n{service}{rules}");
        tried += 1;
    }
    assert!(tried > 5, "{tried}");
}

/// Each service of the guide to replies goes with the rules that follow it.
#[test]
fn replies_are_accepted() {
    let page = read("docs/replies.md");
    let (services, rules) = (blocks(&page, "yaml service.yaml"), blocks(&page, "yaml v1-v2.yaml"));
    assert_eq!((services.len(), rules.len()), (2, 2));
    for (service, rules) in services.iter().zip(&rules) {
        let files = [("service.yaml", service.as_str()), ("v1-v2.yaml", rules.as_str())];
        let report = check_service(&ServiceSources::from_texts("shop", files));
        let told = to_text(&report.diagnostics, &report.sources, Style::Plain);
        assert!(report.checked.is_some() && !told.contains("error["), "{told}\nin\n{service}{rules}");
    }
}

/// A line of a `messages` block is `old <-> new`, `old -> new` or `old <- new`; a response stands behind the route that it
/// answers, in brackets.
#[test]
fn messages_are_translated_as_shown() {
    let page = read("docs/rules.md");
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    std::fs::create_dir(&shop).unwrap();
    std::fs::write(shop.join("service.yaml"), SERVICE).unwrap();
    let mut tried = 0;
    for (info, text) in fenced(&page) {
        match info {
            "yaml v1-v2.yaml" => std::fs::write(shop.join("v1-v2.yaml"), text).unwrap(),
            "messages" => {
                for line in text.lines() {
                    tried += 1;
                    let (route, pair) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                        Some((route, pair)) => (Some(route), pair),
                        None => (None, line),
                    };
                    let (arrow, up, down) = [(" <-> ", true, true), (" -> ", true, false), (" <- ", false, true)]
                        .into_iter()
                        .find(|(arrow, ..)| pair.contains(arrow))
                        .unwrap();
                    let (old, new) = pair.split_once(arrow).unwrap();
                    if up {
                        assert_eq!(message(folder.path(), ("v1", "v2"), route, old), json(new), "{line}, up");
                    }
                    if down {
                        assert_eq!(message(folder.path(), ("v2", "v1"), route, new), json(old), "{line}, down");
                    }
                }
            }
            _ => {}
        }
    }
    assert!(tried > 10, "{tried}");
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn message(rules: &Path, (from, to): (&str, &str), route: Option<&str>, document: &str) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bifocal"));
    command.args(["translate", "--service", "shop", "--from", from, "--to", to, "--rules"]).arg(rules);
    if let Some(route) = route {
        command.args(["--part", "response", "--route", route]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{document}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_readme_shows_the_shipped_rules() {
    let page = read("README.md");
    let shown = blocks(&page, "yaml").concat();
    let shipped = read("rules/orders/v1-v2.yaml");
    let plain = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    let shipped: Vec<String> = shipped.lines().map(plain).collect();
    let rules: Vec<String> = shown.lines().map(plain).filter(|line| line.starts_with("- ")).collect();
    assert!(rules.len() > 5);
    for rule in rules {
        assert!(shipped.contains(&rule), "{rule}");
    }
}

#[test]
fn settings_are_accepted() {
    let page = read("docs/operations.md");
    for text in blocks(&page, "toml bifocal.toml") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bifocal.toml");
        std::fs::write(&file, &text).unwrap();
        Settings::load(Sources { file: Some(file), ..Sources::default() }).unwrap();
    }
}

#[test]
fn every_error_of_the_gateway_is_listed() {
    let page = read("docs/errors.md");
    let source = read("src/gateway/trouble.rs");
    let codes = source.lines().filter_map(|line| line.split_once("(S::")?.1.split('"').nth(1));
    let codes: Vec<&str> = codes.collect();
    assert!(codes.len() > 30);
    for code in codes {
        assert!(page.contains(&format!("| `{code}` | ")), "{code}");
    }
}

#[test]
fn commands_work_as_shown() {
    let page = read("docs/cli.md");
    let mut commands: Vec<String> = blocks(&page, "sh").concat().lines().map(str::to_owned).collect();
    let readme = read("README.md");
    let shown = blocks(&readme, "sh").concat();
    // What is left out needs a network, serves until it is stopped, or reads a file of yours.
    let runs = ["bifocal check", "bifocal test", "bifocal explain"];
    commands.extend(shown.lines().filter(|line| runs.iter().any(|run| line.starts_with(run))).map(str::to_owned));
    assert!(commands.len() > 13);
    for command in commands {
        // The demo serves until it is stopped: the tour has it.
        if command.starts_with("bifocal demo") {
            continue;
        }
        let script =
            format!("set -euo pipefail; bifocal() {{ {:?} \"$@\"; }}; {command}", env!("CARGO_BIN_EXE_bifocal"));
        let output = Command::new("bash").args(["-c", &script]).current_dir(root()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !output.stdout.is_empty(), "{command}\n{error}");
    }
}
